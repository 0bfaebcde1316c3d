/* SPDX-License-Identifier: MIT */
#include "guest_nested.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gmap_inline.h"

#define SEGMENT_TABLE 0x10000ull /* 2048 entries */
#define ASCE (SEGMENT_TABLE | 3) /* a segment table of full length */
#define PAGE_TABLES SEGMENT
#define PAGE_TABLE_BYTES 2048u
#define PAGES_A_SEGMENT (SEGMENT / PAGE)
#define SEGMENT_INVALID 0x20u
#define PAGE_INVALID 0x400u
#define REST_NS 300000 /* between two moves */

struct nested {
  struct guest *guest;
  uint64_t shadow, first, pages; /* inner pages: the first one's number, and how many */
  uint64_t *frames;              /* of each, an outer address */
  uint64_t *spare, spares;       /* frames that nobody has */
  uint64_t random;
  pthread_t thread;
  bool started;
  atomic_bool ends;
  _Atomic uint64_t moves;
};

static uint64_t tables_bytes(uint64_t memory) { return round_up(memory / SEGMENT * PAGE_TABLE_BYTES, SEGMENT); }

uint64_t nested_overhead(uint64_t memory) { return tables_bytes(memory) + SEGMENT; }

uint64_t nested_shift(const struct guest_header *header) { return tables_bytes(header->memory); }

static uint64_t entry_place(uint64_t inner_page) {
  return PAGE_TABLES + inner_page / PAGES_A_SEGMENT * PAGE_TABLE_BYTES + inner_page % PAGES_A_SEGMENT * 8;
}

static void put(uint8_t *at, uint64_t entry) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(entry >> (56 - 8 * i));
}

static uint64_t get(const uint8_t *at) {
  uint64_t entry = 0;
  for (int i = 0; i < 8; i++) entry = entry << 8 | at[i];
  return entry;
}

static void first_and_count(const struct guest_header *h, uint64_t *first, uint64_t *pages) {
  *first = SEGMENT / PAGE; /* where the threads' partitions begin */
  *pages = h->threads * h->partition / PAGE;
}

void nested_fill(struct guest *guest) {
  uint8_t *memory = guest->machine->memory;
  uint64_t first, pages, shift = nested_shift(&guest->header);
  first_and_count(&guest->header, &first, &pages);
  for (uint64_t segment = 0; segment < 2048; segment++) {
    bool there = segment >= first / PAGES_A_SEGMENT && segment < (first + pages) / PAGES_A_SEGMENT;
    put(memory + SEGMENT_TABLE + segment * 8, there ? PAGE_TABLES + segment * PAGE_TABLE_BYTES : SEGMENT_INVALID);
  }
  for (uint64_t page = first; page < first + pages; page++) put(memory + entry_place(page), page * PAGE + shift);
}

/* Which frames the tables name, each once and inside; the others are spare. */
static int read_tables(struct nested *nested) {
  const uint8_t *memory = nested->guest->machine->memory;
  uint64_t lowest = nested->first * PAGE + nested_shift(&nested->guest->header);
  uint64_t count = nested->pages + PAGES_A_SEGMENT;
  bool *used = calloc(count, 1);
  if (!used) return complain("out of memory");
  int result = DONE;
  for (uint64_t i = 0; i < nested->pages && result == DONE; i++) {
    uint64_t frame = get(memory + entry_place(nested->first + i)), at = (frame - lowest) / PAGE;
    if (frame % PAGE || frame < lowest || at >= count || used[at]) result = complain("the nested guest's tables are damaged");
    else used[at] = true, nested->frames[i] = frame;
  }
  for (uint64_t at = 0; at < count; at++)
    if (!used[at] && nested->spares < PAGES_A_SEGMENT) nested->spare[nested->spares++] = lowest + at * PAGE;
  free(used);
  return result;
}

struct nested *nested_open(struct guest *guest) {
  struct nested *nested = calloc(1, sizeof *nested);
  if (!nested) return complain("out of memory"), NULL;
  nested->guest = guest;
  nested->random = guest->header.seed;
  first_and_count(&guest->header, &nested->first, &nested->pages);
  nested->frames = calloc(nested->pages, sizeof *nested->frames);
  nested->spare = calloc(PAGES_A_SEGMENT, sizeof *nested->spare);
  if (nested->frames && nested->spare && read_tables(nested) == DONE) return nested;
  if (!nested->frames || !nested->spare) complain("out of memory");
  nested_close(nested);
  return NULL;
}

void nested_close(struct nested *nested) {
  if (!nested) return;
  free(nested->frames);
  free(nested->spare);
  free(nested);
}

/* A store of the outer guest. When it has been granted no inner thread uses what hung on that entry. */
static gmap_status store_entry(gmap_view *view, uint64_t at, uint64_t entry) {
  void *host;
  gmap_enter(view);
  gmap_status status = gmap_store_resolve(view, at, 8, &host, NULL);
  if (!status) put(host, entry);
  gmap_leave(view);
  return status;
}

/* Both pages in one section: the second one's fault would end the first one's. */
static gmap_status copy_page(gmap_view *view, uint64_t from, uint64_t to) {
  for (;;) {
    void *source, *target;
    gmap_enter(view);
    gmap_status status = gmap_load_ptr(view, from, PAGE, &source);
    if (!status) status = gmap_store_ptr(view, to, PAGE, &target);
    if (!status) memcpy(target, source, PAGE);
    gmap_leave(view);
    if (status != GMAP_INLINE_ASK) return status;
    status = gmap_fault(view->vcpu, view->ask_addr, view->ask_addr == to ? GMAP_ACCESS_WRITE : GMAP_ACCESS_READ, NULL);
    gmap_leave(view);
    if (status) return status;
  }
}

/* A page gets another frame: its entry is made invalid, its bytes are copied, the entry leads to the copy. Now and then the
 * whole segment is away meanwhile. */
static gmap_status move_page(struct nested *nested, gmap_view *view) {
  nested->random = mix64(nested->random + 1);
  uint64_t i = nested->random % nested->pages, page = nested->first + i;
  uint64_t *spare = &nested->spare[nested->random / nested->pages % nested->spares], from = nested->frames[i], to = *spare;
  bool whole = nested->moves % 16 == 0;
  uint64_t segment = page / PAGES_A_SEGMENT, at = entry_place(page);
  gmap_status status = whole ? store_entry(view, SEGMENT_TABLE + segment * 8, SEGMENT_INVALID) : 0;
  if (!status) status = store_entry(view, at, PAGE_INVALID);
  if (!status) status = copy_page(view, from, to);
  if (!status) status = store_entry(view, at, to);
  if (!status && whole) status = store_entry(view, SEGMENT_TABLE + segment * 8, PAGE_TABLES + segment * PAGE_TABLE_BYTES);
  if (status) return status;
  nested->frames[i] = to;
  *spare = from;
  atomic_fetch_add(&nested->moves, 1);
  return 0;
}

static void *run_outer(void *argument) {
  struct nested *nested = argument;
  gmap_view *view;
  uint64_t vcpu;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_status status = gmap_vcpu_open(nested->guest->machine->space, &config, &vcpu, &view);
  while (!status && !atomic_load(&nested->ends)) {
    status = move_page(nested, view);
    nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
  }
  if (status) {
    atomic_store(&nested->guest->failed, true);
    complain("the outer guest: %s", gmap_strerror(status));
  } else {
    gmap_vcpu_close(vcpu);
  }
  return NULL;
}

int nested_start(struct nested *nested) {
  gmap_status status = gmap_shadow_open(nested->guest->machine->space, ASCE, GMAP_EDAT_1, &nested->shadow);
  if (status) return complain("opening the shadow: %s", gmap_strerror(status));
  atomic_store(&nested->ends, false);
  int error = pthread_create(&nested->thread, NULL, run_outer, nested);
  nested->started = error == 0;
  return error ? complain("starting the outer guest: %s", strerror(error)) : DONE;
}

int nested_stop(struct nested *nested) {
  atomic_store(&nested->ends, true);
  if (nested->started) pthread_join(nested->thread, NULL);
  nested->started = false;
  gmap_status status = nested->shadow ? gmap_shadow_close(nested->shadow) : 0;
  nested->shadow = 0;
  return status ? complain("closing the shadow: %s", gmap_strerror(status)) : DONE;
}

uint64_t nested_space(const struct nested *nested) { return nested->shadow; }

void nested_read(const struct nested *nested, uint64_t inner_addr, void *data, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += PAGE) {
    uint64_t frame = nested->frames[(inner_addr + done) / PAGE - nested->first];
    memcpy((uint8_t *)data + done, nested->guest->machine->memory + frame, PAGE);
  }
}

uint64_t nested_moves(const struct nested *nested) { return nested->moves; }
