/* shs1-client NETWORK_ID SERVER_KEY, both in hex: see shs1_stdio.h. */
#include <sodium.h>
#include <stdio.h>

#include "layer_driver.h"
#include "shs1_stdio.h"

int main(int argc, char **argv) {
  uint8_t network_key[MS_KEY_BYTES], server_key[MS_KEY_BYTES];
  ms_identity id;
  struct ms__shs_opts opts = {network_key, &id, server_key};
  if (argc != 3 || sodium_init() < 0) {
    (void)fprintf(stderr, "usage: shs1-client NETWORK_ID SERVER_KEY\n");
    return 2;
  }
  random_identity(&id);
  shs1_hex(argv[1], network_key, sizeof network_key);
  shs1_hex(argv[2], server_key, sizeof server_key);
  return shs1_run(false, &opts);
}
