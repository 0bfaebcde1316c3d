/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CR0_EDAT 0x800000u
#define CR0_IEP 0x100000u
#define TABLE_ALIGNMENT 0x4000ull

void stop(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  exit(2);
}

void require_status(const char *file, int line, const char *what, gmap_status expected, gmap_status status) {
  if (status == expected) return;
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, gmap_strerror(status));
  exit(2);
}

/* xorshift64* */
uint64_t random_below(uint64_t *state, uint64_t n) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (*state * 0x2545F4914F6CDD1Dull >> 11) % n;
}

void case_open(struct case_file *c, const char *folder, const char *name, uint64_t seed) {
  char path[sizeof c->path + 8];
  *c = (struct case_file){.next_image = IMAGES, .random = seed * 0x9E3779B97F4A7C15ull + 1};
  REQUIRE(snprintf(c->path, sizeof c->path, "%s/%s", folder, name) < (int)sizeof c->path);
  snprintf(path, sizeof path, "%s.case", c->path);
  c->file = fopen(path, "w");
  REQUIRE(c->file != NULL);
  fprintf(c->file, "cr0 0x%x\n", CR0_EDAT);
}

void case_close(struct case_file *c) {
  REQUIRE(fclose(c->file) == 0);
  c->file = NULL;
}

struct image export_image(uint64_t space, const struct layout *layout, uint32_t flags, uint64_t at) {
  gmap_image_frame_map frames[MOST_SLOTS];
  struct image image = {.at = at};
  gmap_image_sink sink = {.struct_size = sizeof sink, .flags = flags, .size = &image.size};
  for (unsigned i = 0; i < MOST_SLOTS; i++)
    if (layout->slots[i].size)
      frames[sink.frame_count++] = (gmap_image_frame_map){.slot = layout->slots[i].id, .real_addr = layout->real[i]};
  if (layout->host_frames) sink.frame_count = 0;
  else sink.frames = frames;
  REQUIRE_STATUS(GMAP_ENOBUFS, gmap_image_export(space, at, &sink, &image.asce));
  sink.capacity = image.size;
  image.bytes = malloc(image.size);
  REQUIRE(image.bytes != NULL);
  sink.buffer = image.bytes;
  REQUIRE_OK(gmap_image_export(space, at, &sink, &image.asce));
  REQUIRE(image.at + image.size <= FRAMES);
  return image;
}

void case_image(struct case_file *c, const struct image *image, const char *about) {
  char path[sizeof c->path + 32];
  snprintf(path, sizeof path, "%s-%u.bin", c->path, c->images);
  FILE *file = fopen(path, "wb");
  REQUIRE(file != NULL);
  REQUIRE(fwrite(image->bytes, 1, image->size, file) == image->size && fclose(file) == 0);
  fprintf(c->file, "image %s 0x%" PRIx64 "\nabout %s\nasce 0x%" PRIx64 "\n", strrchr(path, '/') + 1, image->at, about,
          image->asce);
  c->images++;
  c->next_image = (image->at + image->size + TABLE_ALIGNMENT - 1) & ~(TABLE_ALIGNMENT - 1);
}

static gmap_status translate(uint64_t space, uint64_t address, uint32_t access, gmap_fault_result *result) {
  *result = (gmap_fault_result){.struct_size = sizeof *result};
  return gmap_translate(space, address, access, result);
}

static uint64_t real_of(const struct layout *layout, uint64_t address, uint64_t host) {
  for (unsigned i = 0; i < MOST_SLOTS; i++) {
    const gmap_slot *slot = &layout->slots[i];
    if (address - slot->guest_addr < slot->size) return layout->real[i] + (host - slot->host_addr);
  }
  stop(__FILE__, __LINE__, "gmap_translate answers where no slot is");
  return 0;
}

static bool is_translation_exception(gmap_status status) {
  return status == GMAP_PIC_SEGMENT_TRANSLATION || status == GMAP_PIC_PAGE_TRANSLATION ||
         (status >= GMAP_PIC_REGION_FIRST && status <= GMAP_PIC_REGION_THIRD);
}

/* The rules of gmap.h, gmap_image_export. */
static void outcome_of(char *text, size_t size, uint64_t space, const struct layout *layout, char access,
                       uint64_t address, uint64_t *leaf) {
  gmap_fault_result load, result;
  gmap_status loads = translate(space, address, GMAP_ACCESS_READ, &load), status = loads;
  result = load;
  *leaf = loads ? 0 : load.leaf_size;
  if (access == 'W') status = translate(space, address, GMAP_ACCESS_WRITE, &result);
  /* Clean pages look like others where the tables are not what tells. */
  if (layout->by_generation && access == 'W' && status == GMAP_PIC_PROTECTION && result.reason == GMAP_REASON_NEEDS_FAULT)
    status = loads;
  /* What may not even be read is not there for a machine; what may not be written may be away, too. */
  if (status == GMAP_PIC_PROTECTION && result.reason == GMAP_REASON_PROTECTED && loads) status = loads;
  bool hidden = status == GMAP_PIC_PROTECTION && result.reason == GMAP_REASON_PROTECTED && loads;
  if (status == 0)
    snprintf(text, size, "ok 0x%" PRIx64, real_of(layout, address, load.host_addr));
  else if (hidden || status == GMAP_PIC_ADDRESSING)
    snprintf(text, size, "missing");
  else if (is_translation_exception(status) || status == GMAP_PIC_PROTECTION || status == GMAP_PIC_ASCE_TYPE)
    snprintf(text, size, "pgm 0x%02x", (unsigned)status);
  else
    stop(__FILE__, __LINE__, gmap_strerror(status));
}

void case_record(struct case_file *c, uint64_t space, const struct layout *layout, char access, uint64_t address) {
  char outcome[40];
  uint64_t leaf;
  outcome_of(outcome, sizeof outcome, space, layout, access, address, &leaf);
  /* Every other fetch with instruction-execution protection on: no entry may have that bit. */
  bool edat1 = leaf == MIB, iep = access == 'X' && (address >> 2 & 1);
  if (iep != c->needs_iep) fprintf(c->file, "cr0 0x%x\n", CR0_EDAT | (iep ? CR0_IEP : 0));
  if (iep != c->needs_iep || edat1 != c->needs_edat1)
    fprintf(c->file, "needs %s%s\n", edat1 ? "edat1 " : "", iep ? "iep" : edat1 ? "" : "-");
  c->needs_edat1 = edat1;
  c->needs_iep = iep;
  fprintf(c->file, "%c 0x%" PRIx64 " %s\n", access, address, outcome);
}

static void page_records(struct case_file *c, uint64_t space, const struct layout *layout, uint64_t page) {
  if (c->last_page == page) return;
  c->last_page = page;
  case_record(c, space, layout, 'R', page);
  case_record(c, space, layout, 'W', page + PAGE - 8);
}

static void both_sides(struct case_file *c, uint64_t space, const struct layout *layout, uint64_t boundary) {
  page_records(c, space, layout, boundary - PAGE);
  page_records(c, space, layout, boundary);
}

/* What two neighbours have in common where there is no boundary between them. */
static uint64_t answer(uint64_t space, uint64_t address) {
  gmap_fault_result load, store;
  uint64_t loads = (uint64_t)translate(space, address, GMAP_ACCESS_READ, &load);
  uint64_t stores = (uint64_t)translate(space, address, GMAP_ACCESS_WRITE, &store);
  return loads | stores << 8 | (uint64_t)load.reason << 16 | (uint64_t)store.reason << 24 | load.leaf_size << 32;
}

/* Where a slot, a segment, or what a table can reach begins and ends, and wherever the answer changes from page to page. */
static void boundaries(struct case_file *c, uint64_t space, const struct layout *layout) {
  static const uint64_t reach[] = {0, MIB, GIB, 2 * GIB, 4 * TIB, 8 * PIB};
  c->last_page = ~0ull;
  for (unsigned i = 0; i < sizeof reach / sizeof *reach; i++) both_sides(c, space, layout, reach[i]);
  both_sides(c, space, layout, layout->limit + 1);
  for (unsigned i = 0; i < MOST_SLOTS; i++) {
    const gmap_slot *slot = &layout->slots[i];
    uint64_t before = 0;
    if (!slot->size) continue;
    both_sides(c, space, layout, slot->guest_addr);
    both_sides(c, space, layout, slot->guest_addr + slot->size);
    for (uint64_t at = slot->guest_addr; at - slot->guest_addr < slot->size; at += PAGE) {
      uint64_t here = answer(space, at);
      if ((at != slot->guest_addr && here != before) || at % MIB == 0) both_sides(c, space, layout, at);
      before = here;
    }
  }
}

static uint64_t pick(struct case_file *c, const struct layout *layout) {
  unsigned i = (unsigned)random_below(&c->random, MOST_SLOTS), kind = (unsigned)random_below(&c->random, 16);
  while (!layout->slots[i].size && i) i--;
  const gmap_slot *slot = &layout->slots[i];
  if (!slot->size) kind = 13;
  if (kind < 12) return slot->guest_addr + random_below(&c->random, slot->size);
  if (kind == 12) return slot->guest_addr + slot->size + random_below(&c->random, 4 * MIB);
  if (kind == 13) return random_below(&c->random, layout->limit | 1);
  /* Any address: as many leading zeroes as you like. */
  return (random_below(&c->random, 1ull << 32) << 32 | random_below(&c->random, 1ull << 32)) >> random_below(&c->random, 48);
}

void case_picture(struct case_file *c, uint64_t space, const struct layout *layout, const char *about, unsigned random) {
  static const uint32_t flags[] = {GMAP_IMAGE_CLEAR_SOFTWARE, 0};
  for (unsigned i = 0; i < 2; i++) {
    struct image image = export_image(space, layout, flags[i], c->next_image);
    case_image(c, &image, about);
    free(image.bytes);
    boundaries(c, space, layout);
    for (unsigned n = 0; n < random; n++) {
      static const char accesses[] = "RRRWWWX";
      char access = accesses[random_below(&c->random, sizeof accesses - 1)];
      case_record(c, space, layout, access, pick(c, layout) & ~(access == 'X' ? 1ull : 7ull));
    }
  }
  fflush(c->file);
}
