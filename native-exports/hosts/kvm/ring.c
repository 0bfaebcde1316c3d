/* SPDX-License-Identifier: MIT
 * KVM's dirty ring: each vCPU's own list of the pages that it opened for writing. The ring is short on purpose: a vCPU that fills
 * it leaves, and its own thread empties it into vm->ring_pages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vm.h"

#define ENTRIES 1024u
#define BYTES (ENTRIES * sizeof(struct kvm_dirty_gfn))

int ring_enable(struct vm *vm) {
  struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {BYTES}};
  if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) != 0)
    return complain("--log ring: %s; this KVM has no dirty ring: use --log get", strerror(errno));
  vm->ring_pages = calloc((vm->machine->pages + 63) / 64, 8);
  return vm->ring_pages ? DONE : complain("out of memory");
}

int ring_open(struct vcpu *cpu) {
  void *ring = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
  if (ring == MAP_FAILED) return complain("mapping the dirty ring of vCPU %u: %s", cpu->index, strerror(errno));
  cpu->ring = ring;
  return DONE;
}

void ring_close(struct vcpu *cpu) {
  if (cpu->ring) munmap(cpu->ring, BYTES);
  cpu->ring = NULL;
}

static void collect(struct vcpu *cpu) {
  for (;; cpu->ring_next++) {
    struct kvm_dirty_gfn *entry = &cpu->ring[cpu->ring_next % ENTRIES];
    if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY)) return;
    if (entry->offset < cpu->vm->machine->pages) cpu->vm->ring_pages[entry->offset / 64] |= 1ull << (entry->offset % 64);
    __atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
  }
}

/* Under vm->ring_lock. What was collected is write-protected anew: copy the pages after it. */
static int empty(struct vm *vm) {
  for (uint32_t i = 0; i < GUEST_CPUS; i++) collect(&vm->cpus[i]);
  return ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0) < 0 ? complain("KVM_RESET_DIRTY_RINGS: %s", strerror(errno)) : DONE;
}

int ring_full(struct vm *vm) {
  pthread_mutex_lock(&vm->ring_lock);
  vm->rings_full++;
  int result = empty(vm);
  pthread_mutex_unlock(&vm->ring_lock);
  return result;
}

int ring_harvest(struct vm *vm, uint64_t *bitmap) {
  uint64_t bytes = (vm->machine->pages + 63) / 64 * 8;
  pthread_mutex_lock(&vm->ring_lock);
  int result = empty(vm);
  if (result == DONE) {
    memcpy(bitmap, vm->ring_pages, bytes);
    memset(vm->ring_pages, 0, bytes);
  }
  pthread_mutex_unlock(&vm->ring_lock);
  return result;
}
