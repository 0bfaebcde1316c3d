// Guests: memory that is kept from run to run, an engine and a space of their own for each.
#include <sys/mman.h>
#include "study.h"

#define ALIGNMENT (2ull << 20)
#define SLOT 1u

const char *const policy_names[POLICIES] = {"never", "lazy", "eager", "ahead"};

const char *format_name(uint32_t format) { return format == GMAP_TABLE_2K ? "2 KB" : "4 KB PGSTE"; }

static uint8_t *map(uint64_t size, bool spare) {
  uint8_t *at = mmap(NULL, size + ALIGNMENT, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    perror("guest memory");
    exit(1);
  }
  at += (ALIGNMENT - (uintptr_t)at % ALIGNMENT) % ALIGNMENT;
  madvise(at, size, spare ? MADV_NOHUGEPAGE : MADV_HUGEPAGE); // a wish
  return at;
}

// Guests of one kind and size use the same memory one after the other: a program and a database go on in it.
static uint8_t *memory_of(enum work work, uint64_t size) {
  static struct {
    uint8_t *at;
    uint64_t size;
  } kept[3];
  int kind = work == THREADS ? 1 : work == SQLITE ? 2 : 0;
  uint64_t state = 0x9E3779B97F4A7C15ull + (uint64_t)kind;
  if (kept[kind].size == size) return kept[kind].at;
  if (kept[kind].at) munmap(kept[kind].at, kept[kind].size);
  if (kind == 2) database_close();
  kept[kind].at = map(size, false);
  kept[kind].size = size;
  for (uint64_t i = 0; i < size / 8; i++) ((uint64_t *)kept[kind].at)[i] = random64(&state); // no page is zero
  if (kind == 1) threads_fill(kept[kind].at, size);
  if (kind == 2) database_open(kept[kind].at, size);
  return kept[kind].at;
}

static uint8_t *copy_of(uint64_t size) {
  static uint8_t *at;
  static uint64_t has;
  if (size <= has) return at;
  if (at) munmap(at, has);
  has = size;
  at = map(size, false);
  memset(at, 1, size);
  return at;
}

void guest_spoil_copy(guest *g) {
  for (uint64_t page = 0; page < g->pages; page++) {
    uint64_t word;
    memcpy(&word, g->memory + page * PAGE, 8);
    word = ~word;
    memcpy(g->copy + page * PAGE, &word, 8);
  }
}

uint64_t guest_compare(const guest *g) {
  uint64_t differ = 0;
  for (uint64_t page = 0; page < g->pages; page++) {
    if (memcmp(g->memory + page * PAGE, g->copy + page * PAGE, PAGE) == 0) continue;
    if (differ++ < 5) fprintf(stderr, "page 0x%" PRIx64 " differs\n", page * PAGE);
  }
  return differ;
}

void guest_log(guest *g, uint32_t flags) {
  gmap_slot slot = {.struct_size = sizeof slot, .flags = flags, .id = SLOT, .size = g->size,
                    .host_addr = (uintptr_t)g->memory};
  CHECK(gmap_slot_set(g->space, &slot));
}

gmap_space_stats guest_stats(const guest *g) {
  gmap_space_stats stats = {.struct_size = sizeof stats};
  CHECK(gmap_space_get_stats(g->space, &stats));
  return stats;
}

static uint32_t policy_of(enum policy policy) {
  return policy == NEVER ? GMAP_SPLIT_NEVER : policy == EAGER ? GMAP_SPLIT_EAGER : GMAP_SPLIT_LAZY;
}

static void open_space(guest *g) {
  gmap_engine_config engine = {.struct_size = sizeof engine, .flags = GMAP_ENGINE_HUGE_ARENA};
  gmap_space_config space = {.struct_size = sizeof space, .limit = g->size - 1, .table_format = g->s.format,
                             .split_policy = policy_of(g->s.policy)};
  engine.arena_bytes = g->size / 128 + 64 * MIB; // page tables of everything take 1/256
  CHECK(gmap_engine_create(&engine, &g->engine));
  CHECK(gmap_space_create(g->engine, &space, &g->space));
  guest_log(g, 0);
  CHECK(gmap_populate(g->space, 0, g->size, GMAP_ACCESS_WRITE, 0, NULL));
}

void guest_open(guest *g, const setting *s) {
  memset(g, 0, sizeof *g);
  g->s = *s;
  g->size = s->mib * MIB;
  g->pages = g->size / PAGE;
  g->memory = memory_of(s->work, g->size);
  g->copy = copy_of(g->size);
  g->bitmap = calloc(g->pages / 64, 8);
  open_space(g);
  if (s->work == SQLITE && !s->untracked) {
    gmap_backing_config backing = {.struct_size = sizeof backing, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
    CHECK(gmap_backing_attach(g->space, SLOT, &backing, &g->backing));
  }
  if (s->work == ZIPF) zipf_open(g);
  if (s->work == PREFIX) prefix_open(g);
}

void guest_open_tables(guest *g, uint64_t mib, uint32_t format, const setting *writer) {
  memset(g, 0, sizeof *g);
  g->s = *writer;
  g->s.format = format;
  g->size = mib * MIB;
  g->pages = g->size / PAGE;
  g->memory = map(g->size, true);
  g->bitmap = calloc(g->pages / 64, 8);
  memset(g->bitmap, 0, g->pages / 8); // every page of it there
  open_space(g);
  if (writer->work == ZIPF) zipf_open(g);
}

void guest_close(guest *g) {
  vcpus_stop(g);
  if (g->notifier) prefix_close(g);
  CHECK(gmap_space_destroy(g->space)); // ends a backing, too
  CHECK(gmap_engine_destroy(g->engine));
  if (!g->copy) munmap(g->memory, g->size); // of tables only: a guest of its own
  free(g->zipf);
  free(g->bitmap);
}

bool kernel_can_track(void) { return (gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC) != 0; }
