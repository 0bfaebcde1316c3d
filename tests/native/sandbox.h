/* SPDX-License-Identifier: MIT
 *
 * sandbox.h - seccomp filters by hand: a system call that fails with an errno, or a list of those that are allowed. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "check.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SANDBOX_MOST 96

typedef struct sandbox {
  struct sock_filter filter[3 * SANDBOX_MOST];
  unsigned short length;
} sandbox;

static inline void sandbox_add(sandbox *box, struct sock_filter instruction) {
  REQUIRE(box->length < sizeof box->filter / sizeof *box->filter);
  box->filter[box->length++] = instruction;
}

static inline void sandbox_begin(sandbox *box) {
  box->length = 0;
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

/* What becomes of one system call. */
static inline void sandbox_rule(sandbox *box, long number, uint32_t action) {
  sandbox_add(box, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1));
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* The same, where this argument (the first is 0) has this value only; 32 bits of it. */
static inline void sandbox_rule_where(sandbox *box, long number, unsigned argument, uint32_t value, uint32_t action) {
  uint32_t offset = (uint32_t)(offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
  sandbox_add(box, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4));
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
  sandbox_add(box, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

/* In force from here on, with what becomes of all other calls. Skips where there is no seccomp. */
static inline void sandbox_apply_to(sandbox *box, uint32_t otherwise, unsigned flags) {
  struct sock_fprog program;
  sandbox_add(box, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise));
  program.len = box->length;
  program.filter = box->filter;
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0) skip("seccomp filters");
}

/* For every thread of the process. */
static inline void sandbox_apply(sandbox *box, uint32_t otherwise) {
  sandbox_apply_to(box, otherwise, SECCOMP_FILTER_FLAG_TSYNC);
}

/* From here on the call fails with this errno. */
static inline void sandbox_deny(long number, uint32_t error) {
  sandbox box;
  sandbox_begin(&box);
  sandbox_rule(&box, number, SECCOMP_RET_ERRNO | error);
  sandbox_apply(&box, SECCOMP_RET_ALLOW);
}

/* The same, with this value as its argument (the first is 0) only. */
static inline void sandbox_deny_where(long number, unsigned argument, uint32_t value, uint32_t error) {
  sandbox box;
  sandbox_begin(&box);
  sandbox_rule_where(&box, number, argument, value, SECCOMP_RET_ERRNO | error);
  sandbox_apply(&box, SECCOMP_RET_ALLOW);
}

#endif /* SANDBOX_H */
