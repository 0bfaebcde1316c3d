/* SPDX-License-Identifier: MIT
 * The framing of a migration. A frame is a header of 32 bytes, little-endian, and `length` bytes of payload:
 *
 *   type        first        count       payload                         direction
 *   HELLO       version      0           struct hello                    ->
 *   ACCEPT      0            0           -                               <-   memory is there
 *   PAGES       first page   pages       pages, then their 64-bit digests ->
 *   ZERO        first page   pages       -                               ->   these pages are all zero
 *   ROUND_END   round        1 if last   -                               ->
 *   ROUND_ACK   round        0           -                               <-   all of it is in place
 *   VERIFY      0            0           -                               ->
 *   DIGESTS     first page   pages       64-bit digests                  <-   until every page was named
 *   RUN         0            0           struct handover                 ->   the guest is yours
 *   WORKING     0            0           -                               <-   now and then: still alive
 *   VERDICT     1 if good    0           struct verdict                  <-
 *   BYE         1 if good    0           -                               ->   the source's own verdict
 *   REFUSED     0            0           text                            both: why not
 *
 * Anything else, any number out of range and any other length is an error, never an overrun. */
#ifndef STREAM_H
#define STREAM_H

#include "common.h"

#define STREAM_VERSION 1u
#define STREAM_TIMEOUT_S 60
#define STREAM_MAX_RUN 128u        /* pages of one PAGES frame */
#define STREAM_MAX_DIGESTS 65536u  /* of one DIGESTS frame */
#define STREAM_TEXT 200u

enum frame_type {
  FRAME_HELLO = 1, FRAME_ACCEPT, FRAME_PAGES, FRAME_ZERO, FRAME_ROUND_END, FRAME_ROUND_ACK, FRAME_VERIFY, FRAME_DIGESTS,
  FRAME_RUN, FRAME_WORKING, FRAME_VERDICT, FRAME_BYE, FRAME_REFUSED
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

struct stream {
  int fd;
  uint64_t link;   /* bytes a second, 0: no limit */
  uint64_t due_ns; /* when the link is free again */
  uint64_t sent, received;
  char error[STREAM_TEXT]; /* why the last call failed */
};

void stream_open(struct stream *stream, int fd, uint64_t link);
void stream_close(struct stream *stream);

/* All return false with stream->error set. */
bool stream_write(struct stream *stream, const void *data, size_t size);
bool stream_read(struct stream *stream, void *data, size_t size);
bool stream_send(struct stream *stream, enum frame_type type, uint64_t first, uint64_t count, const void *payload,
                 uint64_t length);
/* The header of the next frame, with the payload still to be read; WORKING is passed over. */
bool stream_receive(struct stream *stream, struct frame *frame);
/* The next frame, which must be of this type with a payload of exactly this length. */
bool stream_expect(struct stream *stream, enum frame_type type, struct frame *frame, void *payload, uint64_t length);

struct frame stream_header(enum frame_type type, uint64_t first, uint64_t count, uint64_t length);

#endif
