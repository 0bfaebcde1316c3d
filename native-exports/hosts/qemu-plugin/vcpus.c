/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vcpus.h"

#include <signal.h>
#include <string.h>

struct vcpu vcpus[MAX_VCPUS];

void vcpus_prepare(void) {
  for (int i = 0; i < MAX_VCPUS; i++) {
    pthread_mutex_init(&vcpus[i].lock, NULL);
    memset(vcpus[i].recent, 0xFF, sizeof vcpus[i].recent);
  }
}

/* With the lock. What is between tail and head stays as it is meanwhile: its owner stops when the ring is full. */
static void drain(struct vcpu *vcpu, struct tracker *tracker, uint64_t handle) {
  uint64_t head = __atomic_load_n(&vcpu->head, __ATOMIC_ACQUIRE), tail = vcpu->tail;
  while (tail != head) {
    uint64_t from = tail % RING, count = head - tail < RING - from ? head - tail : RING - from;
    vcpu->refused += tracker_hand_over(tracker, handle, vcpu->ring + from, count);
    vcpu->handed += count;
    vcpu->batches++;
    tail += count;
  }
  __atomic_store_n(&vcpu->tail, tail, __ATOMIC_RELEASE);
}

/* At a vcpu thread's first store. QEMU's threads block all signals; the one by which the library's runtime stops threads has to come
 * through. */
static bool opened(struct vcpu *vcpu, struct tracker *tracker) {
  if (vcpu->open) return true;
  sigset_t runtime;
  sigemptyset(&runtime);
  sigaddset(&runtime, SIGRTMIN);
  pthread_sigmask(SIG_UNBLOCK, &runtime, NULL);
  vcpu->open = !tracker_thread(tracker, &vcpu->handle, &vcpu->view);
  if (!vcpu->open) count_one(&vcpu->own.lost);
  return vcpu->open;
}

/* No batch: the inline header's walk, and a fault from inside it where that does not grant. */
static void store_inline(struct vcpu *vcpu, uint64_t address) {
  void *host;
  gmap_enter(vcpu->view);
  gmap_status status = gmap_store_resolve(vcpu->view, address, 1, &host, NULL);
  gmap_leave(vcpu->view);
  count_one(status ? &vcpu->own.lost : &vcpu->own.handed);
}

void vcpu_store(struct vcpu *vcpu, struct tracker *tracker, uint64_t address, bool remember) {
  if (tracker->feed == FEED_NONE || !opened(vcpu, tracker)) return;
  if (tracker->feed == FEED_INLINE) {
    store_inline(vcpu, address);
    return;
  }
  uint64_t generation = __atomic_load_n(&tracker->generation, __ATOMIC_ACQUIRE);
  if (generation != vcpu->generation) {
    memset(vcpu->recent, 0xFF, sizeof vcpu->recent);
    vcpu->generation = generation;
  }
  uint32_t page = (uint32_t)(address / GMAP_PAGE_SIZE), *recent = &vcpu->recent[page % RECENT];
  if (*recent == page && remember) return;
  *recent = page;
  if (vcpu->head - __atomic_load_n(&vcpu->tail, __ATOMIC_ACQUIRE) == RING) {
    pthread_mutex_lock(&vcpu->lock);
    drain(vcpu, tracker, vcpu->handle);
    pthread_mutex_unlock(&vcpu->lock);
  }
  vcpu->ring[vcpu->head % RING] = address;
  __atomic_store_n(&vcpu->head, vcpu->head + 1, __ATOMIC_RELEASE);
}

void vcpus_flush(struct tracker *tracker, uint64_t handle) {
  for (int i = 0; i < MAX_VCPUS; i++) {
    pthread_mutex_lock(&vcpus[i].lock);
    drain(&vcpus[i], tracker, handle);
    pthread_mutex_unlock(&vcpus[i].lock);
  }
}

void vcpus_count(struct counts *sum) {
  *sum = (struct counts){0};
  for (int i = 0; i < MAX_VCPUS; i++) {
    const struct counts *own = &vcpus[i].own;
    sum->stores += __atomic_load_n(&own->stores, __ATOMIC_RELAXED);
    sum->io += __atomic_load_n(&own->io, __ATOMIC_RELAXED);
    sum->outside += __atomic_load_n(&own->outside, __ATOMIC_RELAXED);
    sum->across += __atomic_load_n(&own->across, __ATOMIC_RELAXED);
    sum->lowcore += __atomic_load_n(&own->lowcore, __ATOMIC_RELAXED);
    sum->lost += __atomic_load_n(&own->lost, __ATOMIC_RELAXED);
    sum->handed += __atomic_load_n(&own->handed, __ATOMIC_RELAXED); /* inline only */
    pthread_mutex_lock(&vcpus[i].lock);
    sum->handed += vcpus[i].handed;
    sum->batches += vcpus[i].batches;
    sum->lost += vcpus[i].refused;
    pthread_mutex_unlock(&vcpus[i].lock);
  }
}
