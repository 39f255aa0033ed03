/* Takes units of a license: use TRUST-FILE PRODUCT UNITS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "licet.h"

int main(int argc, char **argv) {
  static char trust[1 << 20];
  char product[256], *error = NULL;
  int64_t left = 0;
  FILE *file;
  size_t size;
  licet_session session;
  int taken;

  if (argc != 4 || (file = fopen(argv[1], "rb")) == NULL) {
    fprintf(stderr, "use: use TRUST-FILE PRODUCT UNITS\n");
    return 2;
  }
  size = fread(trust, 1, sizeof trust, file);
  fclose(file);
  snprintf(product, sizeof product, "{\"code\": \"%s\"}", argv[2]);
  session = licet_open(trust, size, product, &error);
  if (session == 0) {
    fprintf(stderr, "%s\n", error);
    licet_free(error);
    return 2;
  }
  taken = licet_use(session, strtoll(argv[3], NULL, 10), 30000, &left, &error);
  if (taken) {
    printf("%" PRId64 " left\n", left);
  } else {
    fprintf(stderr, "%s\n", error);
    licet_free(error);
  }
  licet_close(session);
  return taken ? 0 : 1;
}
