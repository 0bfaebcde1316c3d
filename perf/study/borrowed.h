// The guests of native-exports/hosts/migrate, built from its own sources. Their header names things as ours does, so
// only threads.c and database.c see it.
#ifndef BORROWED_H
#define BORROWED_H

#include <stdint.h>
#include "gmap_inline.h"

#define MOST_VCPUS 4

// threads.c: its program, one for each of MOST_VCPUS vcpus. All its state is in guest memory.
void threads_fill(uint8_t *memory, uint64_t size);
void threads_step(gmap_view *view, unsigned index); // inside, or not

// database.c: SQLite in guest memory, which knows nothing of the engine.
void database_open(uint8_t *memory, uint64_t size);
void database_transaction(void);
void database_close(void);

#endif
