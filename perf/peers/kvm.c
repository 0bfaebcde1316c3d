// What KVM takes for a guest's first write to a page that its dirty log watches, and for the log itself: a guest of
// fifteen bytes of code that writes one byte to each page. It runs in long mode at the user's privilege (with the
// right to do port I/O, by which it ends), because some hosts of virtual machines run no more privileged one well.
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "peers.h"

#define PAGE 4096ull
#define LOW (64 * PAGE) // the code and the guest's own page tables
#define WATCHED (1ull << 32)
#define LARGE (2ull << 20)

enum { CODE = 1, TOP, UPPER, LOW_DIRECTORY, WATCHED_DIRECTORY }; // pages of the low memory

static const uint8_t code[] = {
    0xc6, 0x07, 0x01,                         // again: mov byte [rdi], 1
    0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add rdi, 4096
    0x48, 0xff, 0xc9,                         // dec rcx
    0x75, 0xf1,                               // jnz again
    0xe6, 0x10,                               // out 0x10, al
};

typedef struct machine {
  int kvm, vm, cpu;
  struct kvm_run *run;
  size_t run_size, watched_size;
  uint8_t *low, *watched;
} machine;

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int set_slot(const machine *m, uint32_t slot, uint32_t flags) {
  struct kvm_userspace_memory_region region = {.slot = slot, .flags = flags};
  region.guest_phys_addr = slot ? WATCHED : 0;
  region.memory_size = slot ? m->watched_size : LOW;
  region.userspace_addr = (uintptr_t)(slot ? m->watched : m->low);
  return ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

// Virtual is physical: the low memory, and what is watched by large pages.
static void build_tables(const machine *m) {
  uint64_t *low = (uint64_t *)(void *)m->low;
  const uint64_t rights = 7, large = 0x80; // present, writable, the user's
  low[TOP * 512] = UPPER * PAGE | rights;
  low[UPPER * 512] = LOW_DIRECTORY * PAGE | rights;
  low[UPPER * 512 + (WATCHED >> 30)] = WATCHED_DIRECTORY * PAGE | rights;
  low[LOW_DIRECTORY * 512] = rights | large;
  for (uint64_t i = 0; i * LARGE < m->watched_size; i++)
    low[WATCHED_DIRECTORY * 512 + i] = (WATCHED + i * LARGE) | rights | large;
  memcpy(m->low + CODE * PAGE, code, sizeof code);
}

static int set_registers(const machine *m) {
  struct kvm_segment segment = {.limit = 0xfffff, .present = 1, .dpl = 3, .s = 1, .g = 1};
  struct kvm_sregs special;
  if (ioctl(m->cpu, KVM_GET_SREGS, &special)) return -1;
  special.cr0 = 0x80050033; // paging, write protection, protected mode
  special.cr3 = TOP * PAGE;
  special.cr4 = 0x20;   // entries of 8 bytes
  special.efer = 0xd01; // long mode
  segment.type = 11;
  segment.selector = 0x33;
  segment.l = 1;
  special.cs = segment;
  segment.type = 3;
  segment.selector = 0x2b;
  segment.l = 0;
  segment.db = 1;
  special.ds = special.es = special.fs = special.gs = special.ss = segment;
  return ioctl(m->cpu, KVM_SET_SREGS, &special);
}

static void *map(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static int open_machine(machine *m, uint64_t pages) {
  struct {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[256];
  } features = {.head.nent = 256};
  int size;
  m->watched_size = (pages * PAGE + LARGE - 1) & ~(LARGE - 1);
  if ((m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0) return -1;
  if ((m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0)) < 0) return -1;
  if (!(m->low = map(LOW)) || !(m->watched = map(m->watched_size))) return -1;
  madvise(m->watched, m->watched_size, MADV_NOHUGEPAGE);
  memset(m->watched, 1, m->watched_size); // only KVM's own faults are to be seen
  build_tables(m);
  if (set_slot(m, 0, 0) || set_slot(m, 1, KVM_MEM_LOG_DIRTY_PAGES)) return -1;
  if ((m->cpu = ioctl(m->vm, KVM_CREATE_VCPU, 0)) < 0) return -1;
  if ((size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) <= 0) return -1;
  m->run_size = (size_t)size;
  m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu, 0);
  if (m->run == MAP_FAILED) {
    m->run = NULL;
    return -1;
  }
  if (ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, &features) == 0) ioctl(m->cpu, KVM_SET_CPUID2, &features);
  return set_registers(m);
}

static void close_machine(const machine *m) {
  if (m->run) munmap(m->run, m->run_size);
  if (m->cpu > 0) close(m->cpu);
  if (m->vm > 0) close(m->vm);
  if (m->kvm > 0) close(m->kvm);
  if (m->low) munmap(m->low, LOW);
  if (m->watched) munmap(m->watched, m->watched_size);
}

// ns, or below 0.
static double write_all(const machine *m, uint64_t pages) {
  struct kvm_regs registers = {.rip = CODE * PAGE, .rflags = 0x3002, .rdi = WATCHED, .rcx = pages};
  double begin;
  if (ioctl(m->cpu, KVM_SET_REGS, &registers)) return -1;
  begin = now_ns();
  while (ioctl(m->cpu, KVM_RUN, 0))
    if (errno != EINTR) return -1;
  return m->run->exit_reason == KVM_EXIT_IO ? now_ns() - begin : -1;
}

// Gets and clears the log; ns, or below 0 if it has not exactly so many pages.
static double take_log(const machine *m, uint64_t pages, uint64_t *bitmap) {
  struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = bitmap};
  double begin = now_ns();
  uint64_t found = 0;
  if (ioctl(m->vm, KVM_GET_DIRTY_LOG, &log)) return -1;
  begin = now_ns() - begin;
  for (uint64_t i = 0; i < (m->watched_size / PAGE + 63) / 64; i++) found += (uint64_t)__builtin_popcountll(bitmap[i]);
  return found == pages ? begin : -1;
}

int peer_kvm_first_write(uint64_t pages, double *write_ns, double *log_ns) {
  machine m = {0};
  uint64_t bitmap[PEER_KVM_MOST_PAGES / 64] = {0};
  double begin = -1, end = -1;
  int done = 0;
  if (pages > PEER_KVM_MOST_PAGES) return 0;
  if (open_machine(&m, pages) == 0 && write_all(&m, pages) >= 0 && take_log(&m, pages, bitmap) >= 0) {
    begin = write_all(&m, pages); // every page is there and protected: each write is a fault
    end = take_log(&m, pages, bitmap);
    done = begin >= 0 && end >= 0;
  }
  close_machine(&m);
  *write_ns = begin / (double)pages;
  *log_ns = end / (double)pages;
  return done;
}
