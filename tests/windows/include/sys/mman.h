/* SPDX-License-Identifier: MIT
 *
 * sys/mman.h - what the tests' hosts ask of it, by VirtualAlloc: anonymous memory. */
#ifndef GMAP_WINDOWS_MMAN_H
#define GMAP_WINDOWS_MMAN_H

#include <windows.h>

#undef FAR /* words of 1985, which hosts may have for themselves */
#undef NEAR

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_FAILED ((void *)-1)

static inline DWORD windows_protection(int protection) {
  return protection == PROT_NONE ? PAGE_NOACCESS : protection == PROT_READ ? PAGE_READONLY : PAGE_READWRITE;
}

static inline void *mmap(void *at, size_t bytes, int protection, int flags, int fd, long long offset) {
  void *made = VirtualAlloc(at, bytes, MEM_RESERVE | MEM_COMMIT, windows_protection(protection));
  (void)flags, (void)fd, (void)offset;
  return made ? made : MAP_FAILED;
}

/* Its address space stays taken: a part of what VirtualAlloc gave cannot be given back. */
static inline int munmap(void *at, size_t bytes) {
  return bytes == 0 || VirtualFree(at, bytes, MEM_DECOMMIT) ? 0 : -1;
}

static inline int mprotect(void *at, size_t bytes, int protection) {
  DWORD before;
  return VirtualProtect(at, bytes, windows_protection(protection), &before) ? 0 : -1;
}

#endif /* GMAP_WINDOWS_MMAN_H */
