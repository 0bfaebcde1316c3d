/* SPDX-License-Identifier: MIT
 * A virtual machine of KVM over the memory of a machine: one memory slot from guest address 0 on, GUEST_CPUS vCPUs, each on a
 * thread of its own, a serial port. */
#ifndef VM_H
#define VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "layout.h"
#include "machine.h"
#include "pacer.h"
#include "serial.h"

struct vm;

struct vcpu {
  struct vm *vm;
  uint32_t index;
  int fd;
  struct kvm_run *run;
  struct kvm_dirty_gfn *ring;
  uint32_t ring_next;
  pthread_t thread;
  bool created, parked; /* thread and its state, under vm->lock */
  atomic_bool done;     /* the guest's program has ended on it */
  _Atomic uint64_t rings, first_step_ns; /* of the doorbell; when it first rang in this process */
};

/* How KVM's own log is read: get clears; get, then clear; a ring of each vCPU. */
enum vm_log { VM_LOG_NONE, VM_LOG_GET, VM_LOG_CLEAR, VM_LOG_RING };

struct vm {
  int kvm, fd;
  int run_bytes;
  struct machine *machine;
  struct pacer *pacer;
  _Atomic uint64_t *steps; /* of all vCPUs, in this process */
  enum vm_log log;
  struct vcpu cpus[GUEST_CPUS];
  struct serial serial;
  uint64_t *ring_pages, rings_full; /* what rings were emptied into, and how often they were full; under ring_lock */
  pthread_mutex_t ring_lock;
  pthread_mutex_t lock;
  pthread_cond_t change;
  bool wanted, ending; /* the vCPUs are to run; to end */
  atomic_bool failed;  /* told already */
};

/* NULL, or what is missing for a VM here, and the way out. */
const char *vm_missing(void);

/* Opens a VM and its vCPUs, which stand still, with their registers as KVM resets them. */
int vm_open(struct vm *vm, struct machine *machine, struct pacer *pacer, _Atomic uint64_t *steps, enum vm_log log);
void vm_close(struct vm *vm);

int vm_start(struct vm *vm);
/* When it returns no vCPU runs, and each one's state is between two instructions. FAILED: a vCPU has failed. */
int vm_stop(struct vm *vm);
bool vm_done(struct vm *vm);

/* KVM's own dirty log; the pages are write-protected anew. */
int vm_harvest(struct vm *vm, uint64_t *bitmap);

/* vcpu_state.c */
struct vcpu_state { /* as it goes over the wire */
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  struct kvm_xsave xsave;
  struct kvm_xcrs xcrs;
  struct kvm_debugregs debug;
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp;
  uint64_t done;
};

int vcpu_enter_program(struct vcpu *cpu); /* at the first instruction of the guest's code */
int vcpu_save(struct vcpu *cpu, struct vcpu_state *state);
int vcpu_restore(struct vcpu *cpu, const struct vcpu_state *state);

/* ring.c */
int ring_enable(struct vm *vm); /* before the first vCPU is made */
int ring_open(struct vcpu *cpu);
void ring_close(struct vcpu *cpu);
int ring_full(struct vm *vm); /* a vCPU says that its ring is */
int ring_harvest(struct vm *vm, uint64_t *bitmap);

/* vcpu.c */
int vcpu_create(struct vcpu *cpu);
void vcpu_end(struct vcpu *cpu);

#endif
