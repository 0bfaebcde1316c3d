/* SPDX-License-Identifier: MIT
 *
 * uring.h - as much of io_uring as an earlier pin takes, by raw system calls: one registered (pinned) buffer, one
 * fixed read. */
#ifndef URING_H
#define URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct uring {
  int fd;
  unsigned char *rings; /* submission and completion ring in one mapping (IORING_FEAT_SINGLE_MMAP) */
  struct io_uring_sqe *entries;
  struct io_uring_params params;
} uring;

/* 0, or the errno of the call that this kernel or its policy refuses. */
static inline int uring_open(uring *u) {
  size_t size;
  memset(u, 0, sizeof *u);
  u->fd = (int)syscall(SYS_io_uring_setup, 2, &u->params);
  if (u->fd < 0) return errno;
  if (!(u->params.features & IORING_FEAT_SINGLE_MMAP)) return EOPNOTSUPP;
  size = u->params.cq_off.cqes + u->params.cq_entries * sizeof(struct io_uring_cqe);
  u->rings = (unsigned char *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
                                   IORING_OFF_SQ_RING);
  u->entries = (struct io_uring_sqe *)mmap(NULL, u->params.sq_entries * sizeof *u->entries, PROT_READ | PROT_WRITE,
                                           MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQES);
  return u->rings == MAP_FAILED || (void *)u->entries == MAP_FAILED ? errno : 0;
}

/* Pins the buffer: from now on the kernel writes to its page frames, past the page table. */
static inline int uring_pin(uring *u, void *buffer, size_t size) {
  struct iovec vector = {buffer, size};
  return syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_BUFFERS, &vector, 1) < 0 ? errno : 0;
}

/* Reads `size` bytes at offset 0 of a file into the pinned buffer and waits. The result of the read, or -errno. */
static inline int uring_read_fixed(uring *u, int file, void *buffer, unsigned size) {
  unsigned *sq_tail = (unsigned *)(void *)(u->rings + u->params.sq_off.tail);
  unsigned *sq_array = (unsigned *)(void *)(u->rings + u->params.sq_off.array);
  unsigned mask = *(unsigned *)(void *)(u->rings + u->params.sq_off.ring_mask), slot = *sq_tail & mask;
  unsigned *cq_head = (unsigned *)(void *)(u->rings + u->params.cq_off.head);
  unsigned *cq_tail = (unsigned *)(void *)(u->rings + u->params.cq_off.tail);
  unsigned cq_mask = *(unsigned *)(void *)(u->rings + u->params.cq_off.ring_mask);
  struct io_uring_cqe *done = (struct io_uring_cqe *)(void *)(u->rings + u->params.cq_off.cqes);
  int result;
  memset(&u->entries[slot], 0, sizeof u->entries[slot]);
  u->entries[slot].opcode = IORING_OP_READ_FIXED;
  u->entries[slot].fd = file;
  u->entries[slot].addr = (uint64_t)(uintptr_t)buffer;
  u->entries[slot].len = size;
  sq_array[slot] = slot;
  __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -errno;
  if (__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) == *cq_head) return -EIO;
  result = done[*cq_head & cq_mask].res;
  __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
  return result;
}

#endif /* URING_H */
