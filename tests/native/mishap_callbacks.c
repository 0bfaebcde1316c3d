/* SPDX-License-Identifier: MIT
 *
 * mishap_callbacks.c - callbacks that call back. The log callback may call anything. The kick may call nothing: what
 * waits answers GMAP_EDEADLK there. A kick that takes long costs the waiting call that time and nobody else any. */
#include "mishap.h"

#include <sys/resource.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)

static fixture f;
static uint64_t bitmap[MAX_WORDS], consumer;
static waiting_harvest other;

/* ---- Log -------------------------------------------------------------------------------------------------------- */

typedef struct logger {
  int times, destroy;
  uint64_t made;
} logger;

/* Everything that a host might do there. */
static void log_that_calls(void *user, int32_t level, const char *message) {
  logger *l = (logger *)user;
  gmap_engine_config small;
  uint64_t vcpu, dirty = 0;
  gmap_view *view;
  CHECK(level == GMAP_LOG_ERROR && message[0] != 0);
  l->times++;
  memset(&small, 0, sizeof small);
  small.struct_size = sizeof small;
  small.arena_bytes = MIB;
  CHECK_OK(gmap_engine_create(&small, &l->made));
  CHECK_OK(gmap_engine_destroy(l->made));
  if (!f.space) return; /* the engine is not there yet */
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  CHECK_OK(store8(view, GUEST + 9 * PAGE, 1, NULL));
  gmap_leave(view);
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  CHECK_OK(set_slot(f.space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, f.memory));
  CHECK_OK(set_slot(f.space, 8, 0, 0, 0, NULL));
  CHECK_OK(gmap_space_set_limit(f.space, 8192 * MIB - 1));
  CHECK_OK(gmap_space_set_limit(f.space, 1024 * MIB - 1));
  (void)engine_stats(f.engine);
  CHECK_OK(gmap_vcpu_close(vcpu));
  if (!l->destroy) return;
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
}

static void a_log_that_calls(int destroy) {
  logger l = {0, destroy, 0};
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  unsigned char *gone = guest_memory(MIB);
  uint64_t backing = 7;
  gmap_status status;
  memset(&f, 0, sizeof f);
  mishap_open(&f, SIZE, FOR_EVER, NULL, log_that_calls, &l);
  REQUIRE_OK(set_slot(f.space, 9, GMAP_SLOT_LOG_DIRTY, 768 * MIB, MIB, gone));
  munmap(gone, MIB);
  status = gmap_backing_attach(f.space, 9, &config, &backing); /* the memory is gone, or the kernel too old: told */
  CHECK(status == GMAP_EFAULT || status == GMAP_EOPNOTSUPP);
  CHECK_EQUAL(l.times, 1);
  CHECK_EQUAL(backing, 7);
  if (!destroy) mishap_close(&f);
  else CHECK_STATUS(gmap_space_destroy(f.space), GMAP_EBADF);
}

/* No address space for an arena: the callback makes a smaller engine. */
#if !defined(__SANITIZE_ADDRESS__) /* which takes more address space than the limit leaves */
static void a_log_of_an_engine_that_is_refused(void) {
  logger l = {0, 0, 0};
  gmap_engine_config large;
  struct rlimit old, low;
  uint64_t engine = 7;
  memset(&f, 0, sizeof f);
  memset(&large, 0, sizeof large);
  large.struct_size = sizeof large;
  large.arena_bytes = 1ull << 40;
  large.log = log_that_calls;
  large.user = &l;
  REQUIRE(getrlimit(RLIMIT_AS, &old) == 0);
  low = old;
  low.rlim_cur = 1ull << 39;
  REQUIRE(setrlimit(RLIMIT_AS, &low) == 0);
  CHECK_STATUS(gmap_engine_create(&large, &engine), GMAP_ENOMEM);
  REQUIRE(setrlimit(RLIMIT_AS, &old) == 0);
  CHECK_EQUAL(l.times, 1);
  CHECK_EQUAL(engine, 7);
}
#endif

/* ---- Kick ------------------------------------------------------------------------------------------------------- */

static int let_go; /* the thread inside leaves */
static unsigned kicked;
static uint64_t kicked_vcpu;

static void *stay_inside(void *argument) {
  uint64_t vcpu;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  gmap_enter(view);
  CHECK_OK(store8(view, GUEST + 3 * PAGE, 1, NULL));
  reach((int *)argument, 1);
  await(&let_go, 1);
  CHECK_OK(gmap_vcpu_close(vcpu)); /* counts as leave */
  return NULL;
}

/* What the header forbids. */
static void kick_that_calls(void *user, uint64_t vcpu) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_space_config space_is = space_config(MIB);
  uint64_t dirty, only[PAGES / 64] = {1}, elsewhere, opened, asce, size;
  gmap_image_sink sink = {.struct_size = sizeof sink, .size = &size};
  gmap_range range;
  size_t n;
  (void)user;
  kicked++;
  kicked_vcpu = vcpu;
  CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_EDEADLK);
  CHECK_STATUS(gmap_dirty_clear(f.space, SLOT, 0, PAGES, 0, only), GMAP_EDEADLK);
  CHECK_STATUS(gmap_dirty_harvest_ranges(f.space, SLOT, 0, PAGES, 0, &range, 1, &n, &dirty), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_open(f.space, SLOT, 0, &opened), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_begin(consumer, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_consumer_close(consumer), GMAP_EDEADLK);
  CHECK_STATUS(gmap_unmap(f.space, GUEST, MIB, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_discard(f.space, GUEST, MIB, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_collapse(f.space, GUEST, MIB, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(set_slot(f.space, SLOT, 0, 0, 0, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_space_set_limit(f.space, 512 * MIB - 1), GMAP_EDEADLK);
  CHECK_STATUS(open_vcpu(f.space, 0, &opened, NULL), GMAP_EDEADLK);
  CHECK_STATUS(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EDEADLK);
  CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &config, &opened), GMAP_EDEADLK);
  CHECK_STATUS(gmap_space_destroy(f.space), GMAP_EDEADLK);
  CHECK_STATUS(gmap_engine_destroy(f.engine), GMAP_EBUSY);
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &elsewhere));
  CHECK_STATUS(gmap_space_destroy(elsewhere), GMAP_EDEADLK); /* of whichever space */
  reach(&let_go, 1);
}

static void a_kick_that_calls(void) {
  pthread_t thread;
  int inside = 0;
  uint64_t dirty = 0;
  let_go = 0;
  kicked = 0;
  mishap_open(&f, SIZE, FOR_EVER, kick_that_calls, NULL, NULL);
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  REQUIRE(pthread_create(&thread, NULL, stay_inside, &inside) == 0);
  await(&inside, 1);
  /* A call that kicks with the configuration lock held, then it is as good as before. */
  CHECK_OK(gmap_unmap(f.space, GUEST + MIB, MIB, 0, NULL));
  CHECK(kicked >= 1);
  pthread_join(thread, NULL);
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
  CHECK_PAGES(bitmap, PAGES, 3);
  CHECK_OK(gmap_consumer_close(consumer));
  CHECK_STATUS(gmap_fault(kicked_vcpu, GUEST, GMAP_ACCESS_READ, NULL), GMAP_EBADF);
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_STATUS(gmap_engine_destroy(f.engine), GMAP_EBUSY); /* the space that the kick could make, not destroy */
  munmap(f.memory, SIZE);
}

static int in_kick, kick_may_end;

static void kick_that_blocks(void *user, uint64_t vcpu) {
  (void)user, (void)vcpu;
  kicked++;
  reach(&in_kick, 1);
  await(&kick_may_end, 1);
}

/* While a kick blocks: faults, stores, marks, figures and looks go on. */
static void a_kick_that_blocks(void) {
  pthread_t thread;
  int inside = 0;
  uint64_t vcpu, i, dirty = 0;
  gmap_view *view;
  let_go = in_kick = kick_may_end = 0;
  kicked = 0;
  mishap_open(&f, SIZE, 5 * MILLISECONDS, kick_that_blocks, NULL, NULL);
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  REQUIRE(pthread_create(&thread, NULL, stay_inside, &inside) == 0);
  await(&inside, 1);
  memset(&other, 0, sizeof other);
  other.f = &f;
  REQUIRE(pthread_create(&other.thread, NULL, harvest_there, &other) == 0);
  await(&in_kick, 1);
  for (i = 0; i < 1000; i++) {
    CHECK_OK(store8(view, GUEST + (16 + i % 64) * PAGE, i, NULL));
    gmap_leave(view);
    CHECK_OK(gmap_mark_dirty(f.space, GUEST + 100 * PAGE, 1));
  }
  CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, NULL, &dirty));
  CHECK_EQUAL(dirty, 66);
  pause_ms(20); /* longer than the timeout */
  CHECK_EQUAL(other.ended, 0);
  reach(&kick_may_end, 1);
  end_waiting_harvest(&other);
  CHECK_STATUS(other.status, GMAP_ETIMEDOUT); /* seen when the kick returned */
  CHECK(kicked >= 1);
  reach(&let_go, 1);
  pthread_join(thread, NULL);
  CHECK_EQUAL(harvest(&f, bitmap), 66);
  CHECK_OK(gmap_vcpu_close(vcpu));
  mishap_close(&f);
}

/* The thread that is kicked closes its vcpu instead of leaving, while the kick is about it. */
static void kick_until_closed(void *user, uint64_t vcpu) {
  kicked++;
  kicked_vcpu = vcpu;
  reach(&let_go, 1);
  pthread_join(*(pthread_t *)user, NULL);
  CHECK_STATUS(gmap_vcpu_close(vcpu), GMAP_EBADF);
}

static void a_kick_of_one_that_closes(void) {
  pthread_t thread;
  int inside = 0;
  let_go = 0;
  kicked = 0;
  mishap_open(&f, SIZE, FOR_EVER, kick_until_closed, NULL, &thread);
  REQUIRE(pthread_create(&thread, NULL, stay_inside, &inside) == 0);
  await(&inside, 1);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 3);
  CHECK_EQUAL(kicked, 1);
  mishap_close(&f);
}

/* A thread that has ended inside is found by the kick, which has it closed by yet another thread. */
static void *close_it(void *argument) {
  CHECK_OK(gmap_vcpu_close(*(uint64_t *)argument));
  return NULL;
}

static void kick_that_has_it_closed(void *user, uint64_t vcpu) {
  pthread_t thread;
  (void)user;
  kicked++;
  REQUIRE(pthread_create(&thread, NULL, close_it, &vcpu) == 0);
  pthread_join(thread, NULL);
}

static void *end_inside(void *argument) {
  uint64_t vcpu;
  gmap_view *view;
  (void)argument;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  CHECK_OK(store8(view, GUEST + 3 * PAGE, 1, NULL));
  gmap_enter(view);
  return NULL;
}

static void a_kick_that_has_the_dead_closed(void) {
  pthread_t thread;
  kicked = 0;
  mishap_open(&f, SIZE, FOR_EVER, kick_that_has_it_closed, NULL, NULL);
  REQUIRE(pthread_create(&thread, NULL, end_inside, NULL) == 0);
  pthread_join(thread, NULL);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_EQUAL(kicked, 1);
  mishap_close(&f);
}

int main(void) {
  mishap("a log that calls");
  a_log_that_calls(0);
  mishap("a log that destroys");
  a_log_that_calls(1);
#if !defined(__SANITIZE_ADDRESS__)
  mishap("a log of an engine that is refused");
  a_log_of_an_engine_that_is_refused();
#endif
  mishap("a kick that calls");
  a_kick_that_calls();
  mishap("a kick that blocks");
  a_kick_that_blocks();
  mishap("a kick of one that closes");
  a_kick_of_one_that_closes();
  mishap("a kick that has the dead closed");
  a_kick_that_has_the_dead_closed();
  return check_done("mishap_callbacks");
}
