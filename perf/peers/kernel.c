// What the kernel takes for the first write to a page that it watches: userfaultfd, with and without a handler, and
// mprotect with a signal handler.
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "peers.h"

#define PAGE 4096ul
#define FEATURE_WP_UNPOPULATED (1ull << 13) // newer than the headers of this system
#define FEATURE_WP_ASYNC (1ull << 15)
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static char *memory;
static size_t size;
static int uffd, stop;
static volatile uint64_t faults;

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double touch(void) {
  double begin = now_ns();
  for (size_t at = 0; at < size; at += PAGE) ((volatile char *)memory)[at + 64]++;
  return (now_ns() - begin) / (double)(size / PAGE);
}

static void on_segv(int number, siginfo_t *info, void *context) {
  uintptr_t at = (uintptr_t)info->si_addr;
  (void)number;
  (void)context;
  if (at - (uintptr_t)memory >= size) _exit(99);
  faults++;
  if (mprotect((void *)(at & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE)) _exit(98);
}

static double by_signal(void) {
  struct sigaction mine, before;
  double ns = -1;
  memset(&mine, 0, sizeof mine);
  mine.sa_sigaction = on_segv;
  mine.sa_flags = SA_SIGINFO | SA_NODEFER;
  faults = 0;
  if (sigaction(SIGSEGV, &mine, &before)) return -1;
  if (mprotect(memory, size, PROT_READ) == 0) ns = touch();
  sigaction(SIGSEGV, &before, NULL);
  return faults == size / PAGE ? ns : -1;
}

static int open_armed(uint64_t features) {
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  struct uffdio_register range = {.range = {(uintptr_t)memory, size}, .mode = UFFDIO_REGISTER_MODE_WP};
  struct uffdio_writeprotect arm = {.range = {(uintptr_t)memory, size}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  if (uffd < 0) return 0;
  if (ioctl(uffd, UFFDIO_API, &api) == 0 && ioctl(uffd, UFFDIO_REGISTER, &range) == 0 &&
      ioctl(uffd, UFFDIO_WRITEPROTECT, &arm) == 0)
    return 1;
  close(uffd);
  return 0;
}

static void *handle(void *argument) {
  struct pollfd polled[2] = {{uffd, POLLIN, 0}, {stop, POLLIN, 0}};
  for (;;) {
    struct uffd_msg messages[16];
    ssize_t got;
    poll(polled, 2, -1);
    if (polled[1].revents) return argument;
    while ((got = read(uffd, messages, sizeof messages)) > 0) {
      for (size_t i = 0; i < (size_t)got / sizeof *messages; i++) {
        struct uffdio_writeprotect open = {.range = {messages[i].arg.pagefault.address & ~(PAGE - 1), PAGE}, .mode = 0};
        if (messages[i].event != UFFD_EVENT_PAGEFAULT) continue;
        faults++;
        ioctl(uffd, UFFDIO_WRITEPROTECT, &open);
      }
    }
  }
}

static double by_handler(void) {
  pthread_t thread;
  uint64_t one = 1;
  double ns = -1;
  faults = 0;
  if (!open_armed(UFFD_FEATURE_PAGEFAULT_FLAG_WP)) return -1;
  stop = eventfd(0, EFD_CLOEXEC);
  if (stop >= 0 && pthread_create(&thread, NULL, handle, NULL) == 0) {
    ns = touch();
    if (write(stop, &one, sizeof one) != (ssize_t)sizeof one) _exit(97);
    pthread_join(thread, NULL);
  }
  close(stop);
  close(uffd);
  return faults == size / PAGE ? ns : -1;
}

static double by_kernel_alone(void) {
  double ns;
  if (!open_armed(FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED)) return -1;
  ns = touch();
  close(uffd);
  return ns;
}

double peer_kernel_first_write(enum peer_kernel how, uint64_t pages) {
  double ns;
  size = pages * PAGE;
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -1;
  madvise(memory, size, MADV_NOHUGEPAGE);
  touch(); // all present
  ns = how == PEER_SIGSEGV ? by_signal() : how == PEER_UFFD_SYNC ? by_handler() : by_kernel_alone();
  munmap(memory, size);
  return ns;
}
