/* liblicet: may this program run? The C interface of Licet.
 *
 * A session looks at the licenses of this machine and at the license servers it
 * is told of, and answers from memory from then on. What follows from an answer
 * is for the program to decide; the library enforces nothing.
 *
 * - Text is UTF-8 and ends with a zero byte. What a function returns as char*
 *   belongs to the caller: free it with licet_free.
 * - A session is a number. Numbers that name no session (0, a closed one) are
 *   safe: nothing is valid for them.
 * - Every function may be called from any thread, at the same time.
 * - "Could not tell" never means yes: where something fails, the answer is 0.
 * - The library does not survive fork: open sessions in the process that uses
 *   them.
 *
 * docs/sdk.md says what the answers mean; docs/errors.md lists the codes.
 */
#ifndef LICET_H
#define LICET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. A library with the same number has everything
 * that this header names, with the same meaning. */
#define LICET_INTERFACE 3

typedef uint64_t licet_session;

/* licet_interface is the version of the interface that the library has. */
int32_t licet_interface(void);

/* licet_open looks for a license and keeps looking until licet_close.
 *
 * trust is the vendor's trust file, which the program carries in itself: it
 * alone decides whose licenses count. product is JSON:
 *
 *   {"code": "CAD-PRO",                     the product's code; the rest is optional
 *    "version": "4.2.1",                    of the program, dotted numbers
 *    "build_date": "2026-05-01T00:00:00Z",  when this build was made
 *    "features": ["render"],                without which it is of no use
 *    "home": "/var/lib/licet",              folder of the licenses
 *    "refresh": "5m0s",                     time between two looks
 *    "servers": ["10.0.0.5:47120"],         license servers, in order; [] for none
 *    "wait": true,                          stand in line where no seat is free
 *    "reduced": true}                       take no seat until licet_enable
 *
 * A key that is not known is refused. Returns the session, or 0 if the program
 * called it wrongly: then *error, unless error is NULL, is a text that says why.
 * That there is no license is no error, but the session's verdict. */
licet_session licet_open(const void *trust, size_t trust_size, const char *product, char **error);

/* licet_valid is 1 if the program may run now, else 0. It answers from memory. */
int32_t licet_valid(licet_session session);

/* licet_feature is 1 if the program may run now and the license has a feature. */
int32_t licet_feature(licet_session session, const char *name);

/* licet_verdict is the whole answer as JSON: valid, code, reasons, warnings,
 * hint, valid_until, license, features, source. NULL if there is no session. */
char *licet_verdict(licet_session session);

/* licet_sentences is the answer for the person in front of the screen. NULL if
 * there is no session. */
char *licet_sentences(licet_session session);

/* licet_refresh looks again now, for at most so many milliseconds. Returns 1 if
 * it could be told what is there, else 0, and *error says why. */
int32_t licet_refresh(licet_session session, int64_t milliseconds, char **error);

/* licet_changed waits until the verdict may have changed, for at most so many
 * milliseconds. Returns 1 if it may have, 0 if the time went by, -1 if the
 * session is closed. For one thread of each session. */
int32_t licet_changed(licet_session session, int64_t milliseconds);

/* What follows may speak to a license server, each for at most so many
 * milliseconds. It returns 1 if it was done, else 0, and *error says why.
 *
 * licet_wait     waits until the session is valid: for a place in the queue
 * licet_enable   takes a seat, where the session runs reduced
 * licet_disable  gives the seat back and goes on reduced
 * licet_borrow   takes the license along for so many seconds: the seat that the
 *                session has becomes the loan, with no break
 * licet_return   gives back what was borrowed */
int32_t licet_wait(licet_session session, int64_t milliseconds, char **error);
int32_t licet_enable(licet_session session, int64_t milliseconds, char **error);
int32_t licet_disable(licet_session session, int64_t milliseconds, char **error);
int32_t licet_borrow(licet_session session, int64_t seconds, int64_t milliseconds, char **error);
int32_t licet_return(licet_session session, int64_t milliseconds, char **error);

/* licet_use takes units of a license that is sold by units, activated on this machine
 * or moved to it, within so many milliseconds. Returns 1 when they are counted on the
 * disk, and *left, unless left is NULL, is how many are left: INT64_MAX of a license
 * that counts none. Else 0, and *error says why: fewer are left than were asked for,
 * for one. Then nothing was taken and *left is as it was. */
int32_t licet_use(licet_session session, int64_t units, int64_t milliseconds, int64_t *left, char **error);

/* Activation behind screens of the program's own, for at most so many
 * milliseconds each. All of it may be repeated: nothing is activated twice.
 *
 * licet_activate            redeems tickets, online. The machine trusts the vendor
 *                           of the trust file from then on, and a container is
 *                           made where there is none.
 * licet_activation_request  is the same without a network: a file, to be carried
 *                           to the vendor's page.
 * licet_import              takes in the file that comes back (*.licet-update, its
 *                           whole text), and gives the receipt.
 *
 * what is JSON; a key that is not known is refused:
 *
 *   {"tickets": ["K7WQM-3XHTA-..."],   as they were typed; not for licet_import
 *    "home": "/var/lib/licet"}         folder of the licenses; optional
 *
 * For licet_import it may be NULL. The answer is JSON:
 *
 *   {"code": "done",                   or why nothing was done, such as
 *                                      ticket_unknown, central_unreachable
 *    "message": "...", "hint": "...",  then: a sentence to show, and the next step
 *    "licenses": ["lic_..."],          that came in
 *    "removed": [],                    that went out
 *    "refused": [{"code": "...", "message": "..."}],  what a ticket could not give
 *    "request": "-----BEGIN ...",      of licet_activation_request
 *    "receipt": "-----BEGIN ..."}      to be carried back, where the vendor could
 *                                      not be told
 *
 * NULL if the program called it wrongly; then *error says why. An open session
 * sees what came in at its next look; licet_refresh makes it look now. */
char *licet_activate(const void *trust, size_t trust_size, const char *what, int64_t milliseconds, char **error);
char *licet_activation_request(const void *trust, size_t trust_size, const char *what, int64_t milliseconds, char **error);
char *licet_import(const char *file, const char *what, int64_t milliseconds, char **error);

/* licet_close ends the session and gives back what it held on the network. */
void licet_close(licet_session session);

/* licet_free frees a text of this library. NULL is allowed. */
void licet_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
