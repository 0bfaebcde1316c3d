/* SPDX-License-Identifier: MIT
 * Puts pages on the wire, and remembers for each page in which rounds it was reported and sent. */
#ifndef SENDER_H
#define SENDER_H

#include <sys/types.h>

#include "report.h"
#include "stream.h"

struct history { /* bit r: in round r */
  uint64_t reported, sent;
};

struct sender {
  struct stream *stream;
  const uint8_t *memory;
  uint64_t pages;
  struct history *history; /* one a page */
  uint64_t *zero;          /* bitmap: the page was zero when it was sent last */
  uint8_t *buffer;
  size_t used;
  size_t frame_at;                      /* of the open PAGES frame */
  uint64_t run_first, run_count;        /* open PAGES frame; count 0: none is open */
  uint64_t zero_first, zero_count;      /* the same for ZERO */
  uint64_t digests[STREAM_MAX_RUN];
  /* faults to be shown, see options.h */
  pid_t kill_peer;         /* 0: nobody */
  bool drop_page;          /* the next page that is not zero does not reach the wire */
};

int sender_open(struct sender *sender, const uint8_t *memory, uint64_t pages);
void sender_close(struct sender *sender);
/* A new connection: nothing has been sent over it. */
void sender_begin(struct sender *sender, struct stream *stream);
/* Sends the pages of a harvest and fills in the counts of the round. kill_half: the peer is killed half way. */
bool sender_round(struct sender *sender, const uint64_t *bitmap, struct round *round, bool kill_half);

/* Sends a run of pages at once. */
bool sender_pages(struct sender *sender, uint64_t first, uint64_t count);

#endif
