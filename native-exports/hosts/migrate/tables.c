/* SPDX-License-Identifier: MIT */
#include "tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_AT 0x400000ull  /* in the storage of the machine that is to walk them */
#define FRAMES_AT 0x10000000ull
#define EVERY 8 /* pages of which no neighbour's answer differs */

/* What gmap_translate says of a page. */
struct answer {
  gmap_status load, store;
  uint64_t leaf; /* size */
  uint64_t offset; /* in guest memory */
};

static void ask(const struct machine *machine, uint64_t page, struct answer *a) {
  gmap_fault_result load = {.struct_size = sizeof load};
  a->load = gmap_translate(machine->space, page * PAGE, GMAP_ACCESS_READ, &load);
  a->store = gmap_translate(machine->space, page * PAGE, GMAP_ACCESS_WRITE, NULL);
  a->leaf = a->load ? 0 : load.leaf_size;
  a->offset = a->load ? 0 : load.host_addr - (uintptr_t)machine->memory;
}

static bool alike(const struct answer *a, const struct answer *b) {
  return a->load == b->load && a->store == b->store && a->leaf == b->leaf;
}

/* Frames of the slot go to FRAMES_AT, so that leaves keep their alignment. */
static gmap_status export(const struct machine *machine, void *buffer, uint64_t capacity, uint64_t *size, uint64_t *asce) {
  gmap_image_frame_map frames = {.slot = MACHINE_SLOT, .real_addr = FRAMES_AT};
  gmap_image_sink sink = {.struct_size = sizeof sink, .flags = GMAP_IMAGE_CLEAR_SOFTWARE, .buffer = buffer,
                          .capacity = capacity, .size = size, .frames = &frames, .frame_count = 1};
  return gmap_image_export(machine->space, IMAGE_AT, &sink, asce);
}

static void put(FILE *file, char access, uint64_t page, gmap_status status, uint64_t offset) {
  fprintf(file, "%c 0x%" PRIx64, access, page * PAGE);
  if (status) fprintf(file, " pgm 0x%02x\n", (unsigned)status);
  else fprintf(file, " ok 0x%llx\n", FRAMES_AT + offset);
}

/* Between two harvests a running guest only gets more mapped and more granted: an answer that is the same before and
 * after the export was so in between. Of the other pages nothing is said. */
static void put_answers(FILE *file, const struct answer *before, const struct answer *after, uint64_t pages) {
  uint64_t changed = 0;
  for (uint64_t page = 0; page < pages; page++) {
    const struct answer *a = &after[page];
    bool edge = page == 0 || page + 1 == pages || !alike(a, a - 1) || !alike(a, a + 1);
    changed += !alike(&before[page], a);
    if (!alike(&before[page], a) || (!edge && page % EVERY)) continue;
    fprintf(file, "needs %s\n", a->leaf == SEGMENT ? "edat1" : "-");
    put(file, 'R', page, a->load, a->offset);
    put(file, 'W', page, a->store, a->offset);
  }
  fprintf(file, "# %llu of %llu pages changed meanwhile\n", (unsigned long long)changed, (unsigned long long)pages);
}

static bool write_image(const char *path, const void *image, uint64_t size) {
  FILE *file = fopen(path, "wb");
  bool good = file && fwrite(image, 1, size, file) == size;
  return file && fclose(file) == 0 && good;
}

static bool write_case(const char *path, const char *image, const char *about, uint64_t asce, const struct answer *before,
                       const struct answer *after, uint64_t pages) {
  FILE *file = fopen(path, "w");
  const char *slash = strrchr(image, '/');
  if (!file) return false;
  fprintf(file, "image %s 0x%llx\n", slash ? slash + 1 : image, IMAGE_AT); /* beside it */
  fprintf(file, "about %s\nasce 0x%" PRIx64 "\n", about, asce);
  put_answers(file, before, after, pages);
  return fclose(file) == 0;
}

int tables_write(const struct machine *machine, const char *name, const char *label, uint32_t round) {
  char paths[2][512], about[100];
  uint64_t size = 0, asce, pages = machine->pages;
  struct answer *before = calloc(2 * pages, sizeof *before), *after = before + pages;
  gmap_status status = before ? export(machine, NULL, 0, &size, &asce) : GMAP_ENOMEM;
  uint64_t capacity = size + (machine->size / SEGMENT) * PAGE; /* the guest may split meanwhile */
  uint8_t *image = status == GMAP_ENOBUFS ? malloc(capacity) : NULL;
  for (uint64_t page = 0; image && page < pages; page++) ask(machine, page, &before[page]);
  if (image) status = export(machine, image, capacity, &size, &asce);
  for (uint64_t page = 0; image && page < pages; page++) ask(machine, page, &after[page]);
  for (int i = 0; i < 2; i++) snprintf(paths[i], sizeof *paths, "%s-%s-%u.%s", name, label, round, i ? "case" : "bin");
  snprintf(about, sizeof about, "%s, after round %u", label, round);
  int result = DONE;
  if (!image || status) result = complain("--tables: %s", gmap_strerror(image ? status : GMAP_ENOMEM));
  else if (!write_image(paths[0], image, size) || !write_case(paths[1], paths[0], about, asce, before, after, pages))
    result = complain("--tables %s: %s", paths[1], strerror(errno));
  free(image);
  free(before);
  return result;
}
