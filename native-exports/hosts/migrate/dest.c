/* SPDX-License-Identifier: MIT */
#include "dest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "arrivals.h"
#include "digest.h"
#include "guest.h"
#include "report.h"

struct destination {
  struct stream stream;
  struct machine machine;
  struct guest guest;
  uint32_t guest_kind;
  struct guest_state outside;
  uint64_t *touched; /* bitmap: the page has held bytes; the others are as fresh memory is, zero */
  uint64_t round_pages;
  bool last_round, verified; /* what RUN needs */
  uint64_t session, *to_come; /* postcopy: 0, NULL without */
  const struct options *options;
  const char *address;
  bool told; /* why it failed, already */
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
  if (frame.first != STREAM_VERSION) refusal = "another version of this program";
  else if (hello.memory < 32 * SEGMENT || hello.memory % SEGMENT) refusal = "a strange size of memory";
  else if (hello.memory > here) refusal = "more guest memory than this machine has";
  else if (!guest_known(hello.guest)) refusal = "an unknown guest";
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
  if (frame->length != 0) return wrong(d, "malformed stream: a strange request for digests");
  uint64_t *digests = malloc(STREAM_MAX_DIGESTS * sizeof *digests);
  if (!digests) return wrong(d, "out of memory");
  bool good = true;
  for (uint64_t page = 0; page < d->machine.pages && good;) {
    uint64_t count = min_u64(d->machine.pages - page, STREAM_MAX_DIGESTS);
    for (uint64_t i = 0; i < count; i++) digests[i] = digest_page(d->machine.memory + (page + i) * PAGE, NULL);
    good = stream_send(&d->stream, FRAME_DIGESTS, page, count, digests, count * 8);
    page += count;
  }
  free(digests);
  d->verified = d->last_round;
  return good;
}

static bool take_state(struct destination *d, const struct frame *frame) {
  if (d->outside.bytes || !(d->verified || d->to_come) || frame->length < 1 || frame->length > STREAM_MAX_STATE)
    return wrong(d, "malformed stream: a state before its time, or of a strange size");
  d->outside = (struct guest_state){.bytes = malloc(frame->length), .size = frame->length};
  return d->outside.bytes ? stream_read(&d->stream, d->outside.bytes, frame->length) : wrong(d, "out of memory");
}

/* Not everything is there: what is missing comes while the guest runs. */
static bool take_postcopy(struct destination *d, const struct frame *frame) {
  uint64_t words = (d->machine.pages + 63) / 64, pages = 0;
  if (d->to_come || !d->last_round || !frame->first || frame->length != words * 8)
    return wrong(d, "malformed stream: a postcopy before its time, or of another memory");
  d->session = frame->first;
  if (!(d->to_come = malloc(words * 8))) return wrong(d, "out of memory");
  if (!stream_read(&d->stream, d->to_come, words * 8)) return false;
  for (uint64_t i = 0; i < words; i++) pages += (uint64_t)__builtin_popcountll(d->to_come[i]);
  uint64_t beyond = d->machine.pages % 64 ? d->to_come[words - 1] >> d->machine.pages % 64 : 0;
  if (pages != frame->count || beyond || d->to_come[0] & 1) /* page 0 is what a guest begins with */
    return wrong(d, "malformed stream: a postcopy of other pages than it says, or of the first one");
  if (machine_expect(&d->machine, d->to_come, d->guest_kind != GUEST_THREADS) == DONE)
    return stream_send(&d->stream, FRAME_ACCEPT, 0, 0, NULL, 0);
  static const char refusal[] = "postcopy is not possible here";
  stream_send(&d->stream, FRAME_REFUSED, 0, 0, refusal, sizeof refusal - 1);
  return wrong(d, "refused the source: %s", refusal);
}

static bool complete(struct destination *d, const struct handover *handover, struct verdict *verdict, struct arrivals *arrivals) {
  if (guest_adopt(&d->guest, &d->machine, d->guest_kind, &d->outside) != DONE)
    return snprintf(verdict->text, sizeof verdict->text, "the guest cannot be taken over"), false;
  if (arrivals) arrivals_serve(arrivals, &d->guest);
  return d->guest.ops->complete(&d->guest, handover, verdict, arrivals ? NULL : &d->stream);
}

/* As it runs, its memory arrives. */
static bool run_on_arrivals(struct destination *d, const struct handover *handover, struct verdict *verdict) {
  struct arrivals_config config = {.machine = &d->machine, .stream = &d->stream, .address = d->address, .session = d->session,
                                   .retry_s = d->options->retry_s, .timeout_s = d->options->timeout_s,
                                   .stops = d->guest_kind != GUEST_THREADS};
  struct blocked blocked;
  struct arrivals *arrivals = arrivals_begin(&config);
  if (!arrivals) return snprintf(verdict->text, sizeof verdict->text, "the guest could not be started"), false;
  bool good = complete(d, handover, verdict, arrivals);
  uint64_t vcpus = d->guest_kind == GUEST_THREADS && d->guest.ops ? d->guest.header.threads : 1;
  bool whole = arrivals_end(arrivals, &blocked);
  if (whole && good && d->guest.header.image_bytes && !guest_image_right(&d->guest))
    good = snprintf(verdict->text, sizeof verdict->text, "the guest's image is damaged") < 0;
  d->told = !whole;
  return whole && stream_send(&d->stream, FRAME_BLOCKED, vcpus, 0, &blocked, sizeof blocked) && good;
}

/* The guest is ours. */
static bool run_guest(struct destination *d, const struct frame *frame, bool *good) {
  struct handover handover;
  struct verdict verdict = {0};
  struct frame bye;
  if (frame->length != sizeof handover || !(d->verified || d->to_come))
    return wrong(d, "malformed stream: a hand-over before its time");
  if (!stream_read(&d->stream, &handover, sizeof handover)) return false;
  *good = d->to_come ? run_on_arrivals(d, &handover, &verdict) : complete(d, &handover, &verdict, NULL);
  if (d->guest.ops) guest_destroy(&d->guest);
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
    if (d->to_come && frame.type != FRAME_STATE && frame.type != FRAME_RUN)
      return wrong(d, "malformed stream: frame %u between postcopy and hand-over", frame.type);
    switch (frame.type) {
      case FRAME_PAGES: whole = take_pages(d, &frame); break;
      case FRAME_ZERO: whole = take_zero(d, &frame); break;
      case FRAME_ROUND_END: whole = end_round(d, &frame); break;
      case FRAME_VERIFY: whole = send_digests(d, &frame); break;
      case FRAME_STATE: whole = take_state(d, &frame); break;
      case FRAME_POSTCOPY: whole = take_postcopy(d, &frame); break;
      case FRAME_RUN: return run_guest(d, &frame, good);
      case FRAME_BYE: return wrong(d, "the source found pages that differ");
      default: return wrong(d, "malformed stream: frame %u has no place here", frame.type);
    }
    if (!whole) return false;
  }
}

int destination_run(const struct options *options) {
  struct destination d = {.options = options};
  char bound[ADDRESS_TEXT];
  bool good = false;
  int listener = address_listen(options->address, bound);
  if (listener < 0) return EXIT_FAILED;
  printf("listening on %s\n", bound);
  fflush(stdout);
  int fd = address_accept(listener, options->address, options->accept_s * 1000);
  if (fd < 0) return complain("%s: no source came within %llu s", bound, (unsigned long long)options->accept_s), EXIT_FAILED;
  d.address = bound;
  stream_open(&d.stream, fd, 0, options->timeout_s * 1000);
  bool served = serve(&d, &good);
  good = good && served; /* its guest may have come to its end, and the source does not know */
  if (!served && !d.told) complain("destination: %s", d.stream.error);
  stream_close(&d.stream);
  if (d.machine.memory) machine_destroy(&d.machine);
  free(d.touched);
  free(d.to_come);
  free(d.outside.bytes);
  if (options->json) printf("{\"verified\":%s,\"role\":\"destination\"}\n", good ? "true" : "false");
  return good ? EXIT_SUCCESS : EXIT_FAILED;
}
