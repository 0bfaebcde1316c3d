/* SPDX-License-Identifier: MIT
 *
 * readers.c - guest threads that load: what they see is at least as new as what was published before. And vcpus that
 * come and go. */
#define GMAP_INLINE_YIELD(n) jostle(n)
#include "litmus.h"

#include "gmap_inline.h"

#include <stdlib.h>
#include <string.h>

#define CACHE 16u
#define BURST 8u

static void open_view(world *w, uint64_t *vcpu, gmap_view **view) {
  gmap_vcpu_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = GMAP_INLINE_VERSION;
  demand(w, gmap_vcpu_open(w->space, &config, vcpu, view), "gmap_vcpu_open");
}

static const void *resolve(world *w, gmap_view *view, gmap_cache_entry *cache, uint64_t at) {
  void *host = NULL;
  for (;;) {
    gmap_status status = cache ? gmap_cache_load(view, cache, CACHE - 1, at, 8, &host)
                               : gmap_load_ptr(view, at, 8, &host);
    if (status == 0) break;
    if (status != GMAP_INLINE_ASK) violation(w, "an aligned load is answered with %d", (int)status);
    demand(w, gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_READ, NULL), "gmap_fault");
  }
  if (host != w->memory + (at - GUEST))
    violation(w, "%s: a load from guest address 0x%llx is translated to %p",
              (uintptr_t)host >> 48 == 0xDBDB ? "touched a freed table" : "wrong", (unsigned long long)at, host);
  return host;
}

static void check_load(world *w, unsigned lane, unsigned spot, uint64_t at_least, uint64_t value) {
  unsigned page = w->page_of[spot];
  if (value != 0 && (value & 0xFFFFu) != page)
    violation(w, "a load from page %u finds a store to page %u", page, (unsigned)(value & 0xFFFFu));
  if (stamp_of(value) < at_least)
    violation(w, "a load from page %u, lane %u, finds stamp %llu after %llu was published", page, lane,
              (unsigned long long)stamp_of(value), (unsigned long long)at_least);
}

/* The other slot may go at any time: then its addresses are the guest's fault. */
static void look_at_other(world *w, gmap_view *view, uint64_t *random) {
  uint64_t at = guest_of(JUDGED_PAGES + (unsigned)below(random, WORLD_PAGES - JUDGED_PAGES));
  void *host = NULL;
  gmap_status status = gmap_load_resolve(view, at, 8, &host, NULL);
  if (status < 0) demand(w, status, "gmap_fault");
  if (status == 0 && host != w->memory + (at - GUEST))
    violation(w, "a load from guest address 0x%llx is translated to %p", (unsigned long long)at, host);
  if (status == 0) (void)guest_load((const uint64_t *)host);
}

/* While its slot may be going. */
static void split_other(world *w) {
  demand(w, gmap_split(w->space, guest_of(JUDGED_PAGES), (WORLD_PAGES - JUDGED_PAGES) * PAGE, 0, NULL), "gmap_split");
}

void *read_on(void *world_) {
  world *w = (world *)world_;
  gmap_cache_entry *cache = (gmap_cache_entry *)calloc(CACHE, sizeof *cache);
  uint64_t vcpu, random = seed_of(w, 'r', 0), value;
  gmap_view *view;
  jostle_begin(w->options, seed_of(w, 'l', 0));
  open_view(w, &vcpu, &view);
  while (!is_set(&w->stop_guests)) {
    int by_call = below(&random, 8) == 0;
    unsigned i;
    if (!by_call) gmap_enter(view);
    for (i = 0; i < BURST; i++) {
      unsigned lane = (unsigned)below(&random, w->lanes), spot = (unsigned)below(&random, w->spots);
      uint64_t at = guest_of(w->page_of[spot]) + 8u * cell_of(lane);
      uint64_t at_least = __atomic_load_n(&w->published[lane][spot], __ATOMIC_ACQUIRE);
      if (by_call) demand(w, gmap_read(w->space, at, &value, sizeof value), "gmap_read");
      else value = guest_load((const uint64_t *)resolve(w, view, i % 2 ? cache : NULL, at));
      if (w->options->control == STALE_READ && stamp_of(value) > 1000) value -= 1000ull << 16;
      check_load(w, lane, spot, at_least, value);
    }
    if (!by_call && w->program->operator & SLOTS) look_at_other(w, view, &random);
    if (!by_call) gmap_leave(view);
    if (by_call && w->program->operator & SLOTS) split_other(w);
    count(&w->result->reads, BURST);
  }
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
  free(cache);
  return NULL;
}

/* A store to a page that may not be there; to one that nobody judges. */
void visit(world *w, uint64_t *random, unsigned page) {
  uint64_t at = guest_of(page), vcpu;
  gmap_view *view;
  void *host = NULL;
  open_view(w, &vcpu, &view);
  gmap_enter(view);
  if (page < JUDGED_PAGES) __atomic_fetch_or(&w->scribbled[page], 1, __ATOMIC_ACQ_REL);
  if (gmap_store_resolve(view, at, 8, &host, NULL) == 0) {
    if (host != w->memory + (at - GUEST))
      violation(w, "a store to guest address 0x%llx is translated to %p", (unsigned long long)at, host);
    guest_store((uint64_t *)host, *random);
  }
  if (below(random, 2) != 0) gmap_leave(view); /* closing counts as leave */
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
}

void expect_holes(world *w, unsigned first, unsigned pages) {
  uint64_t vcpu;
  gmap_view *view;
  unsigned page;
  void *host;
  open_view(w, &vcpu, &view);
  gmap_enter(view);
  for (page = first; page < first + pages; page++)
    if (gmap_load_ptr(view, guest_of(page), 8, &host) != GMAP_INLINE_ASK)
      violation(w, "page %u is still mapped after its slot was deleted", page);
  gmap_leave(view);
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
}
