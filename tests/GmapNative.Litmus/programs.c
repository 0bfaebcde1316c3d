/* SPDX-License-Identifier: MIT
 *
 * programs.c - the tests. */
#include "litmus.h"

#define ALL_ROUNDS (WHOLE | PART | ORED | GET_CLEAR)

/* Writers' paths: w walk, c translation cache, p the same and polls, never leaving, x crossing, g gmap_write,
 * d device (store, then mark), m fault_many, f fault, n a guest of the guest, N its guest. Fields: name, paths, layout,
 * spots, writers, own pages; harvesters, rounds, slots, readers, operator, policy, pause, consumers. */
const program programs[] = {
  {"own-pages", "wwww", LINES, 28, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"same-pages", "wwww", SPREAD, 32, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"same-line", "wwww", LINES, 7, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"own-segments", "wwww", SEGMENTS, 32, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"cache", "cccc", LINES, 12, 4, 0, 1, WHOLE, 1, 1, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"cache-own-pages", "cccc", LINES, 32, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"again", "pppp", LINES, 32, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"again-mixed", "pwpc", RUN, 24, 4, 0, 2, ALL_ROUNDS | NO_REARM, 1, 1, UNMAPS | SPLITS | COLLAPSES | AGES,
   GMAP_SPLIT_LAZY, 0, 0},
  {"crossing", "xxx", RUN, 16, 3, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"devices", "gdgd", LINES, 21, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"slow-devices", "gd", LINES, 7, 2, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 20, 0},
  {"faults", "mfmf", SEGMENTS, 32, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"slow-faults", "ffm", SPREAD, 8, 3, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 20, 0},
  {"all-paths", "wcxgdmf", RUN, 24, 7, 0, 1, WHOLE, 1, 1, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"parts", "wcxg", RUN, 40, 4, 0, 1, PART, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"rounds", "wcdm", LINES, 28, 4, 0, 1, ALL_ROUNDS | NO_REARM, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"get-clear", "wcgd", LINES, 21, 4, 0, 1, GET_CLEAR, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"two-harvesters", "wcgd", LINES, 21, 4, 0, 2, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"two-harvesters-mixed", "wcxd", RUN, 24, 4, 0, 2, ALL_ROUNDS | NO_REARM, 1, 1, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"two-slots", "wcwg", BORDER, 16, 4, 0, 2, WHOLE | PART, 2, 0, 0, GMAP_SPLIT_LAZY, 0, 0},
  {"one-line-two-slots", "wcgw", BORDER, 6, 4, 0, 2, WHOLE | PART, 2, 0, 0, GMAP_SPLIT_LAZY, 10, 0},
  {"policy-never", "wcgm", SEGMENTS, 16, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_NEVER, 0, 0},
  {"region-never", "wcfg", REGION, 16, 4, 0, 1, WHOLE | PART, 1, 1, AGES, GMAP_SPLIT_NEVER, 0, 0},
  {"region-unmap", "wfgm", REGION, 16, 4, 0, 2, WHOLE | PART, 1, 0, UNMAPS, GMAP_SPLIT_NEVER, 20, 0},
  {"region-split", "wcfm", REGION, 32, 4, 0, 1, WHOLE | PART, 1, 1, UNMAPS | SPLITS | COLLAPSES, GMAP_SPLIT_LAZY, 20, 0},
  {"unmap", "wcmg", LINES, 28, 4, 0, 1, WHOLE, 1, 1, UNMAPS, GMAP_SPLIT_LAZY, 0, 0},
  {"unmap-parts", "wcxf", RUN, 24, 4, 0, 2, WHOLE | PART | GET_CLEAR, 1, 1, UNMAPS, GMAP_SPLIT_LAZY, 0, 0},
  {"policy-never-unmap", "wfgm", SEGMENTS, 16, 4, 0, 1, WHOLE, 1, 0, UNMAPS, GMAP_SPLIT_NEVER, 20, 0},
  {"limit", "wcw", SEGMENTS, 24, 3, 0, 1, WHOLE, 1, 1, LIMITS, GMAP_SPLIT_LAZY, 0, 0},
  {"vcpus", "wcm", LINES, 14, 3, 0, 1, WHOLE, 1, 0, VCPUS, GMAP_SPLIT_LAZY, 0, 0},
  {"other-slot", "wcm", SEGMENTS, 32, 3, 0, 1, WHOLE, 1, 1, LOGGING | SLOTS, GMAP_SPLIT_LAZY, 0, 0},
  {"split", "wcm", SEGMENTS, 32, 3, 0, 1, WHOLE | PART, 1, 1, SPLITS | COLLAPSES, GMAP_SPLIT_LAZY, 100, 0},
  {"collapse-dirty", "wcw", DENSE, 256, 3, 0, 1, WHOLE, 1, 1, SPLITS | COLLAPSES, GMAP_SPLIT_LAZY, 0, 0},
  {"fill", "ww", DENSE, 256, 2, 0, 1, WHOLE, 1, 0, FILLS, GMAP_SPLIT_LAZY, 200, 0},
  {"age", "wcmx", RUN, 24, 4, 0, 1, WHOLE, 1, 1, AGES | SPLITS | COLLAPSES, GMAP_SPLIT_LAZY, 50, 0},
  {"discard", "wcgd", LINES, 28, 4, 0, 2, WHOLE | PART | GET_CLEAR, 1, 1, DISCARDS, GMAP_SPLIT_LAZY, 0, 0},
  {"operator", "wcxg", BORDER, 16, 4, 0, 2, WHOLE | PART | GET_CLEAR, 2, 1,
   UNMAPS | LIMITS | LOGGING | SLOTS | VCPUS | SPLITS | COLLAPSES | AGES, GMAP_SPLIT_LAZY, 20, 0},
  {"consumers", "wcgd", LINES, 28, 4, 0, 1, WHOLE | NO_REARM, 1, 0, 0, GMAP_SPLIT_LAZY, 0, 4},
  {"consumers-operator", "wcmd", LINES, 28, 4, 0, 1, WHOLE | GET_CLEAR, 1, 0,
   UNMAPS | LOGGING | SLOTS | SPLITS | COLLAPSES | AGES | DISCARDS, GMAP_SPLIT_LAZY, 20, 4},
  {"watch", "wcgm", LINES, 28, 4, 0, 1, WHOLE, 1, 1, WATCHES, GMAP_SPLIT_LAZY, 20, 0},
  {"watch-operator", "wcxf", RUN, 24, 4, 0, 2, WHOLE | PART | GET_CLEAR, 1, 1, WATCHES | UNMAPS | SPLITS | COLLAPSES | AGES,
   GMAP_SPLIT_LAZY, 20, 0},
  {"nested", "nNwn", LINES, 28, 4, 0, 1, WHOLE, 1, 0, REWRITES, GMAP_SPLIT_LAZY, 0, 0},
  {"nested-operator", "nNnc", RUN, 24, 4, 0, 2, WHOLE | PART | GET_CLEAR, 1, 1,
   REWRITES | SHADOWS | UNMAPS | SPLITS | COLLAPSES | AGES | WATCHES, GMAP_SPLIT_LAZY, 20, 0},
  {"watch-never", "wfgm", SEGMENTS, 16, 4, 0, 1, WHOLE, 1, 0, WATCHES | UNMAPS, GMAP_SPLIT_NEVER, 20, 0},
};

const unsigned program_count = sizeof programs / sizeof *programs;

enum path path_of(const program *p, unsigned writer) {
  unsigned length = 0;
  while (p->paths[length] != 0) length++;
  switch (p->paths[writer % length]) {
    case 'c': return BY_CACHE;
    case 'p': return BY_POLL;
    case 'x': return CROSSING;
    case 'g': return BY_WRITE;
    case 'd': return BY_MARK;
    case 'm': return BY_MANY;
    case 'f': return BY_FAULT;
    case 'n': return BY_INNER;
    case 'N': return BY_SECOND;
    default: return BY_WALK;
  }
}
