/* SPDX-License-Identifier: MIT
 *
 * consumers.c - consumers of dirty pages as a host uses them: each has its own history; every error that gmap.h names,
 * and that it costs nothing. Null pointers, flags and handles have hosts of their own. */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)
#define OTHER 8u
#define OTHER_AT (512 * MIB)

static uint64_t bitmap[MAX_WORDS];

static void store(const fixture *f, uint64_t page) {
  CHECK_OK(store8(f->view, GUEST + page * PAGE, page + 1, NULL));
  gmap_leave(f->view);
}

static gmap_status begin(uint64_t consumer, gmap_epoch_info *info) {
  memset(info, 0xA5, sizeof *info);
  info->struct_size = sizeof *info;
  return gmap_consumer_begin(consumer, 0, info);
}

/* The fixture's slot in the epoch, by bitmap. */
static uint64_t read_slot(uint64_t consumer) {
  uint64_t dirty = ~0ull;
  memset(bitmap, 0xFF, sizeof bitmap);
  CHECK_OK(gmap_consumer_read_bitmap(consumer, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
  return dirty;
}

static void own_histories(const fixture *f) {
  uint64_t early, late;
  gmap_epoch_info info;
  store(f, 1);
  REQUIRE_OK(gmap_consumer_open(f->space, GMAP_ALL_SLOTS, 0, &early));
  store(f, 2);
  REQUIRE_OK(gmap_consumer_open(f->space, SLOT, 0, &late));
  CHECK_EQUAL(space_stats(f->space).consumers, 2);
  store(f, 3);
  CHECK_OK(begin(early, &info));
  CHECK_EQUAL(info.struct_size, sizeof info);
  CHECK_EQUAL(info.flags, 0);
  CHECK_EQUAL(info.epoch, 1);
  CHECK_EQUAL(info.dirty_pages, 2);
  CHECK_EQUAL(info.slots, 1);
  CHECK_EQUAL(read_slot(early), 2);
  CHECK_PAGES(bitmap, PAGES, 2, 3);
  CHECK_EQUAL(harvest(f, bitmap), 3);
  CHECK_PAGES(bitmap, PAGES, 1, 2, 3);
  CHECK_OK(begin(late, &info));
  CHECK_EQUAL(read_slot(late), 1);
  CHECK_PAGES(bitmap, PAGES, 3);
  store(f, 4); /* the next epoch's */
  CHECK_EQUAL(read_slot(late), 1);
  CHECK_OK(gmap_consumer_abort(late));
  CHECK_OK(gmap_consumer_commit(early));
  CHECK_OK(begin(late, &info));
  CHECK_EQUAL(info.epoch, 2);
  CHECK_EQUAL(read_slot(late), 2);
  CHECK_PAGES(bitmap, PAGES, 3, 4);
  CHECK_OK(gmap_consumer_commit(late));
  CHECK_OK(gmap_consumer_begin(early, GMAP_HARVEST_NO_REARM, NULL)); /* late took 4: it is in the log */
  CHECK_EQUAL(read_slot(early), 1);
  CHECK_OK(gmap_consumer_commit(early));
  CHECK_EQUAL(space_stats(f->space).epochs, 4);
  CHECK_OK(gmap_consumer_close(early));
  CHECK_OK(gmap_consumer_close(late));
  CHECK_EQUAL(harvest(f, bitmap), 1);
}

static void parts_and_ranges(const fixture *f) {
  uint64_t consumer, dirty, resume = 0, next, i, seen = 0, one = ~0ull;
  gmap_range ranges[3];
  size_t n;
  REQUIRE_OK(gmap_consumer_open(f->space, SLOT, 0, &consumer));
  for (i = 0; i < 10; i++) store(f, 60 + 2 * i);
  store(f, 61); /* 60 to 62, then 64, 66, ... 78 */
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  bitmap[0] = 1;
  CHECK_OK(gmap_consumer_read_bitmap(consumer, SLOT, 61, 3, GMAP_HARVEST_OR, bitmap, 1, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_EQUAL(bitmap[0], 3); /* the caller's bit is page 61's, too */
  CHECK_OK(gmap_consumer_read_bitmap(consumer, SLOT, 64, 0, 0, bitmap, 0, NULL));
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, SLOT, 0, 65, 0, bitmap, 1, &dirty), GMAP_ENOBUFS);
  do {
    CHECK_OK(gmap_consumer_read_ranges(consumer, 0, ranges, 3, &n, &resume));
    for (i = 0; i < n; i++, seen++) {
      CHECK_EQUAL(ranges[i].slot, SLOT);
      CHECK_EQUAL(ranges[i].flags, 0);
      CHECK_EQUAL(ranges[i].first_page, seen == 0 ? 60 : 62 + 2 * seen);
      CHECK_EQUAL(ranges[i].count, seen == 0 ? 3 : 1);
    }
  } while (~resume);
  CHECK_EQUAL(seen, 9);
  CHECK_OK(gmap_consumer_redirty(consumer, SLOT, PAGES - 1, 1, 0, &one));
  CHECK_STATUS(gmap_consumer_redirty(consumer, SLOT, PAGES, 1, 0, &one), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_redirty(consumer, OTHER, 0, 1, 0, &one), GMAP_ENOENT);
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  CHECK_EQUAL(read_slot(consumer), 1);
  CHECK_PAGES(bitmap, PAGES, PAGES - 1);
  CHECK_OK(gmap_consumer_close(consumer)); /* in the middle of an epoch */
  for (seen = 0, next = 0; next < PAGES; seen += n) {
    CHECK_OK(gmap_dirty_harvest_ranges(f->space, SLOT, next, PAGES - next, 0, ranges, 2, &n, &next));
    CHECK(n == 2 || next == PAGES);
  }
  CHECK_EQUAL(seen, 9);
  CHECK_OK(gmap_dirty_harvest_ranges(f->space, SLOT, 0, PAGES, GMAP_HARVEST_NO_REARM, ranges, 3, &n, &next));
  CHECK_EQUAL(n, 0);
  CHECK_EQUAL(next, PAGES);
}

/* In an epoch and between two, what is not there is refused. */
static void no_epoch(const fixture *f) {
  uint64_t consumer, resume = 0;
  gmap_range range;
  size_t n;
  REQUIRE_OK(gmap_consumer_open(f->space, SLOT, GMAP_CONSUMER_INITIALLY_DIRTY, &consumer));
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_read_ranges(consumer, 0, &range, 1, &n, &resume), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_commit(consumer), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_abort(consumer), GMAP_EINVAL);
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  CHECK_STATUS(gmap_consumer_begin(consumer, 0, NULL), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, OTHER, 0, 1, 0, bitmap, MAX_WORDS, NULL), GMAP_ENOENT);
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, SLOT, 1, PAGES, 0, bitmap, MAX_WORDS, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, SLOT, ~0ull, 2, 0, bitmap, MAX_WORDS, NULL), GMAP_EINVAL);
  CHECK_EQUAL(read_slot(consumer), PAGES);
  CHECK_STATUS(gmap_space_destroy(f->space), GMAP_EBUSY);
  gmap_enter(f->view);
  CHECK_STATUS(gmap_consumer_begin(consumer, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_close(consumer), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_open(f->space, SLOT, 0, &resume), GMAP_EDEADLK);
  gmap_leave(f->view);
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(gmap_consumer_close(consumer));
  CHECK_STATUS(gmap_consumer_close(consumer), GMAP_EBADF);
  CHECK_STATUS(gmap_consumer_open(f->space, OTHER, 0, &consumer), GMAP_ENOENT);
}

/* Slots come and go: the last pages of each are in the next epoch, and told apart. */
static void slots_come_and_go(const fixture *f) {
  static const uint32_t slots[] = {OTHER, OTHER, OTHER};
  static const uint32_t flags[] = {GMAP_RANGE_GONE, GMAP_RANGE_GONE, 0};
  static const uint64_t pages[] = {3, 4, 5};
  uint64_t consumer, resume = 0;
  gmap_epoch_info info;
  gmap_range ranges[8];
  size_t n, i;
  REQUIRE_OK(gmap_consumer_open(f->space, GMAP_ALL_SLOTS, 0, &consumer));
  CHECK_OK(set_slot(f->space, OTHER, GMAP_SLOT_LOG_DIRTY, OTHER_AT, MIB, f->memory));
  CHECK_STATUS(set_slot(f->space, GMAP_ALL_SLOTS, 0, 2 * OTHER_AT - MIB, MIB, f->memory), GMAP_EINVAL);
  CHECK_OK(gmap_mark_dirty(f->space, OTHER_AT + 3 * PAGE, 1));
  CHECK_OK(set_slot(f->space, OTHER, GMAP_SLOT_LOG_DIRTY, OTHER_AT + MIB, MIB, f->memory)); /* moves */
  CHECK_OK(store8(f->view, OTHER_AT + MIB + 4 * PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK_OK(set_slot(f->space, OTHER, 0, OTHER_AT + MIB, MIB, f->memory)); /* logging off, and nobody asks for last bits */
  CHECK_OK(set_slot(f->space, OTHER, GMAP_SLOT_LOG_DIRTY, OTHER_AT + MIB, MIB, f->memory));
  CHECK_OK(store8(f->view, OTHER_AT + MIB + 5 * PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK_OK(begin(consumer, &info));
  CHECK_EQUAL(info.dirty_pages, 3);
  CHECK_EQUAL(info.slots, 4);
  CHECK_OK(gmap_consumer_read_ranges(consumer, 0, ranges, 8, &n, &resume));
  CHECK_EQUAL(resume, ~0ull);
  CHECK_EQUAL(n, 3);
  for (i = 0; i < 3; i++) {
    CHECK_EQUAL(ranges[i].slot, slots[i]);
    CHECK_EQUAL(ranges[i].flags, flags[i]);
    CHECK_EQUAL(ranges[i].first_page, pages[i]);
    CHECK_EQUAL(ranges[i].count, 1);
  }
  CHECK_OK(gmap_consumer_read_bitmap(consumer, OTHER, 0, 256, 0, bitmap, MAX_WORDS, NULL));
  CHECK_PAGES(bitmap, 256, 5); /* the later one */
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(begin(consumer, &info));
  CHECK_EQUAL(info.dirty_pages, 0);
  CHECK_EQUAL(info.slots, 2);
  CHECK_OK(set_slot(f->space, OTHER, 0, 0, 0, NULL));
  CHECK_OK(gmap_consumer_close(consumer));
}

static int stays, leaves;

/* A vcpu that is inside until it is told to leave. */
static void *stay(void *fixture_) {
  const fixture *f = (const fixture *)fixture_;
  uint64_t vcpu;
  gmap_view *view;
  if (!CHECK_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &vcpu, &view))) return NULL;
  gmap_enter(view);
  __atomic_store_n(&stays, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&leaves, __ATOMIC_SEQ_CST)) sched_yield();
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static pthread_t begin_to_stay(fixture *f) {
  pthread_t thread;
  stays = leaves = 0;
  REQUIRE(pthread_create(&thread, NULL, stay, f) == 0);
  while (!__atomic_load_n(&stays, __ATOMIC_SEQ_CST)) sched_yield();
  return thread;
}

static void end_stay(pthread_t thread) {
  __atomic_store_n(&leaves, 1, __ATOMIC_SEQ_CST);
  pthread_join(thread, NULL);
}

/* A reader that does not leave costs time and no page. */
static void timeouts(void) {
  fixture f = {.size = SIZE, .memory = guest_memory(SIZE)};
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  gmap_engine_config config = {.struct_size = sizeof config, .arena_bytes = 64 * MIB, .grace_timeout_ns = 2000000};
  uint64_t consumer, refused = 77;
  gmap_epoch_info info;
  pthread_t thread;
  REQUIRE_OK(gmap_engine_create(&config, &f.engine));
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &f.space));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &f.vcpu, &f.view));
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  store(&f, 9);
  thread = begin_to_stay(&f);
  CHECK_STATUS(begin(consumer, &info), GMAP_ETIMEDOUT);
  CHECK_EQUAL(info.dirty_pages, 0xA5A5A5A5A5A5A5A5ull);
  CHECK_STATUS(gmap_consumer_commit(consumer), GMAP_EINVAL);
  CHECK_STATUS(gmap_consumer_open(f.space, SLOT, 0, &refused), GMAP_ETIMEDOUT);
  CHECK_EQUAL(refused, 77);
  CHECK_EQUAL(space_stats(f.space).consumers, 1);
  end_stay(thread);
  CHECK_OK(begin(consumer, &info));
  CHECK_EQUAL(info.epoch, 1);
  CHECK_EQUAL(read_slot(consumer), 1);
  CHECK_PAGES(bitmap, PAGES, 9);
  CHECK_OK(gmap_consumer_close(consumer));
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  fixture_close(&f);
}

static gmap_status began;

static void *begin_elsewhere(void *consumer) {
  began = gmap_consumer_begin(*(uint64_t *)consumer, 0, NULL);
  return NULL;
}

/* While one thread waits in gmap_consumer_begin everybody else is told so. */
static void busy(void) {
  fixture f;
  uint64_t consumer, found, resume = 0, one = 1;
  gmap_range range;
  size_t n;
  pthread_t reader, beginner;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  store(&f, 9);
  reader = begin_to_stay(&f);
  REQUIRE(pthread_create(&beginner, NULL, begin_elsewhere, &consumer) == 0);
  while (gmap_consumer_commit(consumer) == GMAP_EINVAL) sched_yield(); /* until it is being begun */
  CHECK_STATUS(gmap_consumer_commit(consumer), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_abort(consumer), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_close(consumer), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_begin(consumer, 0, NULL), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_read_bitmap(consumer, SLOT, 0, 64, 0, bitmap, 1, NULL), GMAP_EBUSY);
  CHECK_STATUS(gmap_consumer_read_ranges(consumer, 0, &range, 1, &n, &resume), GMAP_EBUSY);
  CHECK_OK(gmap_consumer_redirty(consumer, SLOT, 0, 1, 0, &one));
  end_stay(reader);
  pthread_join(beginner, NULL);
  CHECK_OK(began);
  found = read_slot(consumer);
  CHECK(found == 1 || found == 2); /* the page made dirty meanwhile is in this epoch or in the next one */
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  CHECK_EQUAL(found + read_slot(consumer), 2);
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(gmap_consumer_close(consumer));
  fixture_close(&f);
}

/* No memory: there is no consumer, or no slot, and everything is as before. */
static void no_memory(void) {
  fixture f = {.size = 64 * MIB, .memory = guest_memory(64 * MIB)};
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  uint64_t consumers[256], all;
  unsigned n = 0;
  gmap_status status;
  f.engine = engine_of(MIB);
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &f.space));
  REQUIRE_OK(gmap_consumer_open(f.space, GMAP_ALL_SLOTS, 0, &all));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, f.size, f.memory));
  for (status = 0; status == 0 && n < 256; n += status == 0) {
    uint64_t before = engine_stats(f.engine).log_bytes;
    status = gmap_consumer_open(f.space, SLOT, 0, &consumers[n]);
    if (status == 0) CHECK(engine_stats(f.engine).log_bytes > before); /* two bitmaps */
    else CHECK_EQUAL(engine_stats(f.engine).log_bytes, before);
  }
  CHECK(n > 2);
  CHECK_STATUS(status, GMAP_ENOMEM);
  CHECK_EQUAL(space_stats(f.space).consumers, n + 1);
  CHECK_STATUS(set_slot(f.space, OTHER, GMAP_SLOT_LOG_DIRTY, OTHER_AT, f.size, f.memory), GMAP_ENOMEM);
  CHECK_OK(gmap_mark_dirty(f.space, GUEST, 1));
  while (n > 0) {
    n--;
    CHECK_OK(gmap_consumer_begin(consumers[n], 0, NULL)); /* needs none */
    CHECK_EQUAL((gmap_consumer_read_bitmap(consumers[n], SLOT, 0, 64, 0, bitmap, 1, NULL), bitmap[0]), 1);
    CHECK_OK(gmap_consumer_close(consumers[n]));
  }
  CHECK_OK(set_slot(f.space, OTHER, GMAP_SLOT_LOG_DIRTY, OTHER_AT, f.size, f.memory));
  CHECK_OK(gmap_consumer_close(all));
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_EQUAL(engine_stats(f.engine).log_bytes, 0);
  CHECK_OK(gmap_engine_destroy(f.engine));
}

/* A slot whose truth is the kernel; and one where it cannot tell any more. */
static void backed(void) {
  fixture f;
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  uint64_t consumer, refused = 77, backing;
  gmap_epoch_info info;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  if (gmap_backing_attach(f.space, SLOT, &config, &backing) == 0) {
    f.memory[2 * PAGE] = 1;
    REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
    f.memory[7 * PAGE] = 1;
    CHECK_OK(begin(consumer, &info));
    CHECK_EQUAL(read_slot(consumer), 1);
    CHECK_PAGES(bitmap, PAGES, 7);
    CHECK_OK(gmap_consumer_abort(consumer));
    CHECK_EQUAL(harvest(&f, bitmap), 2);
    CHECK_PAGES(bitmap, PAGES, 2, 7);
    REQUIRE(mmap(f.memory, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == f.memory);
    CHECK_STATUS(begin(consumer, &info), GMAP_EFAULT);
    CHECK_STATUS(gmap_consumer_open(f.space, SLOT, 0, &refused), GMAP_EFAULT);
    CHECK_EQUAL(refused, 77);
    CHECK_STATUS(gmap_backing_detach(backing), GMAP_EFAULT);
    CHECK_OK(begin(consumer, &info)); /* every page counts as dirty */
    CHECK_EQUAL(info.dirty_pages, PAGES);
    CHECK_OK(gmap_consumer_close(consumer));
  }
  fixture_close(&f);
}

int main(void) {
  fixture f;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  own_histories(&f);
  parts_and_ranges(&f);
  no_epoch(&f);
  slots_come_and_go(&f);
  fixture_close(&f);
  timeouts();
  busy();
  no_memory();
  backed();
  return check_done("consumers");
}
