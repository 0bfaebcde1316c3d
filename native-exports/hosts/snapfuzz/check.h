/* SPDX-License-Identifier: MIT
 * verify: whether the memory after a restore is the memory of the snapshot. Against a copy of our own, against the library's
 * own comparison, and by what the parser answers to an input that it has answered before. */
#ifndef CHECK_H
#define CHECK_H

#include "json.h"
#include "machine.h"
#include "settings.h"
#include "target.h"

struct check {
  const struct settings *settings;
  struct machine *machine;
  struct target *target;
  uint8_t *copy;          /* all memory, when the snapshot was taken */
  struct result expected; /* of the probe */
  uint64_t compared, wrong_pages, probes, probes_wrong, engine_checks, engine_wrong;
  uint64_t skipped;       /* --break skip: the page's offset, and what is in `page` */
  uint8_t page[PAGE];
};

/* The snapshot has just been taken. */
bool check_open(struct check *check, struct machine *machine, struct target *target, const struct settings *settings);
void check_before_restore(struct check *check, uint64_t run);
bool check_after_restore(struct check *check, uint64_t run); /* false: something is wrong, and was told */
void check_print(const struct check *check, bool good);
void check_json(const struct check *check, struct json *json);
void check_close(struct check *check);

#endif
