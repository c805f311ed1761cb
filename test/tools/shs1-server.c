/* shs1-server NETWORK_ID SECRET_KEY PUBLIC_KEY, all in hex: see shs1_stdio.h. */
#include <sodium.h>
#include <stdio.h>

#include "base/identity.h"
#include "shs1_stdio.h"

int main(int argc, char **argv) {
  uint8_t network_key[MS_KEY_BYTES];
  ms_identity id;
  struct ms__shs_opts opts = {network_key, &id, NULL};
  if (argc != 4 || sodium_init() < 0) {
    (void)fprintf(stderr, "usage: shs1-server NETWORK_ID SECRET_KEY PUBLIC_KEY\n");
    return 2;
  }
  shs1_hex(argv[1], network_key, sizeof network_key);
  shs1_hex(argv[2], id.secret_key, sizeof id.secret_key);
  shs1_hex(argv[3], id.public_key, sizeof id.public_key);
  return shs1_run(true, &opts);
}
