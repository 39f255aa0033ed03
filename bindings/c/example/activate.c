/* A program that redeems a ticket on this machine.
 *
 *   cc activate.c -I../include -L. -llicet -o activate
 *   ./activate vendor.trust K7WQM-3XHTA-...
 */
#include <stdio.h>
#include <string.h>

#include "licet.h"

static unsigned char trust[1 << 16];

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s TRUST-FILE TICKET\n", argv[0]);
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

    /* A ticket has letters, digits, spaces and dashes; anything else is a typo. */
    if (strpbrk(argv[2], "\"\\") != NULL) {
        fprintf(stderr, "that is no ticket\n");
        return 1;
    }
    char what[256];
    snprintf(what, sizeof what, "{\"tickets\": [\"%s\"]}", argv[2]);

    char *error = NULL;
    char *answer = licet_activate(trust, size, what, 60000, &error);
    if (answer == NULL) {
        fprintf(stderr, "%s\n", error);
        licet_free(error);
        return 2;
    }
    printf("%s\n", answer); /* JSON: a real program reads code, message and refused */
    int done = strstr(answer, "\"code\":\"done\"") != NULL;
    licet_free(answer);
    return done ? 0 : 1;
}
