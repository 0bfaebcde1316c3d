/* SPDX-License-Identifier: MIT
 * Negative controls: images with one bit flipped, in each place that translation looks at. */
#include <stdlib.h>

#include "world.h"

enum level { REGION_THIRD, SEGMENT, PAGE_ENTRY };

/* Whose way the bit lies on: to a page that was written, to one that was not, to a leaf of 1 MB. */
enum target { WRITTEN, CLEAN, LEAF };

struct control {
  const char *name;
  enum level level;
  enum target target;
  uint64_t bit;
};

/* Those of leaves are for machines that know leaves: the name says so to run.py. */
static const struct control controls[] = {
  {"none", REGION_THIRD, WRITTEN, 0},
  {"region-invalid", REGION_THIRD, WRITTEN, 0x20},
  {"region-type", REGION_THIRD, WRITTEN, 0x4},
  {"region-origin", REGION_THIRD, WRITTEN, 0x4000},
  {"segment-invalid", SEGMENT, WRITTEN, 0x20},
  {"segment-protected", SEGMENT, WRITTEN, 0x200},
  {"segment-type", SEGMENT, WRITTEN, 0x8},
  {"segment-origin", SEGMENT, WRITTEN, 0x800},
  {"page-invalid", PAGE_ENTRY, WRITTEN, 0x400},
  {"page-protected", PAGE_ENTRY, WRITTEN, 0x200},
  {"page-not-protected", PAGE_ENTRY, CLEAN, 0x200},
  {"page-frame", PAGE_ENTRY, WRITTEN, 0x1000},
  {"page-must-be-zero", PAGE_ENTRY, WRITTEN, 0x800},
  {"leaf-none", SEGMENT, LEAF, 0},
  {"leaf-invalid", SEGMENT, LEAF, 0x20},
  {"leaf-not-protected", SEGMENT, LEAF, 0x200},
  {"leaf-format", SEGMENT, LEAF, 0x400},
  {"leaf-frame", SEGMENT, LEAF, 0x100000},
};

static const uint64_t addresses[] = {[WRITTEN] = 2 * MIB + 0x34 * PAGE, [CLEAN] = 2 * MIB + 0x35 * PAGE,
                                     [LEAF] = 5 * MIB + 0x77 * PAGE};

static uint64_t word(const struct image *image, uint64_t real) {
  uint64_t value = 0;
  REQUIRE(real - image->at + 8 <= image->size);
  for (unsigned i = 0; i < 8; i++) value = value << 8 | image->bytes[real - image->at + i];
  return value;
}

/* Where the entry of the level is that an address is translated by. */
static uint64_t entry_of(const struct image *image, enum level level, uint64_t address) {
  uint64_t at = (image->asce & ~0xFFFull) + (address >> 31) * 8;
  if (level == REGION_THIRD) return at;
  at = (word(image, at) & ~0xFFFull) + (address >> 20 & 0x7FF) * 8;
  if (level == SEGMENT) return at;
  return (word(image, at) & ~0x7FFull) + (address >> 12 & 0xFF) * 8;
}

static void flip(struct image *image, uint64_t real, uint64_t bit) {
  for (unsigned i = 0; i < 8; i++) image->bytes[real - image->at + i] ^= (uint8_t)(bit >> (56 - 8 * i));
}

static void write_control(const char *folder, struct world *w, const struct control *control) {
  struct case_file c;
  char name[64];
  uint64_t address = addresses[control->target];
  struct image image = export_image(w->space, &w->layout, GMAP_IMAGE_CLEAR_SOFTWARE, IMAGES);
  flip(&image, entry_of(&image, control->level, address), control->bit);
  snprintf(name, sizeof name, "control-%s", control->name);
  case_open(&c, folder, name, 1);
  case_image(&c, &image, name);
  case_record(&c, w->space, &w->layout, 'R', address + 8);
  case_record(&c, w->space, &w->layout, 'W', address + 16);
  case_close(&c);
  free(image.bytes);
}

void write_controls(const char *folder) {
  static const struct kind kind = {.name = "control", .top = TOP_REGION_THIRD};
  struct case_file none = {.random = 1};
  struct world w;
  world_open(&w, &kind, &none, 0);
  world_slot(&w, SLOT_START, GMAP_SLOT_LOG_DIRTY, 0, 24 * MIB, 0);
  REQUIRE_OK(gmap_fault(w.vcpu, addresses[WRITTEN], GMAP_ACCESS_WRITE, NULL));
  REQUIRE_OK(gmap_fault(w.vcpu, addresses[LEAF], GMAP_ACCESS_READ, NULL));
  for (unsigned i = 0; i < sizeof controls / sizeof *controls; i++) write_control(folder, &w, &controls[i]);
  world_close(&w);
}
