/* SPDX-License-Identifier: MIT
 * An allocator that keeps its books inside the memory it gives away, and nowhere else: put the memory back as it was, and
 * the heap is as it was. One thread. */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>

struct heap; /* lies at the start of the memory */

/* memory: 16-byte aligned, whatever is in it. The first `root` bytes behind the books are the caller's: heap_root. */
struct heap *heap_create(void *memory, size_t size, size_t root);
void *heap_root(struct heap *heap);

/* As malloc, realloc and free. NULL: the memory is used up. A block that is freed twice, or was written beyond its end into
 * the next one, is a bug of the caller: abort(). */
void *heap_allocate(struct heap *heap, size_t size);
void *heap_resize(struct heap *heap, void *block, size_t size);
void heap_release(struct heap *heap, void *block);

size_t heap_used(const struct heap *heap); /* bytes from the start of the memory to the highest block that ever was */

#endif
