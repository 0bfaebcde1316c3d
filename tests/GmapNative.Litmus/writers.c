/* SPDX-License-Identifier: MIT
 *
 * writers.c - guest threads and devices. For each store: started (the stamp is said), the right, the store,
 * published. */
#define GMAP_INLINE_YIELD(n) jostle(n)
#include "litmus.h"

#include "gmap_inline.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>

#define CACHE 16u
#define BURST 4u /* stores in a section */
#define SECTIONS 64u /* of an inner guest before it is opened anew */

typedef struct store {
  unsigned lane, spot, page;
  uint64_t stamp;
} store;

static store begin_store(writer *me, unsigned spot, unsigned lane) {
  store s;
  s.lane = lane;
  s.spot = spot;
  s.page = me->w->page_of[spot];
  s.stamp = ++me->stamp;
  __atomic_store_n(&me->w->started[lane][spot], s.stamp, __ATOMIC_RELEASE);
  return s;
}

static void publish(writer *me, const store *s) {
  __atomic_store_n(&me->w->published[s->lane][s->spot], s->stamp, __ATOMIC_RELEASE);
  count(&me->w->result->stores, 1);
}

static uint64_t address_of(const store *s) { return guest_of(s->page) + 8u * cell_of(s->lane); }

/* The tables say where the store goes; the world knows where it has to. */
static void check_host(world *w, const void *host, uint64_t guest_addr) {
  const void *right = w->memory + (guest_addr - GUEST);
  if (host == right) return;
  if ((uintptr_t)host >> 48 == 0xDBDB || (uintptr_t)host >> 56 == 0xDB)
    violation(w, "touched a freed table: guest address 0x%llx translates to the poison %p",
              (unsigned long long)guest_addr, host);
  violation(w, "guest address 0x%llx translates to %p, not to %p", (unsigned long long)guest_addr, host, right);
}

static void put(writer *me, const store *s, void *host) {
  jostle(6);
  check_host(me->w, host, address_of(s));
  guest_store((uint64_t *)host, cell_value(s->stamp, s->page));
}

static void ask(writer *me, gmap_view *view) {
  demand(me->w, gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_WRITE, NULL), "gmap_fault");
}

/* Some are written all the time, the others now and then: those are found clean in the middle of a round. */
static unsigned choose_spot(writer *me) {
  const world *w = me->w;
  unsigned own = w->program->own ? (w->spots - me->me + w->writers - 1) / w->writers : w->spots;
  unsigned among = own < 8 || w->program->layout == DENSE || below(&me->random, 32) == 0 ? own : own / 8;
  return w->program->own ? me->me + w->writers * (unsigned)below(&me->random, among)
                         : (unsigned)below(&me->random, among);
}

static unsigned choose_lane(writer *me) { return 2 * me->me + (unsigned)(next_random(&me->random) >> 40 & 1); }

static void store_inline(writer *me, gmap_view *view, gmap_cache_entry *cache) {
  store s = begin_store(me, choose_spot(me), choose_lane(me));
  void *host = NULL;
  for (;;) {
    gmap_status status = me->path == BY_POLL ? gmap_again_store(view, cache, CACHE - 1, address_of(&s), 8, &host)
                         : cache             ? gmap_cache_store(view, cache, CACHE - 1, address_of(&s), 8, &host)
                                             : gmap_store_ptr(view, address_of(&s), 8, &host);
    if (status == 0) break;
    if (status != GMAP_INLINE_ASK) violation(me->w, "an aligned store is answered with %d", (int)status);
    ask(me, view);
  }
  put(me, &s, host);
  publish(me, &s);
}

/* The last cell of one page and the first of the next, by one access. */
static void store_crossing(writer *me, gmap_view *view) {
  unsigned spot = (unsigned)below(&me->random, me->w->spots - 1);
  store left = begin_store(me, spot, 2 * me->me + 1), right = begin_store(me, spot + 1, 2 * me->me);
  uint64_t size = address_of(&right) + 8 - address_of(&left);
  void *host = NULL;
  for (;;) {
    gmap_status status = gmap_store_ptr(view, address_of(&left), size, &host);
    if (status == 0) break;
    if (status != GMAP_INLINE_ASK) violation(me->w, "a crossing store is answered with %d", (int)status);
    ask(me, view);
  }
  put(me, &left, host);
  put(me, &right, (unsigned char *)host + (size - 8));
  publish(me, &left);
  publish(me, &right);
}

static void store_by_fault(writer *me, gmap_view *view) {
  store s = begin_store(me, choose_spot(me), choose_lane(me));
  gmap_fault_result r;
  memset(&r, 0, sizeof r);
  r.struct_size = sizeof r;
  demand(me->w, gmap_fault(view->vcpu, address_of(&s), GMAP_ACCESS_WRITE, &r), "gmap_fault");
  put(me, &s, (void *)(uintptr_t)r.host_addr);
  publish(me, &s);
}

static void store_many(writer *me, gmap_view *view) {
  gmap_fault_request requests[BURST];
  store stores[BURST];
  size_t done = 0;
  unsigned i;
  memset(requests, 0, sizeof requests);
  for (i = 0; i < BURST; i++) {
    stores[i] = begin_store(me, choose_spot(me), choose_lane(me));
    requests[i].guest_addr = address_of(&stores[i]);
    requests[i].access = GMAP_ACCESS_WRITE;
  }
  demand(me->w, gmap_fault_many(view->vcpu, requests, BURST, sizeof *requests, &done), "gmap_fault_many");
  if (done != BURST) violation(me->w, "gmap_fault_many did %u of %u and says 0", (unsigned)done, BURST);
  for (i = 0; i < BURST; i++) {
    put(me, &stores[i], (void *)(uintptr_t)requests[i].host_addr);
    publish(me, &stores[i]);
  }
}

static void store_by_write(writer *me) {
  store s = begin_store(me, choose_spot(me), choose_lane(me));
  uint64_t value = cell_value(s.stamp, s.page);
  demand(me->w, gmap_write(me->w->space, address_of(&s), &value, sizeof value), "gmap_write");
  publish(me, &s);
}

/* A device: the store, then the mark. */
static void store_and_mark(writer *me) {
  enum control control = me->w->options->control;
  store s = begin_store(me, choose_spot(me), choose_lane(me));
  put(me, &s, cell_at(me->w->memory, s.page, cell_of(s.lane)));
  if (control == LATE_MARK) {
    publish(me, &s);
    sched_yield();
  }
  if (control == UNMARKED_STORE && s.stamp % 64 == 0) /* into a page of nobody's: never marked, never published */
    guest_store(cell_at(me->w->memory, JUDGED_PAGES - 1, cell_of(s.lane)), s.stamp);
  demand(me->w, gmap_mark_dirty(me->w->space, address_of(&s), 8), "gmap_mark_dirty");
  if (control != LATE_MARK) publish(me, &s);
}

static void store_in_section(writer *me, gmap_view *view, gmap_cache_entry *cache) {
  unsigned i;
  if (me->path != BY_POLL || !(view->inside & 1)) gmap_enter(view);
  for (i = 0; i < BURST; i++) {
    switch (me->path) {
      case BY_CACHE:
      case BY_POLL: store_inline(me, view, cache); break;
      case CROSSING: store_crossing(me, view); break;
      case BY_FAULT: store_by_fault(me, view); break;
      case BY_MANY: store_many(me, view); i = BURST; break;
      default: store_inline(me, view, NULL); break;
    }
  }
  if (me->w->options->control == WILD_ACCESS && me->stamp > 1000) { /* as a walk through a poisoned table would */
    volatile uint64_t poison = 0xDBDBDBDBDBDBD000ull;
    guest_store((uint64_t *)(uintptr_t)poison, 1);
  }
  if (me->path != BY_POLL) gmap_leave(view); /* else when its vcpu is closed */
}

/* A page of the inner guest is one of two in the world, which are swapped meanwhile: both are said before the right is asked for. */
static void store_inner(writer *me, gmap_view *view, gmap_cache_entry *cache) {
  world *w = me->w;
  unsigned spot = choose_spot(me), lane = choose_lane(me), page;
  store both[2] = {begin_store(me, spot, lane), begin_store(me, spot ^ 1u, lane)};
  const store *s = both;
  uint64_t address = both[0].page * PAGE + 8u * cell_of(lane);
  int cached = below(&me->random, 4) != 0;
  void *host = NULL;
  for (;;) {
    gmap_status status = cached ? gmap_cache_store(view, cache, CACHE - 1, address, 8, &host) : gmap_store_ptr(view, address, 8, &host);
    if (status == 0) break;
    if (status != GMAP_INLINE_ASK) violation(w, "an aligned store of an inner guest is answered with %d", (int)status);
    status = gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_WRITE, NULL);
    if (status != GMAP_EAGAIN) demand(w, status, "gmap_fault (shadow)");
  }
  jostle(6);
  page = (unsigned)(((unsigned char *)host - w->memory) / (ptrdiff_t)PAGE);
  if (page != nested_leads(w, both[0].page))
    violation(w, "a store to page %u of an inner guest goes to page %u, its tables say %u", both[0].page, page,
              nested_leads(w, both[0].page));
  s += page != both[0].page;
  guest_store((uint64_t *)host, cell_value(s->stamp, s->page));
  publish(me, s);
}

/* Some sections of a shadow's vcpu, which comes and goes, and its shadow with it. */
static void write_inner(writer *me, gmap_cache_entry *cache) {
  world *w = me->w;
  gmap_vcpu_config config;
  uint64_t first = 0, second = 0, vcpu = 0;
  gmap_view *view = NULL;
  unsigned section, i;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = GMAP_INLINE_VERSION;
  memset(cache, 0, CACHE * sizeof *cache); /* another shadow may count its generations from the same number */
  if (open_shadow(w, w->space, first_asce(), 1, &first) == GMAP_EBUSY) return; /* it ends */
  if (me->path == BY_SECOND && open_shadow(w, first, second_asce(), 1, &second) == GMAP_EBUSY) {
    demand(w, gmap_shadow_close(first), "gmap_shadow_close");
    return;
  }
  demand(w, gmap_vcpu_open(second ? second : first, &config, &vcpu, &view), "gmap_vcpu_open (shadow)");
  for (section = 0; section < SECTIONS && !is_set(&w->stop_guests); section++) {
    gmap_enter(view);
    for (i = 0; i < BURST; i++) store_inner(me, view, cache);
    gmap_leave(view);
    pause_for(w->program->pause);
  }
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
  if (second) demand(w, gmap_shadow_close(second), "gmap_shadow_close");
  demand(w, gmap_shadow_close(first), "gmap_shadow_close");
}

void *write_on(void *writer_) {
  writer *me = (writer *)writer_;
  world *w = me->w;
  gmap_cache_entry *cache = (gmap_cache_entry *)calloc(CACHE, sizeof *cache);
  gmap_vcpu_config config;
  uint64_t vcpu = 0;
  gmap_view *view = NULL;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = GMAP_INLINE_VERSION;
  jostle_begin(w->options, seed_of(w, 'j', me->me));
  demand(w, gmap_vcpu_open(w->space, &config, &vcpu, &view), "gmap_vcpu_open");
  __atomic_fetch_add(&w->guests_ready, 1, __ATOMIC_RELEASE);
  while (!is_set(&w->stop_guests)) {
    switch (me->path) {
      case BY_WRITE: store_by_write(me); break;
      case BY_MARK: store_and_mark(me); break;
      case BY_INNER:
      case BY_SECOND:
        if (is_nested(w)) write_inner(me, cache);
        else store_in_section(me, view, NULL);
        break;
      default: store_in_section(me, view, cache); break;
    }
    pause_for(w->program->pause);
  }
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
  free(cache);
  return NULL;
}
