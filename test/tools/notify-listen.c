/* notify-listen PATH: plays the service manager's side of sd_notify(3). Binds a datagram socket and
 * prints what it is told, one line an assignment, until it is killed. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char text[4096];
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (argc != 2 || strlen(argv[1]) >= sizeof at.sun_path) return 2;
  memcpy(at.sun_path, argv[1], strlen(argv[1]));
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
    perror(argv[1]);
    return 1;
  }
  (void)puts("bound");
  (void)fflush(stdout);
  for (;;) {
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n < 0) return 1;
    (void)printf("%.*s%s", (int)n, text, n && text[n - 1] == '\n' ? "" : "\n");
    (void)fflush(stdout);
  }
}
