/* SPDX-License-Identifier: MIT
 * Postcopy at the source: its guest runs elsewhere by now; what is missing there is sent, first what somebody waits for. */
#ifndef PUSH_H
#define PUSH_H

#include "source.h"

/* Sends the pages of s->bitmap, each once, however often the connection breaks and is taken up again, forgets those that have
 * arrived, and hears the destination up to its account of who waited: the next frame is the verdict. False: it is lost, told, and
 * s->result->text says what that means. */
bool push_missing(struct source *s, uint64_t session, uint64_t begin_ns);

#endif
