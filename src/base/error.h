/* Error values. */
#ifndef MS_BASE_ERROR_H
#define MS_BASE_ERROR_H

#include "multiserver.h"

/* Fills *err (which may be NULL): everything else is cleared. `layer` may be NULL. `fmt` makes the
 * message, a sentence without the address and without secrets; NULL takes the code's own text.
 * Returns `code`. */
int ms__error(ms_error *err, int code, enum ms_phase phase, const char *layer, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The same with a system error: its text is added to the message after ": ". */
int ms__error_sys(ms_error *err, int code, int sys, enum ms_phase phase, const char *layer,
                  const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Sets the address an error is about, cut to fit. The caller has taken seeds and user information
 * out. */
void ms__error_address(ms_error *err, const char *address);

#endif
