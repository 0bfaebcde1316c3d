/* SPDX-License-Identifier: MIT */
#include "push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "address.h"

#define CHUNK 16u  /* pages between two looks at what is wanted */
#define AROUND 8u  /* pages that are sent with one that is wanted */
#define MOST_HEARD 64u /* frames between two chunks: nobody keeps the source from sending by talking */
#define PAUSE_NS 100000000

struct push {
  struct source *s;
  uint64_t *owed;    /* s->bitmap: what the destination has not said to have */
  uint64_t *missing; /* of that, what has not been sent over this connection */
  uint64_t *told;    /* room for what it says to miss */
  uint64_t left, unsaid; /* how many of missing, of owed */
  uint64_t at, sent, session, begin_ns;
  bool all_sent, broke_once;
  uint64_t breaks, unsaid_then; /* connections that broke; `unsaid` at the last one that brought something */
  uint64_t deadline_ns;
};

static inline bool bit(const uint64_t *bitmap, uint64_t i) { return bitmap[i / 64] >> (i % 64) & 1; }
static inline void clear(uint64_t *bitmap, uint64_t i) { bitmap[i / 64] &= ~(1ull << (i % 64)); }

static uint64_t count_bits(const uint64_t *bitmap, uint64_t pages) {
  uint64_t n = 0;
  for (uint64_t i = 0; i < (pages + 63) / 64; i++) n += (uint64_t)__builtin_popcountll(bitmap[i]);
  return n;
}

static bool wrong(struct push *p, const char *text) {
  snprintf(p->s->stream->error, sizeof p->s->stream->error, "malformed stream: %s", text);
  return false;
}

/* Up to `most` of the missing pages from first on that are neighbours; how many, 0 if the first is not missing. */
static uint64_t run_of(const struct push *p, uint64_t first, uint64_t most) {
  uint64_t n = 0;
  while (n < most && first + n < p->s->machine->pages && bit(p->missing, first + n)) n++;
  return n;
}

static bool send_run(struct push *p, uint64_t first, uint64_t count) {
  struct source *s = p->s;
  for (uint64_t page = first; page < first + count; page++) clear(p->missing, page);
  p->left -= count;
  p->sent += count;
  if (s->options->break_at && !p->broke_once && p->sent >= s->options->break_at) {
    p->broke_once = true;
    shutdown(s->stream->fd, SHUT_RDWR);
  }
  uint64_t before = s->stream->sent;
  if (!sender_pages(&s->sender, first, count)) return false;
  s->result->bytes_sent += s->stream->sent - before;
  s->result->pages_sent += count;
  for (uint64_t page = first; page < first + count; page++) s->result->zero_pages += bit(s->sender.zero, page);
  return true;
}

/* Has arrived there; the guest will not run here again, so the page is given back. */
static void forget(struct push *p, uint64_t page) {
  clear(p->owed, page);
  p->unsaid--;
  p->s->result->pages_forgotten++;
  madvise(p->s->machine->memory + page * PAGE, PAGE, MADV_DONTNEED);
}

/* What was not sent cannot have arrived: it would be lost. */
static bool arrived(struct push *p, const struct frame *frame) {
  for (uint64_t page = frame->first; page < frame->first + frame->count; page++) {
    if (!bit(p->owed, page) || bit(p->missing, page)) return wrong(p, "a page has arrived that was not on its way");
    forget(p, page);
  }
  return true;
}

static bool take_blocked(struct push *p, const struct frame *frame) {
  struct run_result *r = p->s->result;
  struct blocked blocked;
  if (!p->all_sent || p->unsaid || frame->length != sizeof blocked || frame->first < 1)
    return wrong(p, "a strange account of who waited, or before its time");
  if (!stream_read(p->s->stream, &blocked, sizeof blocked)) return false;
  r->vcpus = (uint32_t)min_u64(frame->first, STREAM_VCPUS);
  r->blocked_all_ms = (double)blocked.all_ns / 1e6;
  r->pages_twice = blocked.twice;
  for (uint32_t i = 0; i < r->vcpus; i++) r->blocked_ms[i] = (double)blocked.ns[i] / 1e6;
  return true;
}

/* What the destination says meanwhile; *over: the verdict is next. */
static bool hear(struct push *p, bool *over) {
  uint64_t pages = p->s->machine->pages;
  struct frame frame;
  if (!stream_next(p->s->stream, &frame)) return false;
  if (frame.type == FRAME_WORKING && frame.length == 0) return true;
  if (frame.type == FRAME_BLOCKED) return *over = take_blocked(p, &frame);
  bool whole = frame.length == 0 && frame.count >= 1 && frame.first < pages && frame.count <= pages - frame.first;
  if (whole && frame.type == FRAME_ARRIVED) return arrived(p, &frame);
  if (!whole || frame.type != FRAME_WANT) return wrong(p, "a frame that has no place while pages are sent");
  uint64_t count = run_of(p, frame.first, AROUND); /* 0: it was on its way already */
  p->s->result->pages_urgent += count != 0;
  if (count) p->at = frame.first + count; /* its neighbours are wanted next, if any */
  return !count || send_run(p, frame.first, count);
}

static bool send_all(struct push *p) {
  struct stream *stream = p->s->stream;
  bool over = false;
  while (p->left) {
    for (unsigned i = 0; i < MOST_HEARD && stream_readable(stream, 0); i++)
      if (!hear(p, &over)) return false;
    if (p->at >= p->s->machine->pages) p->at = 0;
    if (!p->missing[p->at / 64]) {
      p->at = (p->at | 63) + 1;
      continue;
    }
    uint64_t count = run_of(p, p->at, CHUNK);
    if (count && !send_run(p, p->at, count)) return false;
    p->at += count ? count : 1;
  }
  p->s->result->total_ms = (double)(now_ns() - p->begin_ns) / 1e6;
  return p->all_sent = stream_send(stream, FRAME_ALL_SENT, 0, 0, NULL, 0);
}

/* Over one connection. ALL_SENT may be lost like any page: only the destination's last word shows that it came. */
static bool push_over(struct push *p) {
  bool over = false;
  if (!send_all(p)) return false;
  while (!over)
    if (!hear(p, &over)) return false;
  return true;
}

/* The destination says what it has not got; everything else has come. What it had before it cannot miss again: it is not here. */
static bool take_up_again(struct push *p, int fd, uint64_t left_ms) {
  struct source *s = p->s;
  struct frame frame;
  uint64_t pages = s->machine->pages, words = (pages + 63) / 64;
  stream_close(s->stream); /* of the try before */
  stream_open(s->stream, fd, s->options->link, min_u64(left_ms, s->options->timeout_s * 1000));
  if (!stream_send(s->stream, FRAME_RESUME, p->session, 0, NULL, 0) ||
      !stream_expect(s->stream, FRAME_MISSING, &frame, p->told, words * 8))
    return false;
  for (uint64_t i = 0; i < words; i++) /* neither what it has acknowledged, nor less than what was never sent */
    if (p->told[i] & ~p->owed[i] || p->missing[i] & ~p->told[i]) return wrong(p, "other pages are missing than can be");
  if (frame.first != p->session || frame.count != count_bits(p->told, pages)) return wrong(p, "a strange list of what is missing");
  for (uint64_t page = 0; page < pages; page++)
    if (bit(p->owed, page) && !bit(p->told, page)) forget(p, page);
  memcpy(p->missing, p->told, words * 8);
  p->left = frame.count;
  p->all_sent = false;
  sender_begin(&s->sender, s->stream);
  stream_patience(s->stream, s->options->timeout_s * 1000);
  return true;
}

/* Until when the destination is looked for. One that is found and takes nothing has no more time for it. */
static void set_deadline(struct push *p) {
  const struct options *options = p->s->options;
  uint64_t seconds = options->retry_s;
  if (p->breaks++ && p->unsaid == p->unsaid_then) return;
  if (p->s->stream->silent) seconds += options->timeout_s; /* it may notice as much later than we */
  p->unsaid_then = p->unsaid;
  p->deadline_ns = now_ns() + seconds * 1000000000;
  complain("the connection broke (%s), %llu pages are to be sent still: looking for the destination for %llu s",
           p->s->stream->error, (unsigned long long)p->left, (unsigned long long)seconds);
}

static bool recover(struct push *p) {
  struct source *s = p->s;
  set_deadline(p);
  stream_close(s->stream); /* so that the destination sees it, too, if it does not know yet */
  for (bool first = p->breaks == 1;; first = false) {
    if (!first) nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    uint64_t now = now_ns(), left_ms = now < p->deadline_ns ? (p->deadline_ns - now) / 1000000 : 0;
    if (!left_ms) break;
    int fd = address_connect(s->address, true, min_u64(left_ms, s->options->timeout_s * 1000));
    if (fd < 0 || !take_up_again(p, fd, left_ms)) continue;
    s->result->reconnects++;
    return true;
  }
  snprintf(s->result->text, sizeof s->result->text, p->unsaid ? "the guest is lost" : "what became of the guest is not known");
  if (!p->unsaid)
    return complain("lost the destination after every page was there (%s): the guest may be running there, so it stays stopped here",
                    s->stream->error), false;
  return complain("lost the destination for good while %llu pages were missing there (%s): the guest ran there, so it stays "
                  "stopped here", (unsigned long long)p->unsaid, s->stream->error), false;
}

bool push_missing(struct source *s, uint64_t session, uint64_t begin_ns) {
  uint64_t bytes = (s->machine->pages + 63) / 64 * 8, pages = count_bits(s->bitmap, s->machine->pages);
  struct push p = {.s = s, .session = session, .begin_ns = begin_ns, .owed = s->bitmap, .missing = malloc(bytes),
                   .told = malloc(bytes), .left = pages, .unsaid = pages};
  bool good = p.missing && p.told;
  if (good) memcpy(p.missing, s->bitmap, bytes);
  else complain("out of memory");
  if (good)
    while (!(good = push_over(&p)) && recover(&p)) continue;
  s->result->pages_after = p.sent;
  free(p.missing);
  free(p.told);
  return good;
}
