/* SPDX-License-Identifier: MIT
 *
 * nested.c - a guest with a guest, which has one too. Page p of the inner guests is page p of the world, or its spot's neighbour:
 * the operator swaps the two in the guest's tables all the time. The oracle: a store through a shadow goes where the tables lead at
 * that very moment, for who rewrites them waits for those who are in a section. */
#include "litmus.h"

#include "gmap_inline.h"

#include <string.h>

#define SEGMENT_PAGES 256u
#define TABLES 1024u              /* world pages, of the other slot: the first guest's table of segments, then its five page tables */
#define SECOND_TABLES (TABLES + 20) /* the same of its guest, of four */
#define JUDGED_SEGMENTS 4u
#define LEAST_ENTRIES 512u        /* of a table of segments */
#define SEGMENT_INVALID 0x20ull
#define PAGE_INVALID 0x400ull
#define REAL_SPACE 0x20ull

static gmap_view *rewriter;
static uint64_t rewriter_vcpu;

int is_nested(const world *w) {
  return strpbrk(w->program->paths, "nN") != NULL && w->options->tracking != GMAP_TRACK_GENERATION;
}

/* The rest of the world's fifth segment is in the first guest's, too, and its guest's tables with it. */
uint64_t first_asce(void) { return guest_of(TABLES); }
uint64_t second_asce(void) { return SECOND_TABLES * PAGE; }

static uint64_t entry_of(uint64_t value) { return __builtin_bswap64(value); }

static uint64_t *first_entry(world *w, unsigned page) {
  return cell_at(w->memory, TABLES + 1 + page / SEGMENT_PAGES, page % SEGMENT_PAGES);
}

static void plant_segments(world *w, unsigned table, uint64_t first_page_table, unsigned count) {
  unsigned i;
  for (i = 0; i < LEAST_ENTRIES; i++)
    guest_store(cell_at(w->memory, table, i), entry_of(i < count ? first_page_table + i * PAGE : SEGMENT_INVALID));
}

/* Before anybody runs. */
void nested_plant(world *w) {
  unsigned page;
  if (!is_nested(w)) return;
  plant_segments(w, TABLES, guest_of(TABLES + 1), JUDGED_SEGMENTS + 1);
  plant_segments(w, SECOND_TABLES, (SECOND_TABLES + 1) * PAGE, JUDGED_SEGMENTS);
  for (page = 0; page < WORLD_PAGES; page++) guest_store(first_entry(w, page), entry_of(guest_of(page)));
  for (page = 0; page < JUDGED_SEGMENTS * SEGMENT_PAGES; page++)
    guest_store(cell_at(w->memory, SECOND_TABLES + 1 + page / SEGMENT_PAGES, page % SEGMENT_PAGES), entry_of(page * PAGE));
}

/* The world's page that a page of the inner guests is now. */
unsigned nested_leads(world *w, unsigned page) { return (unsigned)((entry_of(guest_load(first_entry(w, page))) - GUEST) / PAGE); }

gmap_status open_shadow(world *w, uint64_t space, uint64_t asce, uint32_t edat, uint64_t *shadow) {
  gmap_status status;
  do status = gmap_shadow_open(space, asce, edat, shadow); /* all that there may be are open, or just being ended */
  while (status == GMAP_EBUSY && !is_set(&w->stop_guests));
  return status;
}

void nested_begin(world *w) {
  gmap_vcpu_config config;
  if (!is_nested(w)) return;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = GMAP_INLINE_VERSION;
  demand(w, gmap_vcpu_open(w->space, &config, &rewriter_vcpu, &rewriter), "gmap_vcpu_open");
}

void nested_end(world *w) {
  if (is_nested(w)) demand(w, gmap_vcpu_close(rewriter_vcpu), "gmap_vcpu_close");
}

static void rewrite_entry(world *w, unsigned page, unsigned leads) {
  void *host = NULL;
  uint64_t at = guest_of(TABLES) + (uint64_t)((unsigned char *)first_entry(w, page) - (w->memory + TABLES * PAGE));
  gmap_enter(rewriter);
  demand(w, gmap_store_resolve(rewriter, at, 8, &host, NULL), "gmap_fault of a table");
  jostle(6);
  guest_store((uint64_t *)host, entry_of(guest_of(leads)));
  gmap_leave(rewriter);
}

/* The guest swaps two pages of its guest's. Now and then its tables, or those of its guest, are paged out. */
void rewrite(world *w, uint64_t *random) {
  unsigned spot = (unsigned)below(random, w->spots) & ~1u, one = w->page_of[spot], other = w->page_of[spot + 1];
  unsigned before = nested_leads(w, one);
  if (!is_nested(w)) return;
  rewrite_entry(w, one, before == one ? other : one);
  rewrite_entry(w, other, before == one ? one : other);
  if (below(random, 8) == 0)
    demand(w, gmap_unmap(w->space, guest_of(TABLES + (unsigned)below(random, 25)), PAGE, 0, NULL), "gmap_unmap of a table");
}

/* A guest without tables comes, looks at a page, and goes; there is room for one such beside the two. */
void visit_shadow(world *w, uint64_t *random) {
  unsigned page = (unsigned)below(random, JUDGED_PAGES);
  gmap_vcpu_config config;
  gmap_view *view = NULL;
  uint64_t shadow = 0, vcpu = 0;
  void *host = NULL;
  if (!is_nested(w)) return;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = GMAP_INLINE_VERSION;
  if (open_shadow(w, w->space, REAL_SPACE, (uint32_t)below(random, 3), &shadow) == GMAP_EBUSY) return; /* it ends */
  demand(w, gmap_vcpu_open(shadow, &config, &vcpu, &view), "gmap_vcpu_open (shadow)");
  gmap_enter(view);
  demand(w, gmap_load_resolve(view, guest_of(page), 8, &host, NULL), "gmap_fault (real space)");
  if (host != w->memory + page * PAGE) violation(w, "page %u of a real space is at %p", page, host);
  gmap_leave(view);
  demand(w, gmap_vcpu_close(vcpu), "gmap_vcpu_close");
  demand(w, gmap_shadow_close(shadow), "gmap_shadow_close");
}
