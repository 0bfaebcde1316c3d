/* SPDX-License-Identifier: MIT
 * The target's own state, and the handlers that fill it while expat parses. */
#ifndef EVENTS_H
#define EVENTS_H

#include <expat.h>

#include "target.h"

#define EVENTS_ENOUGH 2000u /* a run that tells more is ended: entities of entities grow without end */

struct target {
  struct heap *heap;
  size_t size;
  XML_Parser parser, innermost; /* innermost: of the external entity that is open */
  uint32_t depth;
  enum event last;
  struct result result;
  struct trace trace;
};

void events_listen(struct target *target); /* sets all handlers */
void events_forget(struct target *target); /* from here on a run begins */

#endif
