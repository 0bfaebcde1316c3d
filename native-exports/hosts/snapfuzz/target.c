/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <expat.h>
#include <string.h>

#include "events.h"
#include "heap.h"
#include "warmup.h"

/* expat's hooks have no argument to tell heaps apart. Set before each call of expat: the one thing outside of the memory. */
static struct heap *current;
static enum plant planted;

static void *hook_malloc(size_t size) { return heap_allocate(current, size); }
static void *hook_realloc(void *block, size_t size) { return heap_resize(current, block, size); }
static void hook_free(void *block) { heap_release(current, block); }

/* Declarations are fed until half of the memory is used: what would be parsed again for each input without a snapshot. */
static bool warm_up(struct target *target) {
  char text[WARMUP_MOST];
  size_t length = warmup_begin(text);
  size_t half = target->size / 2;
  for (unsigned i = 0;; i++) {
    if (XML_Parse(target->parser, text, (int)length, XML_FALSE) != XML_STATUS_OK)
      return complain("warming up: %s", target_error(XML_GetErrorCode(target->parser)));
    events_forget(target); /* or there would be too many */
    if (heap_used(target->heap) >= half) break;
    length = warmup_declarations(text, i);
  }
  return true;
}

struct target *target_create(void *memory, size_t size) {
  static const XML_Memory_Handling_Suite hooks = {hook_malloc, hook_realloc, hook_free};
  struct heap *heap = heap_create(memory, size, sizeof(struct target));
  struct target *target = heap_root(heap);
  current = heap;
  *target = (struct target){.heap = heap, .size = size, .parser = XML_ParserCreate_MM("UTF-8", &hooks, "|")};
  if (!target->parser) return complain("no parser: the memory is too small"), NULL;
  XML_SetHashSalt(target->parser, 1); /* else random: the same input would make other pages dirty in each process */
  XML_SetParamEntityParsing(target->parser, XML_PARAM_ENTITY_PARSING_ALWAYS);
  events_listen(target);
  return warm_up(target) ? target : NULL;
}

/* Some inputs come in pieces, so that the parser is stopped in the middle of everything. Which ones and of what size follows
 * from the bytes, so that a file alone tells it. */
static uint32_t piece_of(const struct input *input) {
  uint64_t digest = digest_bytes(DIGEST_START, input->bytes, input->length);
  return digest % 4 || !input->length ? INPUT_MOST : 1 + (uint32_t)(digest >> 32) % 61;
}

static void misbehave(void) {
  static int *volatile nowhere;
  enum plant plant = planted;
  planted = PLANT_NOTHING;
  if (plant == PLANT_CRASH) *nowhere = 1;
  for (volatile bool forever = plant == PLANT_HANG; forever;) continue;
}

void target_run(struct target *target, const struct input *input, struct result *result, struct trace *trace) {
  current = target->heap;
  if (planted) misbehave();
  enum XML_Status status = XML_STATUS_OK;
  uint32_t piece = piece_of(input), at = 0;
  do {
    uint32_t length = input->length - at < piece ? input->length - at : piece;
    void *buffer = XML_GetBuffer(target->parser, length ? (int)length : 1); /* the input lies in the memory, too */
    status = XML_STATUS_ERROR;
    if (!buffer) break;
    memcpy(buffer, input->bytes + at, length);
    at += length;
    status = XML_ParseBuffer(target->parser, (int)length, at == input->length);
  } while (status == XML_STATUS_OK && at < input->length);
  *result = target->result;
  result->error = status == XML_STATUS_OK ? XML_ERROR_NONE : XML_GetErrorCode(target->parser);
  result->offset = (uint64_t)XML_GetCurrentByteIndex(target->parser);
  if (trace) *trace = target->trace;
}

size_t target_used(const struct target *target) { return heap_used(target->heap); }

const char *target_error(uint32_t error) {
  const char *text = XML_ErrorString((enum XML_Error)error);
  return text ? text : "well-formed";
}

void target_plant(enum plant plant) { planted = plant; }
