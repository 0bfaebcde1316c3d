/* SPDX-License-Identifier: GPL-2.0-or-later
 * Stores on their way from QEMU's vcpu threads to the library: a ring for each vcpu. */
#ifndef VCPUS_H
#define VCPUS_H

#include <pthread.h>
#include <stdbool.h>

#include "tracker.h"

#define MAX_VCPUS 64
#define RING 512   /* addresses; a power of two */
#define RECENT 256 /* pages that a vcpu remembers to have handed over; a power of two */

struct counts {
  uint64_t stores;  /* of guest instructions to memory */
  uint64_t io;      /* to devices: not memory */
  uint64_t outside; /* memory, but not the guest's RAM: a display's, ROM */
  uint64_t across;  /* pages were crossed: two pages */
  uint64_t lowcore; /* s390x: to virtual 0 to 8191 */
  uint64_t handed;  /* addresses given to the library */
  uint64_t batches;
  uint64_t lost;    /* QEMU knew no physical address, or the library refused: anything but 0 is a failure */
};

/* The first part is its thread's, the rest is for whoever has the lock: its thread when the ring is full, or the one that reports. */
struct vcpu {
  _Alignas(64) uint64_t head; /* addresses put into the ring so far */
  uint64_t generation;        /* of what is in `recent` */
  struct gmap_view *view;
  uint64_t handle;
  bool open;
  void *bytes; /* a GByteArray for registers */
  struct counts own;
  uint32_t recent[RECENT];
  uint64_t ring[RING];
  _Alignas(64) pthread_mutex_t lock;
  uint64_t tail; /* and taken out of it */
  uint64_t handed, batches, refused;
};

extern struct vcpu vcpus[MAX_VCPUS];

void vcpus_prepare(void);

/* A store of the vcpu to an address in the guest's RAM, on the vcpu's thread. */
void vcpu_store(struct vcpu *vcpu, struct tracker *tracker, uint64_t address, bool remember);

/* Everything that is in the rings goes to the library, by this vcpu of the calling thread. */
void vcpus_flush(struct tracker *tracker, uint64_t handle);

void vcpus_count(struct counts *sum);

/* Of a counter that one thread counts and others read. */
static inline void count_one(uint64_t *counter) { __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED); }

#endif
