/* The language-independent shs1 test suite runs a program that does a handshake over its standard
 * input and output and then tells what keys it came to: encryption key and nonce, decryption key
 * and nonce. Any fault of the peer is a non-zero exit, at once and without another byte. */
#ifndef TEST_TOOLS_SHS1_STDIO_H
#define TEST_TOOLS_SHS1_STDIO_H

#include "layer/shs.h"

/* Reads `n` bytes of hex; exits with 2 when it is something else. */
void shs1_hex(const char *text, uint8_t *out, size_t n);

/* Does the handshake. The exit status. */
int shs1_run(bool server, const struct ms__shs_opts *opts);

#endif
