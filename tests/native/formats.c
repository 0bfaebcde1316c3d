/* SPDX-License-Identifier: MIT
 *
 * formats.c - dirty pages in the forms that others have: KVM's GET and CLEAR with every page set at the beginning, a
 * vhost log that a second process sets bits in while we drain it, and how fast pages become dirty. */
#include "fixture.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (16 * MIB)
#define PAGES PAGES_OF(SIZE)

static uint64_t bitmap[MAX_WORDS];

static gmap_rate slot_rate(const fixture *f) {
  gmap_rate rate;
  memset(&rate, 0xA5, sizeof rate);
  rate.struct_size = sizeof rate;
  CHECK_OK(gmap_dirty_rate(f->space, SLOT, &rate));
  CHECK_EQUAL(rate.flags, 0);
  return rate;
}

static gmap_rate vcpu_rate(uint64_t vcpu) {
  gmap_rate rate;
  memset(&rate, 0xA5, sizeof rate);
  rate.struct_size = sizeof rate;
  CHECK_OK(gmap_vcpu_rate(vcpu, &rate));
  CHECK_EQUAL(rate.flags, 0);
  return rate;
}

/* ---- KVM_DIRTY_LOG_INITIALLY_SET --------------------------------------------------------------------------------- */

static void initially_set(void) {
  fixture f;
  uint64_t dirty = 0, i, graces;
  unsigned asked = 0;
  fixture_open(&f, SIZE, 0, GMAP_SPLIT_LAZY);
  gmap_enter(f.view);
  for (i = 0; i < SIZE / MIB; i++) CHECK_OK(store8(f.view, GUEST + i * MIB, 1, NULL)); /* writable leaves */
  gmap_leave(f.view);
  graces = space_stats(f.space).grace_periods;
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY | GMAP_SLOT_INITIALLY_DIRTY, GUEST, SIZE, f.memory));
  CHECK_EQUAL(space_stats(f.space).grace_periods, graces);
  CHECK_EQUAL(space_stats(f.space).armings, 1);
  CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, bitmap, &dirty));
  CHECK_EQUAL(dirty, PAGES);
  gmap_enter(f.view);
  CHECK_OK(store8(f.view, GUEST + 5 * PAGE, 2, &asked));
  gmap_leave(f.view);
  CHECK_EQUAL(asked, 0); /* nothing was armed */
  for (i = 0; i < PAGES; i += 1024) { /* by chunks */
    CHECK_OK(gmap_dirty_clear(f.space, SLOT, i, 1024, 0, bitmap + i / 64));
    CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, NULL, &dirty));
    CHECK_EQUAL(dirty, PAGES - i - 1024);
  }
  CHECK_EQUAL(slot_rate(&f).pages, 0); /* all that was dirty from the beginning */
  gmap_enter(f.view);
  CHECK_OK(store8(f.view, GUEST + 5 * PAGE, 3, &asked));
  gmap_leave(f.view);
  CHECK_EQUAL(asked, 1); /* its leaf was armed, and is split now */
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 5);
  fixture_close(&f);
}

/* ---- a vhost log ------------------------------------------------------------------------------------------------- */

#define LOG_BYTES (PAGES_OF(GUEST + SIZE) / 8)
#define ENOUGH 20000u /* bits that are found while the device runs */

static unsigned char *shared(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  return (unsigned char *)memory;
}

/* The device: counts up a word of a page, then sets the page's bit as the specification has it, by bytes. Counts the
 * bits that were clear before, until *stop. Calls nothing of the library. */
static void be_the_device(unsigned char *memory, unsigned char *log, uint64_t *set, uint64_t *stop) {
  uint32_t random = 7;
  while (!__atomic_load_n(stop, __ATOMIC_SEQ_CST)) {
    uint64_t page, gfn;
    random = random * 1664525u + 1013904223u;
    page = (random >> 8) % 256 * (PAGES / 256); /* few, so that they are met again */
    gfn = PAGES_OF(GUEST) + page;
    __atomic_fetch_add((uint64_t *)(void *)(memory + page * PAGE), 1, __ATOMIC_SEQ_CST);
    if (!(__atomic_fetch_or(log + gfn / 8, (unsigned char)(1u << (gfn % 8)), __ATOMIC_SEQ_CST) >> (gfn % 8) & 1))
      ++*set;
  }
}

/* Drains, harvests, copies what is reported. The number of bits that were drained. */
static uint64_t round_of_migration(const fixture *f, unsigned char *log, unsigned char *image) {
  uint64_t drained = ~0ull, page;
  CHECK_OK(gmap_dirty_drain(f->space, GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES, &drained));
  harvest(f, bitmap);
  for (page = 0; page < PAGES; page++)
    if (page_is_dirty(bitmap, page)) memcpy(image + page * PAGE, f->memory + page * PAGE, 8);
  return drained;
}

static void second_process(void) {
  fixture f;
  unsigned char *log = shared(LOG_BYTES), *memory = shared(SIZE + MIB), *image = guest_memory(SIZE);
  uint64_t *set = (uint64_t *)(void *)shared(4096), found = 0, rounds = 0, page;
  int status = 0;
  pid_t device;
  memory += -(uintptr_t)memory & (MIB - 1);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  REQUIRE_OK(set_slot(f.space, SLOT, 0, 0, 0, NULL));
  munmap(f.memory, f.size);
  f.memory = memory;
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, memory));
  device = fork();
  REQUIRE(device >= 0);
  if (device == 0) {
    be_the_device(memory, log, set, set + 8);
    _exit(0);
  }
  for (; found < ENOUGH; rounds++) found += round_of_migration(&f, log, image);
  __atomic_store_n(set + 8, 1, __ATOMIC_SEQ_CST);
  REQUIRE(waitpid(device, &status, 0) == device);
  CHECK_EQUAL(status, 0);
  found += round_of_migration(&f, log, image);
  CHECK_EQUAL(found, *set); /* each bit once: none lost, none invented */
  for (page = 0; page < PAGES; page++) CHECK(memcmp(image + page * PAGE, memory + page * PAGE, 8) == 0);
  CHECK_EQUAL(round_of_migration(&f, log, image), 0);
  printf("a device in another process: %llu bits in %llu rounds\n", (unsigned long long)found,
         (unsigned long long)rounds);
  CHECK_OK(gmap_vcpu_close(f.vcpu));
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
}

static void drain_is_checked(const fixture *f) {
  uint64_t *log = (uint64_t *)guarded(64), pages = 77;
  uint32_t flag;
  memset(log, 0, 64);
  log[0] = 1;
#define DRAIN(format, flags, log, bytes) gmap_dirty_drain(f->space, (format), (flags), (log), (bytes), &pages)
  for (flag = 1; flag; flag <<= 1) CHECK_STATUS(DRAIN(GMAP_FORMAT_VHOST_LOG, flag, log, 64), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(0, 0, log, 64), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(2, 0, log, 64), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, NULL, 64), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, (char *)log + 4, 56), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, log, 63), GMAP_EINVAL);
  CHECK_STATUS(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, log, ~(uint64_t)7), GMAP_EINVAL);
  CHECK_STATUS(gmap_dirty_drain(0, GMAP_FORMAT_VHOST_LOG, 0, log, 64, &pages), GMAP_EBADF);
  CHECK_EQUAL(pages, 77);
  CHECK_EQUAL(log[0], 1); /* nothing was taken */
  CHECK_OK(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, log, 0));
  CHECK_EQUAL(pages, 0);
  CHECK_OK(DRAIN(GMAP_FORMAT_VHOST_LOG, 0, log, 64)); /* a log that ends before the slot; page 0 has no slot */
  CHECK_EQUAL(pages, 0);
  CHECK_EQUAL(log[0], 0);
  CHECK_OK(gmap_dirty_drain(f->space, GMAP_FORMAT_VHOST_LOG, 0, log, 64, NULL));
}

/* The epoch of a consumer, ORed into a log that a device uses. */
static void exported(const fixture *f) {
  uint64_t consumer = 0, pages = 77, i, *log = (uint64_t *)guarded(LOG_BYTES);
  uint32_t flag;
  memset(log, 0, LOG_BYTES);
  log[0] = 0x80;
  REQUIRE_OK(gmap_consumer_open(f->space, SLOT, 0, &consumer));
#define EXPORT(format, flags, log, bytes) gmap_dirty_export(consumer, (format), (flags), (log), (bytes), &pages)
  CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES), GMAP_EINVAL); /* no epoch */
  CHECK_OK(gmap_mark_dirty(f->space, GUEST, 1));
  CHECK_OK(gmap_mark_dirty(f->space, GUEST + SIZE - 3 * PAGE, 3 * PAGE));
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  for (flag = 1; flag; flag <<= 1) CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, flag, log, LOG_BYTES), GMAP_EINVAL);
  CHECK_STATUS(EXPORT(2, 0, log, LOG_BYTES), GMAP_EINVAL);
  CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, NULL, LOG_BYTES), GMAP_EINVAL);
  CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, (char *)log + 1, LOG_BYTES - 8), GMAP_EINVAL);
  CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES - 1), GMAP_EINVAL);
  CHECK_STATUS(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES - 8), GMAP_ENOBUFS);
  CHECK_STATUS(gmap_dirty_export(f->space, GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES, &pages), GMAP_EBADF);
  CHECK_EQUAL(pages, 77);
  for (i = 1; i < LOG_BYTES / 8; i++) CHECK_EQUAL(log[i], 0);
  CHECK_OK(EXPORT(GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES));
  CHECK_EQUAL(pages, 4);
  CHECK_EQUAL(log[0], 0x80);
  CHECK_EQUAL(log[PAGES_OF(GUEST) / 64], 1);
  CHECK_EQUAL(log[LOG_BYTES / 8 - 1], 7ull << 61);
  CHECK_OK(gmap_dirty_export(consumer, GMAP_FORMAT_VHOST_LOG, 0, log, LOG_BYTES, NULL));
  CHECK_OK(gmap_consumer_close(consumer));
  CHECK_EQUAL(harvest(f, bitmap), 4);
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

#define ROUNDS 5
#define OWN 1000u
#define SHARED 500u

typedef struct writer {
  const fixture *f;
  uint64_t first, vcpu;
} writer;

static pthread_barrier_t turn;

/* Its own pages, and some that the other writes too; each twice: the second store makes nothing dirty. */
static void *write_rounds(void *arg) {
  writer *w = (writer *)arg;
  gmap_view *view = NULL;
  uint64_t page;
  int round, again;
  REQUIRE_OK(open_vcpu(w->f->space, GMAP_INLINE_VERSION, &w->vcpu, &view));
  for (round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&turn);
    gmap_enter(view);
    for (again = 0; again < 2; again++) {
      for (page = 0; page < OWN; page++) CHECK_OK(store8(view, GUEST + (w->first + page) * PAGE, page, NULL));
      for (page = 3000; page < 3000 + SHARED; page++) CHECK_OK(store8(view, GUEST + page * PAGE, 1, NULL));
    }
    gmap_leave(view);
    pthread_barrier_wait(&turn);
  }
  pthread_barrier_wait(&turn);
  CHECK_OK(gmap_vcpu_close(w->vcpu));
  return NULL;
}

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void two_vcpus(void) {
  fixture f;
  writer writers[2];
  pthread_t threads[2];
  gmap_rate rates[2], slot;
  uint64_t before, begin, end, total = ROUNDS * (2 * OWN + SHARED);
  int i, round;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  drain_is_checked(&f);
  exported(&f);
  before = slot_rate(&f).pages;
  pthread_barrier_init(&turn, NULL, 3);
  for (i = 0; i < 2; i++) {
    writers[i].f = &f;
    writers[i].first = (uint64_t)i * 1000;
    REQUIRE(pthread_create(&threads[i], NULL, write_rounds, &writers[i]) == 0);
  }
  begin = monotonic_ns();
  for (round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&turn);
    for (i = 0; i < 50; i++) slot = slot_rate(&f); /* whoever asks disturbs nobody */
    pthread_barrier_wait(&turn);
    CHECK_OK(gmap_mark_dirty(f.space, GUEST + 3000 * PAGE, 10 * PAGE)); /* pages that are dirty already */
    CHECK_EQUAL(harvest(&f, bitmap), 2 * OWN + SHARED);
    CHECK_EQUAL(slot_rate(&f).pages - before, (uint64_t)(round + 1) * (2 * OWN + SHARED));
  }
  slot = slot_rate(&f);
  end = monotonic_ns();
  for (i = 0; i < 2; i++) rates[i] = vcpu_rate(writers[i].vcpu);
  CHECK(rates[0].pages >= ROUNDS * OWN && rates[1].pages >= ROUNDS * OWN);
  CHECK_EQUAL(rates[0].pages + rates[1].pages, total); /* a shared page counts for the one that came first */
  CHECK_EQUAL(before, 4);
  CHECK_EQUAL(slot.pages - before, total);
  CHECK(slot.time_ns >= begin && slot.time_ns <= end);
  CHECK(slot.pages_per_second >= (2 * OWN + SHARED) * 1000000000ull / (end - begin));
  CHECK(rates[0].pages_per_second > 0 && rates[0].time_ns >= end);
  CHECK_EQUAL(vcpu_rate(writers[0].vcpu).pages_per_second, 0); /* since the call before */
  CHECK_EQUAL(vcpu_rate(f.vcpu).pages, 0);
  pthread_barrier_wait(&turn);
  for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  CHECK_STATUS(gmap_vcpu_rate(writers[0].vcpu, &rates[0]), GMAP_EBADF);
  CHECK_STATUS(gmap_vcpu_rate(f.vcpu, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_dirty_rate(f.space, SLOT, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_dirty_rate(f.space, SLOT + 1, &slot), GMAP_ENOENT);
  REQUIRE_OK(set_slot(f.space, SLOT, 0, GUEST, SIZE, f.memory));
  CHECK_STATUS(gmap_dirty_rate(f.space, SLOT, &slot), GMAP_ENOENT);
  CHECK_STATUS(gmap_dirty_rate(f.vcpu, SLOT, &slot), GMAP_EBADF);
  fixture_close(&f);
}

/* What a vcpu asks the library for counts for it too; a leaf that is never split is 256 pages. */
static void whole_leaves(void) {
  fixture f;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_NEVER);
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 3 * PAGE, GMAP_ACCESS_READ, NULL));
  gmap_leave(f.view);
  CHECK_EQUAL(vcpu_rate(f.vcpu).pages, 0);
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 3 * PAGE, GMAP_ACCESS_WRITE, NULL));
  CHECK_OK(gmap_fault(f.vcpu, GUEST + MIB, GMAP_ACCESS_WRITE, NULL)); /* mapped at once */
  gmap_leave(f.view);
  CHECK_EQUAL(vcpu_rate(f.vcpu).pages, 512);
  CHECK_EQUAL(harvest(&f, bitmap), 512);
  CHECK_EQUAL(slot_rate(&f).pages, 512);
  fixture_close(&f);
}

int main(void) {
  initially_set();
  second_process();
  two_vcpus();
  whole_leaves();
  return check_done("formats");
}
