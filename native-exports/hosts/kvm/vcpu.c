/* SPDX-License-Identifier: MIT
 * The thread of a vCPU. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_program.h"
#include "vm.h"

static bool wanted(struct vcpu *cpu) { return !__atomic_load_n(&cpu->run->immediate_exit, __ATOMIC_SEQ_CST); }

static bool fail(struct vcpu *cpu, const char *what, unsigned long long detail) {
  struct kvm_regs regs = {0};
  ioctl(cpu->fd, KVM_GET_REGS, &regs);
  atomic_store(&cpu->vm->failed, true);
  complain("vCPU %u stopped at 0x%llx: %s (%llu)", cpu->index, (unsigned long long)regs.rip, what, detail);
  return false;
}

static void ring(struct vcpu *cpu, struct pace *pace) {
  uint64_t none = 0;
  atomic_compare_exchange_strong(&cpu->first_step_ns, &none, now_ns());
  atomic_fetch_add(&cpu->rings, 1);
  atomic_fetch_add(cpu->vm->steps, PROGRAM_BATCH);
  pacer_wait(cpu->vm->pacer, pace, PROGRAM_BATCH);
}

/* An access to a port; false when the vCPU is not to go on. */
static bool port(struct vcpu *cpu, struct pace *pace) {
  struct kvm_run *run = cpu->run;
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, run->io.port == PORT_SERIAL_STATUS ? 0x60 : 0xFF, (size_t)run->io.size * run->io.count); /* 0x60: ready */
    return true;
  }
  for (uint32_t i = 0; i < run->io.count; i++) {
    if (run->io.port == PORT_SERIAL) serial_send(&cpu->vm->serial, data[i * run->io.size]);
    else if (run->io.port == PORT_DOORBELL) ring(cpu, pace);
    else if (run->io.port == PORT_DONE) return atomic_store(&cpu->done, true), false;
    else return fail(cpu, "an access to a port that is not there", run->io.port);
  }
  return true;
}

static void run_guest(struct vcpu *cpu) {
  struct pace pace = pacer_begin();
  bool more = !atomic_load(&cpu->done);
  while (more && wanted(cpu)) {
    if (ioctl(cpu->fd, KVM_RUN, 0) != 0) {
      if (errno != EINTR && errno != EAGAIN) more = fail(cpu, strerror(errno), (unsigned long long)errno);
      continue;
    }
    switch (cpu->run->exit_reason) {
      case KVM_EXIT_IO: more = port(cpu, &pace); break;
      case KVM_EXIT_INTR: break;
      case KVM_EXIT_DIRTY_RING_FULL: more = ring_full(cpu->vm) == DONE || fail(cpu, "its dirty ring is full", 0); break;
      case KVM_EXIT_SHUTDOWN: more = fail(cpu, "the guest's triple fault", cpu->run->exit_reason); break;
      case KVM_EXIT_INTERNAL_ERROR: more = fail(cpu, "KVM's internal error", cpu->run->internal.suberror); break;
      default: more = fail(cpu, "an exit that this VMM does not know", cpu->run->exit_reason);
    }
  }
  /* KVM completes an access to a port when the vCPU is entered again: without this its registers were those before. */
  __atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  if (ioctl(cpu->fd, KVM_RUN, 0) == 0 && !atomic_load(&cpu->vm->failed))
    fail(cpu, "KVM ran on although it was to stop", cpu->run->exit_reason);
}

static void *run_thread(void *argument) {
  struct vcpu *cpu = argument;
  struct vm *vm = cpu->vm;
  pthread_mutex_lock(&vm->lock);
  while (!vm->ending) {
    if (cpu->parked || !vm->wanted) {
      cpu->parked = true;
      pthread_cond_broadcast(&vm->change);
      pthread_cond_wait(&vm->change, &vm->lock);
      continue;
    }
    pthread_mutex_unlock(&vm->lock);
    run_guest(cpu);
    pthread_mutex_lock(&vm->lock);
    cpu->parked = true;
    pthread_cond_broadcast(&vm->change);
  }
  pthread_mutex_unlock(&vm->lock);
  return NULL;
}

static int set_cpuid(struct vcpu *cpu) {
  struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[256]; } *ids = calloc(1, sizeof *ids);
  if (!ids) return complain("out of memory");
  ids->head.nent = 256;
  int error = ioctl(cpu->vm->kvm, KVM_GET_SUPPORTED_CPUID, ids) || ioctl(cpu->fd, KVM_SET_CPUID2, ids) ? errno : 0;
  free(ids);
  return error ? complain("the CPUID of vCPU %u: %s", cpu->index, strerror(error)) : DONE;
}

int vcpu_create(struct vcpu *cpu) {
  struct vm *vm = cpu->vm;
  if ((cpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, cpu->index)) < 0)
    return complain("KVM_CREATE_VCPU %u: %s", cpu->index, strerror(errno));
  void *run = mmap(NULL, (size_t)vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
  if (run == MAP_FAILED) return complain("mapping vCPU %u: %s", cpu->index, strerror(errno));
  cpu->run = run;
  cpu->parked = true;
  if (vm->log == VM_LOG_RING && ring_open(cpu) != DONE) return FAILED;
  if (set_cpuid(cpu) != DONE) return FAILED;
  int error = pthread_create(&cpu->thread, NULL, run_thread, cpu);
  if (error) return complain("a thread for vCPU %u: %s", cpu->index, strerror(error));
  cpu->created = true;
  return DONE;
}

void vcpu_end(struct vcpu *cpu) {
  if (cpu->created) pthread_join(cpu->thread, NULL);
  ring_close(cpu);
  if (cpu->run) munmap(cpu->run, (size_t)cpu->vm->run_bytes);
  if (cpu->fd >= 0) close(cpu->fd);
  cpu->created = false;
}
