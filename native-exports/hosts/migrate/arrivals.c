/* SPDX-License-Identifier: MIT */
#include "arrivals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "digest.h"

#define MOST_WANTED 16u
#define POLL_NS 20000000ull
#define HANDSHAKE_MS 2000u /* of one who comes while the source is waited for: he may be a stranger, and keeps it out */
#define PAUSE_NS 100000000

struct arrivals {
  struct arrivals_config config;
  pthread_t receiver, asker;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct guest *guest; /* NULL until it is there; under the lock, as what follows */
  bool broken;         /* no source just now */
  bool again;          /* ask anew for what was asked for before */
  bool whole, failed;  /* the end: everything has come, or never will */
  bool over;           /* the guest has ended, nobody has to be told that it is at work */
  uint64_t *asked;     /* where the kernel stops: pages that somebody waits for, a bit each; under the lock */
  uint64_t asked_count, waiting, waiting_since_ns;
  struct blocked blocked;
  uint8_t *run; /* STREAM_MAX_RUN pages */
  /* the receiver's own: */
  uint64_t breaks, came; /* connections that broke; pages that had come by the last time */
  uint64_t deadline_ns;  /* of the source's return */
};

static uint64_t bitmap_bytes(const struct arrivals *a) { return (a->config.machine->pages + 63) / 64 * 8; }

static bool wrong(struct stream *stream, const char *text) {
  snprintf(stream->error, sizeof stream->error, "%s", text);
  return false;
}

/* How long everybody waited, up to now; `waits` of `all` do from now on. Under the lock. */
static void account(struct arrivals *a, uint64_t waits, uint64_t all) {
  uint64_t now = now_ns();
  if (a->waiting >= all && a->waiting) a->blocked.all_ns += now - a->waiting_since_ns;
  a->waiting = waits;
  a->waiting_since_ns = now;
}

/* Where the kernel stops accesses, who waits is known by the pages: one guest, as far as we see. Under the lock. */
static void note_arrival(struct arrivals *a, uint64_t first, uint64_t count) {
  for (uint64_t page = first; a->asked_count && page < first + count; page++) {
    uint64_t bit = 1ull << (page % 64);
    if (!(a->asked[page / 64] & bit)) continue;
    a->asked[page / 64] &= ~bit;
    if (--a->asked_count == 0 && a->config.stops) account(a, 0, 1);
  }
}

/* The receiver alone waits for the stream's end, so it has to see it: what cannot be sent ends the connection. */
static bool say(struct arrivals *a, enum frame_type type, uint64_t first, uint64_t count) {
  if (stream_send(a->config.stream, type, first, count, NULL, 0)) return true;
  shutdown(a->config.stream->fd, SHUT_RDWR);
  return false;
}

/* ---- the receiver ---- */

static bool provide(struct arrivals *a, const struct frame *frame, const void *data) {
  struct stream *stream = a->config.stream;
  gmap_status status = gmap_backing_provide(a->config.machine->missing, frame->first * PAGE, data, frame->count * PAGE);
  if (status != 0 && status != GMAP_EEXIST) {
    snprintf(stream->error, sizeof stream->error, "bringing page 0x%llx: %s", (unsigned long long)(frame->first * PAGE),
             gmap_strerror(status));
    return false;
  }
  pthread_mutex_lock(&a->lock);
  a->blocked.pages += frame->count;
  a->blocked.twice += status == GMAP_EEXIST ? frame->count : 0;
  note_arrival(a, frame->first, frame->count);
  pthread_mutex_unlock(&a->lock);
  return say(a, FRAME_ARRIVED, frame->first, frame->count);
}

static bool take_pages(struct arrivals *a, const struct frame *frame) {
  struct stream *stream = a->config.stream;
  uint64_t digests[STREAM_MAX_RUN];
  if (frame->count > STREAM_MAX_RUN || frame->length != frame->count * (PAGE + 8ull))
    return wrong(stream, "malformed stream: pages of a wrong length");
  if (!stream_read(stream, a->run, frame->count * PAGE) || !stream_read(stream, digests, frame->count * 8)) return false;
  for (uint64_t i = 0; i < frame->count; i++) /* before anybody sees it */
    if (digest_page(a->run + i * PAGE, NULL) != digests[i]) return wrong(stream, "a page was damaged on its way");
  return provide(a, frame, a->run);
}

static uint64_t missing(const struct arrivals *a) {
  uint64_t left = 1;
  gmap_backing_missing(a->config.machine->missing, 0, a->config.machine->pages, NULL, &left);
  return left;
}

static bool take(struct arrivals *a, const struct frame *frame, bool *all) {
  struct stream *stream = a->config.stream;
  uint64_t pages = a->config.machine->pages;
  if (frame->type == FRAME_ALL_SENT && frame->length == 0) {
    *all = missing(a) == 0;
    return *all || wrong(stream, "the source says that all was sent, and pages are missing");
  }
  if (frame->type != FRAME_PAGES && frame->type != FRAME_ZERO)
    return wrong(stream, "malformed stream: a frame that has no place while pages arrive");
  if (frame->count < 1 || frame->first >= pages || frame->count > pages - frame->first)
    return wrong(stream, "malformed stream: pages beyond the end of memory");
  if (frame->type == FRAME_PAGES) return take_pages(a, frame);
  return frame->length == 0 ? provide(a, frame, NULL) : wrong(stream, "malformed stream: pages of a wrong length");
}

/* The source shows that it is ours, and is told what has not come. */
static bool resume(struct arrivals *a, int fd, uint64_t left_ms) {
  struct stream *stream = a->config.stream;
  struct frame frame;
  uint64_t left, *bitmap = malloc(bitmap_bytes(a));
  bool good = bitmap != NULL;
  stream_open(stream, fd, 0, min_u64(left_ms, HANDSHAKE_MS));
  good = good && stream_expect(stream, FRAME_RESUME, &frame, NULL, 0);
  if (good && frame.first != a->config.session) {
    static const char text[] = "another migration is waited for here";
    stream_send(stream, FRAME_REFUSED, 0, 0, text, sizeof text - 1);
    good = false;
  }
  good = good && gmap_backing_missing(a->config.machine->missing, 0, a->config.machine->pages, bitmap, &left) == 0 &&
         stream_send(stream, FRAME_MISSING, a->config.session, left, bitmap, bitmap_bytes(a));
  free(bitmap);
  if (good) stream_patience(stream, a->config.timeout_s * 1000);
  else stream_close(stream);
  return good;
}

static void set_broken(struct arrivals *a, bool broken) {
  pthread_mutex_lock(&a->lock); /* has it when the asker has sent what it was just sending */
  a->broken = broken;
  a->again = true;
  if (broken) stream_close(a->config.stream);
  if (a->guest) pacer_pause(&a->guest->pacer, broken);
  pthread_mutex_unlock(&a->lock);
}

/* Until when the source may come again. One that comes and brings nothing new has no more time for it. */
static void set_deadline(struct arrivals *a) {
  const struct stream *stream = a->config.stream;
  uint64_t seconds = a->config.retry_s, came = a->blocked.pages - a->blocked.twice;
  if (a->breaks++ && came == a->came) {
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return;
  }
  if (stream->silent) seconds += a->config.timeout_s; /* it may notice as much later than we */
  a->came = came;
  a->deadline_ns = now_ns() + seconds * 1000000000;
  complain("the connection to the source broke (%s): the guest is paused, the source has %llu s to come again", stream->error,
           (unsigned long long)seconds);
}

/* A new connection, or false when none came in time. The asker sends nothing meanwhile. */
static bool reconnect(struct arrivals *a) {
  char bound[ADDRESS_TEXT];
  set_broken(a, true);
  set_deadline(a);
  for (bool resumed = false; !resumed;) {
    uint64_t now = now_ns(), left_ms = now < a->deadline_ns ? (a->deadline_ns - now) / 1000000 : 0;
    int listener = left_ms ? address_listen(a->config.address, bound) : -1;
    int fd = listener < 0 ? -1 : address_accept(listener, a->config.address, left_ms);
    if (fd < 0) return false;
    resumed = resume(a, fd, left_ms);
  }
  a->blocked.connections++;
  printf("the source is there again\n");
  fflush(stdout);
  set_broken(a, false);
  return true;
}

static void finish(struct arrivals *a, bool whole) {
  pthread_mutex_lock(&a->lock);
  a->whole = whole;
  a->failed = !whole;
  if (a->guest && !whole) {
    atomic_store(&a->guest->failed, true);
    pacer_stop(&a->guest->pacer);
  }
  if (a->guest && whole) pacer_pause(&a->guest->pacer, false);
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

static void *receive(void *argument) {
  struct arrivals *a = argument;
  struct frame frame;
  bool all = false;
  while (!all) {
    bool good = stream_receive(a->config.stream, &frame) && take(a, &frame, &all);
    if (!good && !reconnect(a)) break;
  }
  uint64_t left = all ? 0 : missing(a);
  if (left) {
    complain("lost the source for good, and %llu pages with it: the guest cannot go on, here or there", (unsigned long long)left);
    if (a->config.stops) _exit(EXIT_FAILED); /* threads that the kernel has stopped can be ended no other way */
  } else if (!all) {
    complain("lost the source for good after every page was there: the guest goes on");
  }
  finish(a, !left);
  return NULL;
}

/* ---- the asker ---- */

static void ask(struct arrivals *a, const uint64_t *wanted, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    uint64_t page = wanted[i] / PAGE, bit = 1ull << (page % 64), missing;
    bool gone = gmap_backing_missing(a->config.machine->missing, page, 1, &missing, NULL) != 0 || !missing;
    if (!gone && !(a->asked[page / 64] & bit)) {
      a->asked[page / 64] |= bit;
      if (a->asked_count++ == 0 && a->config.stops) account(a, 1, 1);
    }
    if (!gone && !say(a, FRAME_WANT, page, 1)) return;
  }
}

static void *serve_wanted(void *argument) {
  struct arrivals *a = argument;
  uint64_t wanted[MOST_WANTED], count, told = now_ns();
  for (bool ends = false; !ends;) {
    pthread_mutex_lock(&a->lock);
    uint32_t flags = a->again && !a->broken ? GMAP_WANTED_AGAIN : 0;
    if (flags) a->again = false;
    pthread_mutex_unlock(&a->lock);
    gmap_status status = gmap_backing_wanted(a->config.machine->missing, POLL_NS, flags, wanted, MOST_WANTED, &count);
    pthread_mutex_lock(&a->lock);
    if (status == 0 && !a->broken) ask(a, wanted, count);
    else a->again = a->again || (status == 0 && count);
    if (!a->broken && now_ns() - told > stream_alive_ns(a->config.stream)) {
      told = now_ns();
      say(a, FRAME_WORKING, 0, 0);
    }
    ends = a->over;
    pthread_mutex_unlock(&a->lock);
  }
  return NULL;
}

/* ---- what the destination calls ---- */

struct arrivals *arrivals_begin(const struct arrivals_config *config) {
  struct arrivals *a = calloc(1, sizeof *a);
  if (a) *a = (struct arrivals){.config = *config, .asked = calloc((config->machine->pages + 63) / 64, 8),
                                .run = malloc(STREAM_MAX_RUN * PAGE)};
  bool good = a && a->asked && a->run;
  if (!good) complain("out of memory");
  if (good) {
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    good = pthread_create(&a->receiver, NULL, receive, a) == 0;
    if (good && pthread_create(&a->asker, NULL, serve_wanted, a) != 0) {
      complain("starting a thread failed");
      exit(EXIT_FAILED); /* the other one uses all this already */
    }
    if (!good) complain("starting a thread failed");
  }
  if (good) return a;
  if (a) free(a->asked), free(a->run);
  free(a);
  return NULL;
}

void arrivals_serve(struct arrivals *a, struct guest *guest) {
  pthread_mutex_lock(&a->lock);
  a->guest = guest;
  guest->arrivals = a;
  if (a->failed) atomic_store(&guest->failed, true);
  pacer_pause(&guest->pacer, a->broken && !a->whole);
  pthread_mutex_unlock(&a->lock);
}

bool arrivals_wait(struct arrivals *a, uint32_t cpu, uint64_t guest_addr) {
  uint64_t begin = now_ns(), all = a->guest->header.threads;
  gmap_status status;
  pthread_mutex_lock(&a->lock);
  account(a, a->waiting + 1, all);
  pthread_mutex_unlock(&a->lock);
  do status = gmap_backing_wait(a->config.machine->missing, guest_addr, POLL_NS);
  while (status == GMAP_ETIMEDOUT && !atomic_load(&a->guest->failed));
  pthread_mutex_lock(&a->lock);
  account(a, a->waiting - 1, all);
  if (cpu < STREAM_VCPUS) a->blocked.ns[cpu] += now_ns() - begin;
  pthread_mutex_unlock(&a->lock);
  return status == 0;
}

bool arrivals_all(struct arrivals *a) {
  pthread_mutex_lock(&a->lock);
  while (!a->whole && !a->failed) pthread_cond_wait(&a->changed, &a->lock);
  bool whole = a->whole;
  pthread_mutex_unlock(&a->lock);
  return whole;
}

bool arrivals_end(struct arrivals *a, struct blocked *blocked) {
  bool whole = arrivals_all(a);
  pthread_mutex_lock(&a->lock);
  a->over = true;
  pthread_mutex_unlock(&a->lock);
  pthread_join(a->receiver, NULL);
  pthread_join(a->asker, NULL);
  if (a->config.stops) a->blocked.ns[0] = a->blocked.all_ns;
  if (blocked) *blocked = a->blocked;
  if (a->guest) a->guest->arrivals = NULL;
  whole = whole && machine_complete(a->config.machine) == DONE;
  free(a->asked);
  free(a->run);
  free(a);
  return whole;
}
