/* SPDX-License-Identifier: MIT
 * Registers of a vCPU: those that it begins with, and all of them from one process to another. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

/* 64-bit code in ring 3, which runs natively also where KVM is software; IOPL 3, so that ports are the guest's to use. No
 * interrupt comes and no exception is meant to: there are no descriptor tables, an exception ends the guest. */
int vcpu_enter_program(struct vcpu *cpu) {
  struct kvm_sregs s;
  if (ioctl(cpu->fd, KVM_GET_SREGS, &s) != 0) return complain("KVM_GET_SREGS: %s", strerror(errno));
  s.cr0 = 0x80050033;  /* PG AM WP NE ET MP PE */
  s.cr3 = GUEST_TABLES;
  s.cr4 = 0x220;       /* PAE OSFXSR */
  s.efer = 0xD01;      /* NXE LMA LME SCE */
  struct kvm_segment code = {.limit = 0xFFFFFFFF, .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
  struct kvm_segment data = {.limit = 0xFFFFFFFF, .selector = 0x2B, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
  s.cs = code;
  s.ds = s.es = s.fs = s.gs = s.ss = data;
  struct kvm_regs r = {.rip = GUEST_CODE, .rflags = 0x3002, .rdi = cpu->index, .rsi = GUEST_BOOT,
                       .rsp = GUEST_STACKS + (cpu->index + 1) * 0x1000 - 8};
  if (ioctl(cpu->fd, KVM_SET_SREGS, &s) != 0) return complain("KVM_SET_SREGS: %s", strerror(errno));
  if (ioctl(cpu->fd, KVM_SET_REGS, &r) != 0) return complain("KVM_SET_REGS: %s", strerror(errno));
  return DONE;
}

struct part {
  const char *name;
  unsigned long get, set;
  void *at;
};

#define PARTS 7

/* In the order in which they have to be set: what KVM checks a part against comes before it. */
static void list_parts(struct vcpu_state *s, struct part parts[PARTS]) {
  struct part all[PARTS] = {{"SREGS", KVM_GET_SREGS, KVM_SET_SREGS, &s->sregs},
                            {"REGS", KVM_GET_REGS, KVM_SET_REGS, &s->regs},
                            {"XCRS", KVM_GET_XCRS, KVM_SET_XCRS, &s->xcrs},
                            {"XSAVE", KVM_GET_XSAVE, KVM_SET_XSAVE, &s->xsave},
                            {"DEBUGREGS", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, &s->debug},
                            {"VCPU_EVENTS", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, &s->events},
                            {"MP_STATE", KVM_GET_MP_STATE, KVM_SET_MP_STATE, &s->mp}};
  memcpy(parts, all, sizeof all);
}

int vcpu_save(struct vcpu *cpu, struct vcpu_state *state) {
  struct part parts[PARTS];
  memset(state, 0, sizeof *state);
  list_parts(state, parts);
  for (unsigned i = 0; i < PARTS; i++)
    if (ioctl(cpu->fd, parts[i].get, parts[i].at) != 0) return complain("KVM_GET_%s: %s", parts[i].name, strerror(errno));
  state->done = atomic_load(&cpu->done);
  return DONE;
}

int vcpu_restore(struct vcpu *cpu, const struct vcpu_state *state) {
  struct vcpu_state copy = *state;
  struct part parts[PARTS];
  list_parts(&copy, parts);
  for (unsigned i = 0; i < PARTS; i++)
    if (ioctl(cpu->fd, parts[i].set, parts[i].at) != 0)
      return complain("KVM_SET_%s: %s; the destination needs a processor and a KVM like the source's", parts[i].name,
                      strerror(errno));
  atomic_store(&cpu->done, copy.done != 0);
  return DONE;
}
