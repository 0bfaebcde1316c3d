/* SPDX-License-Identifier: MIT
 * Case files for datjudge.py: an exported image, accesses, and what gmap_translate says of each. */
#ifndef CASE_H
#define CASE_H

#include <stdbool.h>
#include <stdio.h>

#include "gmap.h"

#define PAGE 0x1000ull
#define MIB 0x100000ull
#define GIB 0x40000000ull
#define TIB (1ull << 40)
#define PIB (1ull << 50)
#define MOST_SLOTS 8u

/* Absolute storage: the judge's own below 4 MiB, then images, then frames. */
#define IMAGES (4 * MIB)
#define FRAMES (256 * MIB)

#define REQUIRE(condition) \
  do { \
    if (!(condition)) stop(__FILE__, __LINE__, #condition); \
  } while (0)
#define REQUIRE_STATUS(expected, call) require_status(__FILE__, __LINE__, #call, (expected), (call))
#define REQUIRE_OK(call) REQUIRE_STATUS(0, call)

void stop(const char *file, int line, const char *what);
void require_status(const char *file, int line, const char *what, gmap_status expected, gmap_status status);

/* The slots of a space, as they were set, and where their frames are in the images' storage. */
struct layout {
  gmap_slot slots[MOST_SLOTS]; /* size 0: none */
  uint64_t real[MOST_SLOTS];
  uint64_t limit;
  bool by_generation; /* GMAP_TRACK_GENERATION */
  bool host_frames;   /* frames keep their host addresses: no frame map */
};

struct case_file {
  FILE *file;
  char path[512]; /* without its ending */
  unsigned images;
  uint64_t next_image; /* where it goes */
  uint64_t last_page; /* that boundaries have had records of */
  uint64_t random; /* state of the random numbers */
  bool needs_edat1, needs_iep;
};

struct image {
  uint8_t *bytes;
  uint64_t size, at, asce;
};

uint64_t random_below(uint64_t *state, uint64_t n);

void case_open(struct case_file *c, const char *folder, const char *name, uint64_t seed);
void case_close(struct case_file *c);

/* The tables as they are now, to lie at c->next_image; to be freed. */
struct image export_image(uint64_t space, const struct layout *layout, uint32_t flags, uint64_t at);
/* An image of the case; the records after it are of its ASCE. */
void case_image(struct case_file *c, const struct image *image, const char *about);

/* One access, 'R', 'W' or 'X', with the outcome that gmap_translate and gmap.h promise. */
void case_record(struct case_file *c, uint64_t space, const struct layout *layout, char access, uint64_t address);

/* Both kinds of images of the space, and the records of each: at every boundary, and random ones. */
void case_picture(struct case_file *c, uint64_t space, const struct layout *layout, const char *about, unsigned random);

#endif
