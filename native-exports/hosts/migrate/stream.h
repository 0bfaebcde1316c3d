/* SPDX-License-Identifier: MIT
 * The framing of a migration. A frame is a header of 32 bytes, little-endian, and `length` bytes of payload:
 *
 *   type        first        count       payload                         direction
 *   HELLO       version      0           struct hello                    ->
 *   ACCEPT      0            0           -                               <-   memory is there; after POSTCOPY: it can be so
 *   PAGES       first page   pages       pages, then their 64-bit digests ->
 *   ZERO        first page   pages       -                               ->   these pages are all zero
 *   ROUND_END   round        1 if last   -                               ->
 *   ROUND_ACK   round        0           -                               <-   all of it is in place
 *   VERIFY      0            0           -                               ->
 *   DIGESTS     first page   pages       64-bit digests                  <-   until every page was named
 *   STATE       0            0           bytes                           ->   of a guest: what is not in its memory
 *   POSTCOPY    session      pages       a bit for each page to come     ->   the guest will start before it has them
 *   WANT        first page   pages       -                               <-   somebody waits for the first of them
 *   ARRIVED     first page   pages       -                               <-   in place: the source may forget them
 *   ALL_SENT    0            0           -                               ->   nothing is missing any more
 *   BLOCKED     vCPUs        0           struct blocked                  <-   how long they waited
 *   RESUME      session      0           -                               ->   first on a new connection, after one broke
 *   MISSING     session      pages       a bit for each page to come     <-   what has not arrived
 *   RUN         0            0           struct handover                 ->   the guest is yours
 *   WORKING     0            0           -                               <-   now and then: still alive
 *   VERDICT     1 if good    0           struct verdict                  <-
 *   BYE         1 if good    0           -                               ->   the source's own verdict
 *   REFUSED     0            0           text                            both: why not
 *
 * Anything else, any number out of range and any other length is an error, never an overrun. */
#ifndef STREAM_H
#define STREAM_H

#include <pthread.h>

#include "common.h"

#define STREAM_VERSION 1u
#define STREAM_TIMEOUT_S 60u        /* how long a silent peer is waited for, if nobody says otherwise */
#define STREAM_MAX_RUN 128u        /* pages of one PAGES frame */
#define STREAM_MAX_DIGESTS 65536u  /* of one DIGESTS frame */
#define STREAM_MAX_STATE 65536u    /* bytes of a STATE frame */
#define STREAM_TEXT 200u

enum frame_type {
  FRAME_HELLO = 1, FRAME_ACCEPT, FRAME_PAGES, FRAME_ZERO, FRAME_ROUND_END, FRAME_ROUND_ACK, FRAME_VERIFY, FRAME_DIGESTS,
  FRAME_RUN, FRAME_WORKING, FRAME_VERDICT, FRAME_BYE, FRAME_REFUSED,
  FRAME_STATE, FRAME_POSTCOPY, FRAME_WANT, FRAME_ARRIVED, FRAME_ALL_SENT, FRAME_BLOCKED, FRAME_RESUME, FRAME_MISSING
};

struct frame {
  uint32_t magic;
  uint32_t type;
  uint64_t first;
  uint64_t count;
  uint64_t length;
};

struct hello {
  uint64_t memory;
  uint32_t guest;
  uint32_t policy;
};

struct handover {
  uint64_t answer;       /* threads: the final answer known beforehand; sqlite: 0 */
  uint64_t writes;       /* made by the guest until it was stopped */
  uint64_t transactions; /* sqlite */
};

struct verdict {
  uint64_t answer;
  uint64_t writes;    /* made by the destination */
  uint64_t resume_ns; /* from RUN until the guest had made its first step */
  char text[STREAM_TEXT];
};

#define STREAM_VCPUS 16u /* of which a BLOCKED frame tells */

struct blocked { /* says, too, that ALL_SENT has come: nothing is taken up again after it */
  uint64_t all_ns;              /* while all vCPUs waited for pages */
  uint64_t ns[STREAM_VCPUS];    /* each of them; those that the kernel stops: [0], while any page was waited for */
  uint64_t pages, twice;        /* that arrived after the start; of them, a second time */
  uint64_t connections;         /* that were needed after the first */
};

/* One thread reads; several may send whole frames. */
struct stream {
  int fd;
  pthread_mutex_t sending;
  uint64_t link;   /* bytes a second, 0: no limit */
  uint64_t due_ns; /* when the link is free again */
  uint64_t timeout_ms;
  bool silent;     /* the last call failed because nothing happened for so long */
  uint64_t sent, received;
  char error[STREAM_TEXT]; /* why the last call failed */
};

void stream_open(struct stream *stream, int fd, uint64_t link, uint64_t timeout_ms);
void stream_close(struct stream *stream);
/* From now on a silent peer is waited for so long. */
void stream_patience(struct stream *stream, uint64_t timeout_ms);
/* How often the peer has to hear something, to be on the safe side. */
uint64_t stream_alive_ns(const struct stream *stream);

/* All return false with stream->error set. */
bool stream_write(struct stream *stream, const void *data, size_t size);
bool stream_read(struct stream *stream, void *data, size_t size);
bool stream_send(struct stream *stream, enum frame_type type, uint64_t first, uint64_t count, const void *payload,
                 uint64_t length);
/* The header of the next frame, with the payload still to be read; WORKING is passed over. */
bool stream_receive(struct stream *stream, struct frame *frame);
/* The same, and does not pass WORKING over. */
bool stream_next(struct stream *stream, struct frame *frame);
/* Whether something is there to be read, or comes within a time; also when the connection is broken. */
bool stream_readable(const struct stream *stream, int timeout_ms);
/* The next frame, which must be of this type with a payload of exactly this length. */
bool stream_expect(struct stream *stream, enum frame_type type, struct frame *frame, void *payload, uint64_t length);

struct frame stream_header(enum frame_type type, uint64_t first, uint64_t count, uint64_t length);

#endif
