/* SPDX-License-Identifier: MIT
 *
 * litmus.h - before every file of the litmus tests: what Windows' C library lacks is in litmus_main.c. */
#include <stddef.h>

void *aligned_alloc(size_t alignment, size_t size);
int pause(void);
void litmus_end(int code);
#define _exit litmus_end
