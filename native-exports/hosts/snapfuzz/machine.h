/* SPDX-License-Identifier: MIT
 * The memory that the parser lives in: one slot of a space under the asynchronous userfaultfd backing, and its snapshot. The
 * parser knows nothing of it; the kernel says which pages it wrote. */
#ifndef MACHINE_H
#define MACHINE_H

#include "common.h"

#define MACHINE_SLOT 1u

enum opened { OPENED, OPENED_NOT, OPENED_SKIPPED }; /* SKIPPED: this kernel cannot; told on stdout */

struct machine {
  uint8_t *memory;
  uint8_t *alias;    /* the same memory mapped a second time, where asked for: writes there are seen by nobody */
  size_t size;
  uint64_t engine, space, backing, snapshot;
  int file;          /* of the alias; -1 */
};

/* Memory, and the engine that watches it. */
enum opened machine_open(struct machine *machine, size_t size, bool alias);
bool machine_take(struct machine *machine);
bool machine_restore(struct machine *machine, uint64_t *pages);
bool machine_verify(struct machine *machine, uint64_t *wrong);
void machine_close(struct machine *machine);

#endif
