/* SPDX-License-Identifier: MIT
 * unix:PATH and tcp:HOST:PORT. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include "common.h"

#define ADDRESS_TEXT 160u

/* A listening socket, or -1 after one line. bound receives the address for a source, a chosen port filled in. */
int address_listen(const char *address, char bound[ADDRESS_TEXT]);
/* Waits for one source, then closes and removes the listening socket: the connection, or -1. timeout_ms 0: for ever. */
int address_accept(int listener, const char *address, uint64_t timeout_ms);
/* A connection, or -1 after one line (none if quiet). A peer that does not answer is waited for until timeout_ms. */
int address_connect(const char *address, bool quiet, uint64_t timeout_ms);

#endif
