/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>
#include <sys/mman.h>

#define MOST_PAGES 16384u
#define LOW_MEMORY (512 * MIB)

static const uint64_t limits[] = {2 * GIB - 1, 64 * GIB - 1, 4 * TIB + 16 * GIB - 1, ~0ull};

static gmap_slot *slot_at(struct world *w, unsigned place) { return &w->layout.slots[place]; }

void world_open(struct world *w, const struct kind *kind, struct case_file *cases, unsigned records) {
  gmap_engine_config engine = {.struct_size = sizeof engine, .arena_bytes = 64 * MIB};
  gmap_space_config space = {.struct_size = sizeof space, .limit = limits[kind->top], .table_format = kind->format,
                             .split_policy = kind->policy, .huge = kind->huge, .dirty_scope = kind->scope,
                             .tracking = kind->tracking};
  gmap_vcpu_config vcpu = {.struct_size = sizeof vcpu};
  *w = (struct world){.kind = kind, .cases = cases, .records = records, .next_real = FRAMES, .next_low = LOW_MEMORY,
                      .random = cases->random};
  w->layout = (struct layout){.limit = space.limit, .host_frames = kind->low_memory,
                              .by_generation = kind->tracking == GMAP_TRACK_GENERATION};
  REQUIRE_OK(gmap_engine_create(&engine, &w->engine));
  REQUIRE_OK(gmap_space_create(w->engine, &space, &w->space));
  REQUIRE_OK(gmap_vcpu_open(w->space, &vcpu, &w->vcpu, NULL));
}

void world_close(struct world *w) {
  REQUIRE_OK(gmap_vcpu_close(w->vcpu));
  REQUIRE_OK(gmap_space_destroy(w->space));
  REQUIRE_OK(gmap_engine_destroy(w->engine));
}

/* Never touched, so it takes no memory; and it stays. */
static uint64_t host_memory(struct world *w, uint64_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *wanted = w->kind->low_memory ? (void *)(uintptr_t)w->next_low : NULL;
  uint8_t *at = mmap(wanted, size + MIB, PROT_READ | PROT_WRITE, flags | (wanted ? MAP_FIXED_NOREPLACE : 0), -1, 0);
  REQUIRE(at != MAP_FAILED);
  w->next_low += (size + 2 * MIB) & ~(MIB - 1);
  return ((uintptr_t)at + MIB - 1) & ~(MIB - 1);
}

static void set(struct world *w, unsigned place) {
  gmap_slot *slot = slot_at(w, place);
  REQUIRE_OK(gmap_slot_set(w->space, slot));
}

void world_slot(struct world *w, unsigned place, uint32_t flags, uint64_t guest, uint64_t size, uint64_t host) {
  bool ragged = place == SLOT_RAGGED;
  /* Where leaves fit, guest, host and real address agree modulo 1 MB; ragged: none of them with another. */
  uint64_t off = guest % MIB;
  if (!host) host = host_memory(w, size + off + 2 * PAGE) + (ragged ? off + 2 * PAGE : off);
  w->next_real = ((w->next_real + MIB - 1) & ~(MIB - 1)) + off + (ragged ? PAGE : 0);
  w->layout.real[place] = w->kind->low_memory ? host : w->next_real;
  w->next_real += size;
  *slot_at(w, place) = (gmap_slot){.struct_size = sizeof(gmap_slot), .flags = flags, .id = place + 1, .guest_addr = guest,
                                   .size = size, .host_addr = host};
  set(w, place);
}

void world_change(struct world *w, unsigned place, uint32_t flags, uint64_t guest, uint64_t size) {
  gmap_slot *slot = slot_at(w, place);
  slot->flags = flags;
  slot->guest_addr = guest;
  slot->size = size;
  set(w, place);
}

void world_limit(struct world *w, uint64_t limit) {
  REQUIRE_OK(gmap_space_set_limit(w->space, limit));
  w->layout.limit = limit;
}

void world_touch(struct world *w, unsigned place, uint32_t access, unsigned times) {
  const gmap_slot *slot = slot_at(w, place);
  for (unsigned i = 0; i < times; i++) {
    uint64_t page = random_below(&w->random, slot->size / PAGE);
    if (i < 2) page = i ? slot->size / PAGE - 1 : 0;
    gmap_status status = gmap_fault(w->vcpu, slot->guest_addr + page * PAGE, access, NULL);
    REQUIRE(status == 0 || status == GMAP_PIC_PROTECTION);
  }
}

void world_populate(struct world *w, unsigned place, uint64_t offset, uint64_t size, uint32_t access) {
  REQUIRE_OK(gmap_populate(w->space, slot_at(w, place)->guest_addr + offset, size, access, 0, NULL));
}

void world_harvest(struct world *w, unsigned place, uint64_t first, uint64_t pages) {
  static uint64_t bitmap[MOST_PAGES / 64];
  REQUIRE_OK(gmap_dirty_harvest(w->space, slot_at(w, place)->id, first, pages, 0, bitmap, MOST_PAGES / 64, NULL));
}

void world_clear(struct world *w, unsigned place, uint64_t first, uint64_t pages) {
  static uint64_t bitmap[MOST_PAGES / 64];
  memset(bitmap, 0x5A, sizeof bitmap);
  REQUIRE_OK(gmap_dirty_clear(w->space, slot_at(w, place)->id, first, pages, 0, bitmap));
}

void world_protect(struct world *w, unsigned place, uint64_t offset, uint64_t size, uint32_t prot, uint32_t notify) {
  REQUIRE_OK(gmap_protect(w->space, slot_at(w, place)->guest_addr + offset, size, prot, notify));
}

void world_picture(struct world *w, const char *about) {
  char text[128];
  snprintf(text, sizeof text, "%s: %s", w->kind->name, about);
  case_picture(w->cases, w->space, &w->layout, text, w->records);
}
