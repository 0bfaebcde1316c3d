/* SPDX-License-Identifier: MIT */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_kvm(void) { return open("/dev/kvm", O_RDWR | O_CLOEXEC); }

const char *vm_missing(void) {
  static char text[160];
  int kvm = open_kvm();
  if (kvm < 0) {
    snprintf(text, sizeof text, "/dev/kvm: %s; %s", strerror(errno),
             errno == EACCES ? "join the group that owns it, or run as root" : "run it on a machine with KVM");
    return text;
  }
  int version = ioctl(kvm, KVM_GET_API_VERSION, 0), vm = ioctl(kvm, KVM_CREATE_VM, 0);
  snprintf(text, sizeof text, "/dev/kvm makes no virtual machine (%s); run it on a machine with KVM", strerror(errno));
  bool enough = version == KVM_API_VERSION && vm >= 0 && ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0 &&
                ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) > 0;
  if (vm >= 0 && !enough) snprintf(text, sizeof text, "this KVM has no immediate exit or XSAVE; Linux 4.13 has");
  if (vm >= 0) close(vm);
  close(kvm);
  return enough ? NULL : text;
}

static void ignore(int number) { (void)number; }

/* A signal makes KVM_RUN return; SIGUSR1 is nobody else's here. */
static void take_signal(void) {
  struct sigaction action = {.sa_handler = ignore};
  sigaction(SIGUSR1, &action, NULL);
}

static int set_memory(struct vm *vm) {
  struct kvm_userspace_memory_region region = {.slot = 0, .memory_size = vm->machine->size,
                                               .flags = vm->log == VM_LOG_NONE ? 0 : KVM_MEM_LOG_DIRTY_PAGES,
                                               .userspace_addr = (uintptr_t)vm->machine->memory};
  if (vm->log == VM_LOG_CLEAR) {
    struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}};
    if (ioctl(vm->fd, KVM_ENABLE_CAP, &manual) != 0)
      return complain("--log clear: %s; this KVM has no KVM_CLEAR_DIRTY_LOG: use --log get", strerror(errno));
  }
  if (vm->log == VM_LOG_RING && ring_enable(vm) != DONE) return FAILED;
  if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) != 0)
    return complain("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
  return DONE;
}

int vm_open(struct vm *vm, struct machine *machine, struct pacer *pacer, _Atomic uint64_t *steps, enum vm_log log) {
  *vm = (struct vm){.kvm = -1, .fd = -1, .machine = machine, .pacer = pacer, .steps = steps, .log = log};
  for (uint32_t i = 0; i < GUEST_CPUS; i++) vm->cpus[i] = (struct vcpu){.vm = vm, .index = i, .fd = -1};
  pthread_mutex_init(&vm->lock, NULL);
  pthread_mutex_init(&vm->ring_lock, NULL);
  pthread_cond_init(&vm->change, NULL);
  serial_open(&vm->serial);
  take_signal();
  if ((vm->kvm = open_kvm()) < 0) return complain("/dev/kvm: %s", strerror(errno));
  if ((vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0)) < 0) return complain("KVM_CREATE_VM: %s", strerror(errno));
  ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xFFFBD000ul); /* KVM on some Intel processors wants three pages that the guest has not */
  if ((vm->run_bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) < 0)
    return complain("KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
  if (set_memory(vm) != DONE) return FAILED;
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    if (vcpu_create(&vm->cpus[i]) != DONE) return FAILED;
  return DONE;
}

void vm_close(struct vm *vm) {
  vm_stop(vm);
  pthread_mutex_lock(&vm->lock);
  vm->ending = true;
  pthread_cond_broadcast(&vm->change);
  pthread_mutex_unlock(&vm->lock);
  for (uint32_t i = 0; i < GUEST_CPUS; i++) vcpu_end(&vm->cpus[i]);
  if (vm->fd >= 0) close(vm->fd);
  if (vm->kvm >= 0) close(vm->kvm);
  serial_close(&vm->serial);
  pthread_cond_destroy(&vm->change);
  pthread_mutex_destroy(&vm->ring_lock);
  pthread_mutex_destroy(&vm->lock);
  free(vm->ring_pages);
}

int vm_start(struct vm *vm) {
  for (uint32_t i = 0; i < GUEST_CPUS; i++) vm->cpus[i].run->immediate_exit = 0;
  pthread_mutex_lock(&vm->lock);
  vm->wanted = true;
  for (uint32_t i = 0; i < GUEST_CPUS; i++) vm->cpus[i].parked = false;
  pthread_cond_broadcast(&vm->change);
  pthread_mutex_unlock(&vm->lock);
  return DONE;
}

/* immediate_exit closes the gap between a vCPU's look at `wanted` and its KVM_RUN: a signal alone may come too early. */
int vm_stop(struct vm *vm) {
  pthread_mutex_lock(&vm->lock);
  vm->wanted = false;
  for (uint32_t i = 0; i < GUEST_CPUS; i++) {
    struct vcpu *cpu = &vm->cpus[i];
    if (!cpu->created || cpu->parked) continue;
    __atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(cpu->thread, SIGUSR1);
  }
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    while (vm->cpus[i].created && !vm->cpus[i].parked) pthread_cond_wait(&vm->change, &vm->lock);
  pthread_mutex_unlock(&vm->lock);
  return atomic_load(&vm->failed) ? FAILED : DONE;
}

bool vm_done(struct vm *vm) {
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    if (!atomic_load(&vm->cpus[i].done)) return false;
  return true;
}

int vm_harvest(struct vm *vm, uint64_t *bitmap) {
  if (vm->log == VM_LOG_RING) return ring_harvest(vm, bitmap);
  struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};
  if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) != 0) return complain("KVM_GET_DIRTY_LOG: %s", strerror(errno));
  if (vm->log != VM_LOG_CLEAR) return DONE;
  struct kvm_clear_dirty_log clear = {.slot = 0, .num_pages = (uint32_t)vm->machine->pages, .dirty_bitmap = bitmap};
  if (ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear) != 0) return complain("KVM_CLEAR_DIRTY_LOG: %s", strerror(errno));
  return DONE;
}
