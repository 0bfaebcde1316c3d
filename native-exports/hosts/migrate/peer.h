/* SPDX-License-Identifier: MIT
 * The demo's destination: a second process of this program. */
#ifndef PEER_H
#define PEER_H

#include <sys/types.h>

#include "address.h"
#include "options.h"

struct peer {
  pid_t pid;
  int output; /* its stdout */
  char address[ADDRESS_TEXT];
  char folder[96]; /* of its unix socket; empty: none */
};

/* Starts a destination and connects to it: the socket, or -1 after one line. */
int peer_start(struct peer *peer, const struct options *options);
/* Waits for its end, ends it if it hangs: its exit status, or -1 if a signal ended it. The connection is closed. */
int peer_wait(struct peer *peer);

#endif
