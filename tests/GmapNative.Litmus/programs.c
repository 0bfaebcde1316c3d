/* SPDX-License-Identifier: MIT
 *
 * programs.c - the tests. */
#include "litmus.h"

#define ALL_ROUNDS (WHOLE | PART | ORED | GET_CLEAR)

/* Writers' paths: w walk, c translation cache, x crossing, g gmap_write, d device (store, then mark), m fault_many,
 * f fault. Fields: name, paths, layout, spots, writers, own pages; harvesters, rounds, slots, readers, operator,
 * policy. */
const program programs[] = {
  {"own-pages", "wwww", LINES, 28, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"same-pages", "wwww", SPREAD, 32, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"same-line", "wwww", LINES, 7, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"own-segments", "wwww", SEGMENTS, 32, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"cache", "cccc", LINES, 12, 4, 0, 1, WHOLE, 1, 1, 0, GMAP_SPLIT_LAZY},
  {"cache-own-pages", "cccc", LINES, 32, 4, 1, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"crossing", "xxx", RUN, 16, 3, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"devices", "gdgd", LINES, 21, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"faults", "mfmf", SEGMENTS, 32, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"all-paths", "wcxgdmf", RUN, 24, 7, 0, 1, WHOLE, 1, 1, 0, GMAP_SPLIT_LAZY},
  {"parts", "wcxg", RUN, 40, 4, 0, 1, PART, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"rounds", "wcdm", LINES, 28, 4, 0, 1, ALL_ROUNDS | NO_REARM, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"get-clear", "wcgd", LINES, 21, 4, 0, 1, GET_CLEAR, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"two-harvesters", "wcgd", LINES, 21, 4, 0, 2, WHOLE, 1, 0, 0, GMAP_SPLIT_LAZY},
  {"two-harvesters-mixed", "wcxd", RUN, 24, 4, 0, 2, ALL_ROUNDS | NO_REARM, 1, 1, 0, GMAP_SPLIT_LAZY},
  {"two-slots", "wcwg", BORDER, 16, 4, 0, 2, WHOLE | PART, 2, 0, 0, GMAP_SPLIT_LAZY},
  {"policy-never", "wcgm", SEGMENTS, 16, 4, 0, 1, WHOLE, 1, 0, 0, GMAP_SPLIT_NEVER},
  {"unmap", "wcmg", LINES, 28, 4, 0, 1, WHOLE, 1, 1, UNMAPS, GMAP_SPLIT_LAZY},
  {"unmap-parts", "wcxf", RUN, 24, 4, 0, 2, WHOLE | PART | GET_CLEAR, 1, 1, UNMAPS, GMAP_SPLIT_LAZY},
  {"limit", "wcw", SEGMENTS, 24, 3, 0, 1, WHOLE, 1, 1, LIMITS, GMAP_SPLIT_LAZY},
  {"vcpus", "wcm", LINES, 14, 3, 0, 1, WHOLE, 1, 0, VCPUS, GMAP_SPLIT_LAZY},
  {"other-slot", "wcm", SEGMENTS, 32, 3, 0, 1, WHOLE, 1, 1, LOGGING | SLOTS, GMAP_SPLIT_LAZY},
  {"operator", "wcxg", BORDER, 16, 4, 0, 2, WHOLE | PART | GET_CLEAR, 2, 1,
   UNMAPS | LIMITS | LOGGING | SLOTS | VCPUS, GMAP_SPLIT_LAZY},
};

const unsigned program_count = sizeof programs / sizeof *programs;

enum path path_of(const program *p, unsigned writer) {
  unsigned length = 0;
  while (p->paths[length] != 0) length++;
  switch (p->paths[writer % length]) {
    case 'c': return BY_CACHE;
    case 'x': return CROSSING;
    case 'g': return BY_WRITE;
    case 'd': return BY_MARK;
    case 'm': return BY_MANY;
    case 'f': return BY_FAULT;
    default: return BY_WALK;
  }
}
