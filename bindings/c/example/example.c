/* A program that asks whether it may run.
 *
 *   cc example.c -I../include -L. -llicet -o example
 *   ./example vendor.trust CAD-PRO render
 */
#include <stdio.h>

#include "licet.h"

static unsigned char trust[1 << 16];

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s TRUST-FILE PRODUCT [FEATURE...]\n", argv[0]);
        return 2;
    }
    /* A real program carries the trust file in itself. */
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL) {
        perror(argv[1]);
        return 2;
    }
    size_t size = fread(trust, 1, sizeof trust, file);
    fclose(file);

    char product[256];
    snprintf(product, sizeof product, "{\"code\": \"%s\", \"version\": \"4.2.1\"}", argv[2]);

    char *error = NULL;
    licet_session session = licet_open(trust, size, product, &error);
    if (session == 0) {
        fprintf(stderr, "%s\n", error);
        licet_free(error);
        return 2;
    }

    int valid = licet_valid(session);
    char *words = licet_sentences(session);
    printf("%s\n", words);
    licet_free(words);
    for (int i = 3; i < argc; i++) {
        printf("%s: %s\n", argv[i], licet_feature(session, argv[i]) ? "yes" : "no");
    }
    licet_close(session);
    return valid ? 0 : 1;
}
