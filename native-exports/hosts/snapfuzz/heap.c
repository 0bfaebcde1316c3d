/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 16u           /* alignment, and what sizes are rounded to */
#define SMALL 64u          /* classes of one size each: 1 to 64 units; above, four classes to a doubling */
#define CLASSES 160u
#define LIVE 0x4C495645u
#define FREED 0x46524545u

struct block { /* before what the caller gets */
  uint32_t state; /* LIVE or FREED */
  uint32_t class;
  size_t asked;
};

struct heap {
  size_t size, top;          /* [0, top) was given out at some time */
  char *root;
  struct block *free[CLASSES]; /* last in, first out: a run reuses what it has just made dirty */
};

_Static_assert(sizeof(struct block) == UNIT, "blocks stay aligned");

static unsigned class_of(size_t size, size_t *units) {
  size_t n = (size + UNIT - 1) / UNIT;
  if (n <= SMALL) {
    *units = n ? n : 1;
    return (unsigned)*units - 1;
  }
  unsigned log = 63u - (unsigned)__builtin_clzll(n - 1), quarter = (n - 1) >> (log - 2) & 3;
  *units = (size_t)(quarter + 5) << (log - 2);
  return SMALL + (log - 6) * 4 + quarter;
}

/* The next block of a freed one is kept in its bytes. */
static struct block **next_of(struct block *block) { return (struct block **)(void *)(block + 1); }

struct heap *heap_create(void *memory, size_t size, size_t root) {
  struct heap *heap = memory;
  size_t books = (sizeof *heap + UNIT - 1) / UNIT * UNIT;
  *heap = (struct heap){.size = size, .top = books + (root + UNIT - 1) / UNIT * UNIT, .root = (char *)memory + books};
  return heap;
}

void *heap_root(struct heap *heap) { return heap->root; }

void *heap_allocate(struct heap *heap, size_t size) {
  if (size > heap->size) return NULL;
  size_t units;
  unsigned class = class_of(size, &units);
  struct block *block = heap->free[class];
  if (block) {
    if (block->state != FREED) abort();
    heap->free[class] = *next_of(block);
  } else {
    size_t bytes = sizeof *block + units * UNIT;
    if (bytes > heap->size - heap->top) return NULL;
    block = (struct block *)(void *)((char *)heap + heap->top);
    heap->top += bytes;
  }
  *block = (struct block){.state = LIVE, .class = class, .asked = size};
  return block + 1;
}

void heap_release(struct heap *heap, void *memory) {
  if (!memory) return;
  struct block *block = (struct block *)memory - 1;
  if (block->state != LIVE || block->class >= CLASSES) abort();
  block->state = FREED;
  *next_of(block) = heap->free[block->class];
  heap->free[block->class] = block;
}

void *heap_resize(struct heap *heap, void *memory, size_t size) {
  if (!memory) return heap_allocate(heap, size);
  struct block *block = (struct block *)memory - 1;
  size_t units;
  if (block->state != LIVE) abort();
  if (size <= heap->size && class_of(size, &units) == block->class) return block->asked = size, memory;
  void *moved = heap_allocate(heap, size);
  if (!moved) return NULL;
  memcpy(moved, memory, size < block->asked ? size : block->asked);
  heap_release(heap, memory);
  return moved;
}

size_t heap_used(const struct heap *heap) { return heap->top; }
