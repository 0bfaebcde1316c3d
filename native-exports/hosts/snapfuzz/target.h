/* SPDX-License-Identifier: MIT
 * What is fuzzed: Debian's libexpat, an XML parser, all of whose state lies in memory that it is given. It is warmed up in the
 * middle of a document type definition; an input is the rest of the document. */
#ifndef TARGET_H
#define TARGET_H

#include "common.h"

#define INPUT_MOST 4096u

struct input {
  uint32_t length;
  uint8_t bytes[INPUT_MOST];
};

/* What a parser tells its user, in the order of its handlers. */
enum event {
  EVENT_NONE, EVENT_START, EVENT_END, EVENT_TEXT, EVENT_COMMENT, EVENT_INSTRUCTION, EVENT_CDATA, EVENT_CDATA_END, EVENT_DOCTYPE_END,
  EVENT_ELEMENT, EVENT_ATTLIST, EVENT_ENTITY, EVENT_NOTATION, EVENT_SKIPPED, EVENT_EXTERNAL, EVENT_ENCODING, EVENTS
};

/* What came out of a run. The same input from the same memory gives the same result, in each byte. */
struct result {
  uint32_t error;  /* enum XML_Error; 0: a well-formed document */
  uint32_t depth;  /* the deepest element */
  uint32_t events;
  uint32_t nested; /* external entities that were opened */
  uint64_t offset; /* where the parser stopped, of the whole document */
  uint64_t digest; /* of all events with their names and texts */
};

/* How often which event came after which: what the corpus is chosen by. */
struct trace {
  uint16_t pairs[EVENTS][EVENTS];
};

struct target; /* lies in the memory */

/* Makes a parser in `memory` and has it read declarations until half of the memory is in use. NULL after complaining. */
struct target *target_create(void *memory, size_t size);

/* Parses the rest of the document. The memory is another one after it: put it back before the next. */
void target_run(struct target *target, const struct input *input, struct result *result, struct trace *trace);

size_t target_used(const struct target *target); /* bytes of the memory that are in use, from its start on */
const char *target_error(uint32_t error);

/* To see the handling of it: the next run of any target ends so. */
enum plant { PLANT_NOTHING, PLANT_CRASH, PLANT_HANG };
void target_plant(enum plant plant);

#endif
