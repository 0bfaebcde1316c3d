/* SPDX-License-Identifier: MIT
 *
 * process.c - the process contract of gmap.h: fork, waiting and deadlock, readers that do not leave, destroy,
 * dlclose. */
#include "fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)

static uint64_t bitmap[MAX_WORDS];

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static int is_mapped(uint64_t address) {
  unsigned char resident;
  return mincore((void *)(uintptr_t)(address & ~(PAGE - 1)), PAGE, &resident) == 0;
}

/* The tables and views do not follow into a child; the guest's memory, which is the host's, does. */
static void fork_leaves_the_tables_behind(void) {
  fixture f;
  uint64_t asce = 0, origin;
  int status = -1;
  pid_t child;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(store8(f.view, GUEST, 1, NULL));
  gmap_leave(f.view);
  CHECK_OK(gmap_space_get_asce(f.space, &asce));
  origin = asce & GMAP_ASCE_ORIGIN;
  CHECK(is_mapped((uintptr_t)f.view) && is_mapped(origin) && is_mapped((uintptr_t)f.view->space));
  child = fork();
  REQUIRE(child >= 0);
  if (child == 0)
    _exit((is_mapped((uintptr_t)f.view) ? 1 : 0) | (is_mapped(origin) ? 2 : 0) |
          (is_mapped((uintptr_t)f.memory) ? 0 : 4));
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK_EQUAL(WEXITSTATUS(status), 0); /* 1: the view followed, 2: the tables did, 4: guest memory did not */
  CHECK_OK(store8(f.view, GUEST + PAGE, 1, NULL));
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 2);
  fixture_close(&f);
}

/* ---- Waiting inside a section ------------------------------------------------------------------------------------ */

/* Every [WAITS] function on a space, called by a thread whose view is inside. */
static void all_waiting_calls_refuse(uint64_t space, uint64_t backing, uint64_t consumer, unsigned char *elsewhere) {
  uint64_t only[MAX_WORDS] = {1}, dirty, other;
  gmap_range range;
  size_t n;
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  CHECK_STATUS(gmap_space_set_limit(space, 512 * MIB - 1), GMAP_EDEADLK);
  CHECK_STATUS(set_slot(space, 9, GMAP_SLOT_LOG_DIRTY, 256 * MIB, MIB, elsewhere), GMAP_EDEADLK);
  CHECK_STATUS(set_slot(space, SLOT, 0, 0, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_unmap(space, GUEST, MIB, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_dirty_clear(space, SLOT, 0, PAGES, 0, only), GMAP_EDEADLK);
  CHECK_STATUS(gmap_dirty_harvest(space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_EDEADLK);
  CHECK_STATUS(gmap_dirty_harvest_ranges(space, SLOT, 0, PAGES, 0, &range, 1, &n, &dirty), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_open(space, SLOT, 0, &other), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_begin(consumer, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_close(consumer), GMAP_EDEADLK);
  CHECK_STATUS(gmap_backing_attach(space, SLOT, &config, &other), GMAP_EDEADLK);
  if (backing) CHECK_STATUS(gmap_backing_detach(backing), GMAP_EDEADLK);
}

static void waiting_inside_is_a_deadlock(void) {
  fixture f;
  gmap_space_config config = space_config(MIB);
  gmap_backing_config backing_is = {.struct_size = sizeof backing_is, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_space_stats before, after;
  unsigned char *elsewhere = guest_memory(2 * MIB);
  uint64_t space, unviewed, consumer, backing = 0;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(store8(f.view, GUEST, 1, NULL));
  gmap_leave(f.view);
  REQUIRE_OK(set_slot(f.space, 8, GMAP_SLOT_LOG_DIRTY, 128 * MIB, MIB, elsewhere + MIB));
  if (gmap_backing_attach(f.space, 8, &backing_is, &backing) != 0) backing = 0;
  REQUIRE_OK(gmap_space_create(f.engine, &config, &space));
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  before = space_stats(f.space);
  gmap_enter(f.view);
  all_waiting_calls_refuse(f.space, backing, consumer, elsewhere);
  CHECK_STATUS(gmap_space_destroy(space), GMAP_EDEADLK); /* another space: two threads could wait crosswise */
  CHECK_STATUS(gmap_space_set_limit(space, 2 * MIB), GMAP_EDEADLK);
  CHECK_OK(gmap_mark_dirty(f.space, GUEST, 0));          /* what does not wait goes on */
  CHECK_OK(gmap_read(f.space, GUEST, bitmap, 8));
  gmap_leave(f.view);
  CHECK_OK(gmap_fault(f.vcpu, GUEST + PAGE, GMAP_ACCESS_READ, NULL)); /* leaves its caller inside */
  all_waiting_calls_refuse(f.space, backing, consumer, elsewhere);
  gmap_leave(f.view);
  after = space_stats(f.space);
  CHECK_EQUAL(after.armings, before.armings);
  CHECK_EQUAL(after.table_bytes, before.table_bytes);
  CHECK_EQUAL(after.pages_taken, before.pages_taken);
  CHECK_EQUAL(after.epochs, 0);
  CHECK_OK(gmap_consumer_close(consumer));
  /* A vcpu without a view leaves no section open. */
  REQUIRE_OK(open_vcpu(f.space, 0, &unviewed, NULL));
  CHECK_OK(gmap_fault(unviewed, GUEST + 2 * MIB, GMAP_ACCESS_WRITE, NULL));
  CHECK_EQUAL(harvest(&f, bitmap), 2);
  CHECK_PAGES(bitmap, PAGES, 0, 512);
  CHECK_OK(gmap_vcpu_close(unviewed));
  CHECK_OK(gmap_space_destroy(space));
  if (backing) CHECK_OK(gmap_backing_detach(backing));
  fixture_close(&f);
  munmap(elsewhere, 2 * MIB);
}

/* ---- A reader that does not leave -------------------------------------------------------------------------------- */

static unsigned kicks;
static uint64_t kicked;

static void on_kick(void *user, uint64_t vcpu) {
  (void)user;
  __atomic_fetch_add(&kicks, 1, __ATOMIC_SEQ_CST);
  __atomic_store_n(&kicked, vcpu, __ATOMIC_SEQ_CST);
}

typedef struct reader {
  fixture *f;
  uint64_t vcpu;
  int inside, leave_at_kick, leave;
} reader;

static void *stay_inside(void *argument) {
  reader *r = (reader *)argument;
  gmap_view *view;
  if (open_vcpu(r->f->space, GMAP_INLINE_VERSION, &r->vcpu, &view) != 0) return NULL;
  if (store8(view, GUEST + 3 * PAGE, 7, NULL) != 0) return NULL; /* by gmap_fault: inside now */
  __atomic_store_n(&r->inside, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&r->leave, __ATOMIC_SEQ_CST) &&
         !(r->leave_at_kick && __atomic_load_n(&kicks, __ATOMIC_SEQ_CST) != 0))
    sched_yield();
  gmap_leave(view);
  return gmap_vcpu_close(r->vcpu) == 0 ? r : NULL;
}

static void a_reader_that_stays(int leave_at_kick) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .arena_bytes = 8 * MIB, .kick = on_kick};
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  fixture f = {.size = SIZE, .memory = guest_memory(SIZE)};
  reader r = {.f = &f, .leave_at_kick = leave_at_kick};
  pthread_t thread;
  void *result = NULL;
  uint64_t dirty = 77;
  kicks = 0;
  engine_is.grace_timeout_ns = leave_at_kick ? 10000000000ull : 300000000ull;
  REQUIRE_OK(gmap_engine_create(&engine_is, &f.engine));
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &f.space));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  REQUIRE(pthread_create(&thread, NULL, stay_inside, &r) == 0);
  while (!__atomic_load_n(&r.inside, __ATOMIC_SEQ_CST)) sched_yield();
  memset(bitmap, 0, sizeof bitmap);
  if (leave_at_kick) {
    CHECK_EQUAL(harvest(&f, bitmap), 1);
    CHECK_PAGES(bitmap, PAGES, 3);
  } else {
    CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_ETIMEDOUT);
    CHECK_NO_PAGES(bitmap, PAGES);
    CHECK(kicks >= 2); /* after 1 ms and each 10 ms again */
  }
  CHECK(kicks >= 1);
  CHECK_EQUAL(kicked, r.vcpu);
  __atomic_store_n(&r.leave, 1, __ATOMIC_SEQ_CST);
  pthread_join(thread, &result);
  CHECK(result == &r);
  if (!leave_at_kick) { /* nothing was lost */
    CHECK_EQUAL(harvest(&f, bitmap), 1);
    CHECK_PAGES(bitmap, PAGES, 3);
  }
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
  munmap(f.memory, SIZE);
}

/* ---- Destroy, dlclose -------------------------------------------------------------------------------------------- */

static uint64_t status_kib(const char *name) {
  char line[256];
  uint64_t value = 0;
  FILE *file = fopen("/proc/self/status", "r");
  REQUIRE(file != NULL);
  while (fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) value = strtoull(line + strlen(name) + 1, NULL, 10);
  fclose(file);
  return value;
}

/* AddressSanitizer answers mlock itself, and locks nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define MLOCK_IS_REAL 0
#else
#define MLOCK_IS_REAL 1
#endif

static void destroy_returns_the_memory(void) {
  uint64_t size, locked, i;
  gmap_engine_stats stats;
  CHECK_OK(gmap_engine_destroy(engine_of(256 * MIB))); /* whatever is made once is made */
  size = status_kib("VmSize:");
  locked = status_kib("VmLck:");
  for (i = 0; i < 8; i++) {
    uint64_t engine = engine_of(256 * MIB), space;
    gmap_space_config config = space_config(GUEST);
    CHECK(status_kib("VmSize:") >= size + 256 * 1024);
    REQUIRE_OK(gmap_space_create(engine, &config, &space));
    stats = engine_stats(engine);
    CHECK_EQUAL(stats.spaces, 1);
    if (MLOCK_IS_REAL) CHECK_EQUAL(status_kib("VmLck:") - locked, stats.locked_bytes / 1024);
    CHECK_STATUS(gmap_engine_destroy(engine), GMAP_EBUSY);
    CHECK_OK(gmap_space_destroy(space));
    CHECK_OK(gmap_engine_destroy(engine));
    CHECK_STATUS(gmap_engine_destroy(engine), GMAP_EBADF);
  }
  CHECK(status_kib("VmSize:") < size + 16 * 1024);
  CHECK_EQUAL(status_kib("VmLck:"), locked);
}

static void dlclose_does_nothing(void) {
  Dl_info info;
  void *handle;
  fixture f;
  REQUIRE(dladdr((void *)(uintptr_t)gmap_abi_version, &info) != 0);
  handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(handle != NULL);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK(dlclose(handle) == 0);
  CHECK_OK(store8(f.view, GUEST, 1, NULL));
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  fixture_close(&f);
}

int main(void) {
  fork_leaves_the_tables_behind();
  waiting_inside_is_a_deadlock();
  a_reader_that_stays(1);
  a_reader_that_stays(0);
  destroy_returns_the_memory();
  dlclose_does_nothing();
  return check_done("process");
}
