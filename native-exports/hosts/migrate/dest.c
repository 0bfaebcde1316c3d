/* SPDX-License-Identifier: MIT */
#include "dest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "digest.h"
#include "guest.h"
#include "report.h"

struct destination {
  struct stream stream;
  struct machine machine;
  struct guest guest;
  uint32_t guest_kind;
  uint64_t *touched; /* bitmap: the page has held bytes; the others are as fresh memory is, zero */
  uint64_t round_pages;
  bool last_round, verified; /* what RUN needs */
};

static bool wrong(struct destination *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct destination *d, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(d->stream.error, sizeof d->stream.error, format, list);
  va_end(list);
  return false;
}

static bool greet(struct destination *d) {
  struct frame frame;
  struct hello hello;
  const char *refusal = NULL;
  uint64_t here = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
  if (!stream_expect(&d->stream, FRAME_HELLO, &frame, &hello, sizeof hello)) return false;
  if (frame.first != STREAM_VERSION) refusal = "another version of gmap-migrate";
  else if (hello.memory < 32 * SEGMENT || hello.memory % SEGMENT) refusal = "a strange size of memory";
  else if (hello.memory > here) refusal = "more guest memory than this machine has";
  else if (hello.guest != GUEST_THREADS && hello.guest != GUEST_SQLITE) refusal = "an unknown guest";
  else if (hello.policy > GMAP_SPLIT_EAGER) refusal = "an unknown split policy";
  else if (machine_create(&d->machine, hello.memory, hello.policy) != DONE) refusal = "no machine of this size";
  else if (!(d->touched = calloc((d->machine.pages + 63) / 64, 8))) refusal = "out of memory";
  if (refusal) {
    stream_send(&d->stream, FRAME_REFUSED, 0, 0, refusal, strlen(refusal));
    return wrong(d, "refused the source: %s", refusal);
  }
  d->guest_kind = hello.guest;
  printf("source connected: %s guest, %llu MiB\n", guest_kind_name(hello.guest),
         (unsigned long long)(hello.memory >> 20));
  fflush(stdout);
  return stream_send(&d->stream, FRAME_ACCEPT, 0, 0, NULL, 0);
}

static bool in_range(const struct destination *d, const struct frame *frame, uint64_t most) {
  return frame->count >= 1 && frame->count <= most && frame->first < d->machine.pages &&
         frame->count <= d->machine.pages - frame->first;
}

static bool take_pages(struct destination *d, const struct frame *frame) {
  uint64_t digests[STREAM_MAX_RUN];
  if (!in_range(d, frame, STREAM_MAX_RUN) || frame->length != frame->count * (PAGE + 8ull))
    return wrong(d, "malformed stream: pages beyond the end of memory, or of a wrong length");
  uint8_t *at = d->machine.memory + frame->first * PAGE;
  if (!stream_read(&d->stream, at, frame->count * PAGE) || !stream_read(&d->stream, digests, frame->count * 8))
    return false;
  for (uint64_t i = 0; i < frame->count; i++) {
    uint64_t page = frame->first + i;
    d->touched[page / 64] |= 1ull << (page % 64);
    if (digest_page(at + i * PAGE, NULL) != digests[i])
      return wrong(d, "page 0x%llx was damaged on its way", (unsigned long long)(page * PAGE));
  }
  d->round_pages += frame->count;
  return true;
}

static bool take_zero(struct destination *d, const struct frame *frame) {
  if (!in_range(d, frame, d->machine.pages) || frame->length != 0)
    return wrong(d, "malformed stream: zero pages beyond the end of memory");
  for (uint64_t page = frame->first; page < frame->first + frame->count; page++)
    if (d->touched[page / 64] >> (page % 64) & 1) memset(d->machine.memory + page * PAGE, 0, PAGE);
  d->round_pages += frame->count;
  return true;
}

static bool end_round(struct destination *d, const struct frame *frame) {
  if (frame->length != 0 || frame->count > 1) return wrong(d, "malformed stream: a strange end of a round");
  d->last_round = frame->count == 1;
  printf("round %llu%s: %llu pages are in place\n", (unsigned long long)frame->first, d->last_round ? ", the last" : "",
         (unsigned long long)d->round_pages);
  fflush(stdout);
  d->round_pages = 0;
  return stream_send(&d->stream, FRAME_ROUND_ACK, frame->first, 0, NULL, 0);
}

static bool send_digests(struct destination *d, const struct frame *frame) {
  uint64_t *digests = malloc(STREAM_MAX_DIGESTS * sizeof *digests);
  bool good = digests && frame->length == 0;
  for (uint64_t page = 0; page < d->machine.pages && good;) {
    uint64_t count = min_u64(d->machine.pages - page, STREAM_MAX_DIGESTS);
    for (uint64_t i = 0; i < count; i++) digests[i] = digest_page(d->machine.memory + (page + i) * PAGE, NULL);
    good = stream_send(&d->stream, FRAME_DIGESTS, page, count, digests, count * 8);
    page += count;
  }
  free(digests);
  d->verified = d->last_round;
  return good || wrong(d, "cannot send the digests of all pages");
}

/* The guest is ours. */
static bool run_guest(struct destination *d, const struct frame *frame, bool *good) {
  struct handover handover;
  struct verdict verdict = {0};
  struct frame bye;
  if (frame->length != sizeof handover || !d->verified)
    return wrong(d, "malformed stream: a hand-over before its time");
  if (!stream_read(&d->stream, &handover, sizeof handover)) return false;
  *good = guest_adopt(&d->guest, &d->machine, d->guest_kind) == DONE;
  if (*good) *good = d->guest.ops->complete(&d->guest, &handover, &verdict, &d->stream);
  else snprintf(verdict.text, sizeof verdict.text, "the guest cannot be taken over");
  guest_destroy(&d->guest);
  printf("%s\n", verdict.text);
  if (!stream_send(&d->stream, FRAME_VERDICT, *good, 0, &verdict, sizeof verdict) ||
      !stream_expect(&d->stream, FRAME_BYE, &bye, NULL, 0))
    return false;
  *good = *good && bye.first == 1;
  return true;
}

/* Frame by frame until the guest has run or something is wrong. */
static bool serve(struct destination *d, bool *good) {
  struct frame frame;
  if (!greet(d)) return false;
  for (;;) {
    bool whole;
    if (!stream_receive(&d->stream, &frame)) return false;
    switch (frame.type) {
      case FRAME_PAGES: whole = take_pages(d, &frame); break;
      case FRAME_ZERO: whole = take_zero(d, &frame); break;
      case FRAME_ROUND_END: whole = end_round(d, &frame); break;
      case FRAME_VERIFY: whole = send_digests(d, &frame); break;
      case FRAME_RUN: return run_guest(d, &frame, good);
      case FRAME_BYE: return wrong(d, "the source found pages that differ");
      default: return wrong(d, "malformed stream: frame %u has no place here", frame.type);
    }
    if (!whole) return false;
  }
}

int destination_run(const struct options *options) {
  struct destination d = {0};
  char bound[ADDRESS_TEXT];
  bool good = false;
  int listener = address_listen(options->address, bound);
  if (listener < 0) return EXIT_FAILED;
  printf("listening on %s\n", bound);
  fflush(stdout);
  int fd = address_accept(listener, options->address, options->accept_s);
  if (fd < 0) return EXIT_FAILED;
  stream_open(&d.stream, fd, 0);
  if (!serve(&d, &good)) complain("destination: %s", d.stream.error);
  stream_close(&d.stream);
  if (d.machine.memory) machine_destroy(&d.machine);
  free(d.touched);
  if (options->json) printf("{\"verified\":%s,\"role\":\"destination\"}\n", good ? "true" : "false");
  return good ? EXIT_SUCCESS : EXIT_FAILED;
}
