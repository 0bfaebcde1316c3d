/* SPDX-License-Identifier: MIT
 * gmap-judge: writes a case file for each kind of space into a folder, and the controls. run.py calls it. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define RANDOM_RECORDS 500u
#define SEED 2018u

static const struct kind kinds[] = {
  {.name = "segment-1M", .top = TOP_SEGMENT, .quick = true},
  {.name = "region3-1M", .top = TOP_REGION_THIRD},
  {.name = "region2-1M", .top = TOP_REGION_SECOND},
  {.name = "region1-1M", .top = TOP_REGION_FIRST},
  {.name = "segment-4K", .top = TOP_SEGMENT, .huge = GMAP_HUGE_NONE},
  {.name = "region3-4K", .top = TOP_REGION_THIRD, .huge = GMAP_HUGE_NONE},
  {.name = "region2-4K", .top = TOP_REGION_SECOND, .huge = GMAP_HUGE_NONE},
  {.name = "region1-4K", .top = TOP_REGION_FIRST, .huge = GMAP_HUGE_NONE, .quick = true},
  {.name = "never", .top = TOP_REGION_THIRD, .policy = GMAP_SPLIT_NEVER},
  {.name = "eager", .top = TOP_REGION_THIRD, .policy = GMAP_SPLIT_EAGER},
  {.name = "pgste-1M", .top = TOP_REGION_THIRD, .format = GMAP_TABLE_4K_PGSTE},
  {.name = "pgste-4K", .top = TOP_SEGMENT, .format = GMAP_TABLE_4K_PGSTE, .huge = GMAP_HUGE_NONE},
  {.name = "generation-1M", .top = TOP_REGION_THIRD, .tracking = GMAP_TRACK_GENERATION},
  {.name = "generation-4K", .top = TOP_REGION_THIRD, .tracking = GMAP_TRACK_GENERATION, .huge = GMAP_HUGE_NONE},
  {.name = "global", .top = TOP_REGION_THIRD, .scope = GMAP_DIRTY_GLOBAL},
  {.name = "host-frames", .top = TOP_REGION_THIRD, .low_memory = true},
  {.name = "kernel", .top = TOP_REGION_THIRD, .backing = true},
};

int main(int argc, char **argv) {
  bool quick = argc == 3 && strcmp(argv[2], "--quick") == 0;
  if (argc != 2 && !quick) {
    fprintf(stderr, "usage: gmap-judge FOLDER [--quick]\n");
    return 64;
  }
  REQUIRE_OK(gmap_runtime_init());
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct world world;
    struct case_file cases;
    if (quick && !kinds[i].quick) continue;
    if (kinds[i].backing && !(gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC)) {
      printf("left out: %s: this kernel has no asynchronous userfaultfd\n", kinds[i].name);
      continue;
    }
    case_open(&cases, argv[1], kinds[i].name, SEED + i);
    world_open(&world, &kinds[i], &cases, quick ? RANDOM_RECORDS / 4 : RANDOM_RECORDS);
    life(&world);
    world_close(&world);
    case_close(&cases);
  }
  write_controls(argv[1]);
  return 0;
}
