/* SPDX-License-Identifier: MIT
 * unix:PATH and tcp:HOST:PORT. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include "common.h"

#define ADDRESS_TEXT 160u

/* A listening socket, or -1 after one line. bound receives the address for a source, a chosen port filled in. */
int address_listen(const char *address, char bound[ADDRESS_TEXT]);
/* Waits for one source, then closes and removes the listening socket. timeout_s 0: for ever. */
int address_accept(int listener, const char *address, uint64_t timeout_s);
/* A connection, or -1 after one line (none if quiet). */
int address_connect(const char *address, bool quiet);

#endif
