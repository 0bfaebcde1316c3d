/* SPDX-License-Identifier: MIT
 *
 * mishap_threads.c - threads that die, jump or are closed between enter and leave: what waits for them goes on when
 * another thread closes the view, a jump out is ended by the next enter, a closed view asks. */
#include "mishap.h"

#include <setjmp.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)

static fixture f;
static uint64_t bitmap[MAX_WORDS];
static waiting_harvest other;

/* ---- A thread that ends inside ---------------------------------------------------------------------------------- */

typedef enum ending { BY_RETURN, BY_PTHREAD_EXIT, BY_CANCELLATION } ending;

typedef struct mortal {
  ending how;
  int inside;
  uint64_t vcpu;
  gmap_view *view;
} mortal;

static void *die_inside(void *argument) {
  mortal *m = (mortal *)argument;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &m->vcpu, &m->view));
  gmap_enter(m->view);
  CHECK_OK(store8(m->view, GUEST + 3 * PAGE, 1, NULL));
  CHECK(m->view->inside & 1);
  reach(&m->inside, 1);
  if (m->how == BY_PTHREAD_EXIT) pthread_exit(NULL);
  while (m->how == BY_CANCELLATION) pause(); /* a cancellation point */
  return NULL;
}

/* One that is dead, inside for ever. */
static void a_death(mortal *m, ending how) {
  pthread_t thread;
  memset(m, 0, sizeof *m);
  m->how = how;
  REQUIRE(pthread_create(&thread, NULL, die_inside, m) == 0);
  await(&m->inside, 1);
  if (how == BY_CANCELLATION) REQUIRE(pthread_cancel(thread) == 0);
  REQUIRE(pthread_join(thread, NULL) == 0);
}

static void a_dead_thread_is_closed_by_another(ending how) {
  mortal m;
  mishap_open(&f, SIZE, FOR_EVER, count_kick, NULL, NULL);
  a_death(&m, how);
  begin_waiting_harvest(&other, &f);
  CHECK_STATUS(gmap_space_destroy(f.space), GMAP_EBUSY);
  CHECK_OK(gmap_vcpu_close(m.vcpu));
  end_waiting_harvest(&other);
  CHECK_OK(other.status);
  CHECK_PAGES(other.bitmap, PAGES, 3);
  CHECK_STATUS(gmap_vcpu_close(m.vcpu), GMAP_EBADF);
  mishap_close(&f);
}

/* Every call that waits answers in time, and loses nothing. */
static void nobody_closes_the_dead(void) {
  mortal m;
  uint64_t dirty = 77, only[PAGES / 64] = {1 << 3}, next = 0, limbo;
  mishap_open(&f, SIZE, 20 * MILLISECONDS, count_kick, NULL, NULL);
  a_death(&m, BY_RETURN);
  CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_ETIMEDOUT);
  CHECK_STATUS(gmap_dirty_clear(f.space, SLOT, 0, PAGES, 0, only), GMAP_ETIMEDOUT);
  CHECK_STATUS(gmap_unmap(f.space, GUEST, MIB, 0, &next), GMAP_ETIMEDOUT);
  CHECK_EQUAL(next, GUEST + MIB); /* done, but not waited for */
  limbo = engine_stats(f.engine).limbo_bytes;
  CHECK(limbo >= 2048);
  CHECK_STATUS(gmap_unmap(f.space, GUEST, MIB, 0, NULL), GMAP_ETIMEDOUT);
  CHECK_EQUAL(engine_stats(f.engine).limbo_bytes, limbo); /* it costs memory once, not at each attempt */
  CHECK_STATUS(gmap_space_set_limit(f.space, 8192 * MIB - 1), GMAP_ETIMEDOUT);
  CHECK_STATUS(set_slot(f.space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, f.memory), 0); /* nothing was there before */
  CHECK_OK(gmap_vcpu_close(m.vcpu));
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  CHECK_EQUAL(engine_stats(f.engine).limbo_bytes, 0);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 3);
  mishap_close(&f);
}

static void *harvest_as_a_new_thread(void *argument) {
  uint64_t dirty;
  *(gmap_status *)argument =
      gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty);
  return NULL;
}

/* The system gives the dead thread's numbers and stack to a new one: that one is not taken for it. */
static void a_new_thread_is_not_the_dead_one(void) {
  mortal m;
  pthread_t thread;
  gmap_status status = 1;
  mishap_open(&f, SIZE, 20 * MILLISECONDS, count_kick, NULL, NULL);
  a_death(&m, BY_RETURN);
  REQUIRE(pthread_create(&thread, NULL, harvest_as_a_new_thread, &status) == 0);
  pthread_join(thread, NULL);
  CHECK_STATUS(status, GMAP_ETIMEDOUT); /* not GMAP_EDEADLK */
  CHECK_OK(gmap_vcpu_close(m.vcpu));
  mishap_close(&f);
}

/* ---- A jump out of a section ------------------------------------------------------------------------------------ */

typedef struct jumper {
  int jumped, enter_again, entered, leave;
} jumper;

static void *jump_out(void *argument) {
  jumper *j = (jumper *)argument;
  jmp_buf out;
  uint64_t vcpu;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  if (setjmp(out) == 0) {
    gmap_enter(view);
    CHECK_OK(store8(view, GUEST + 5 * PAGE, 1, NULL));
    longjmp(out, 1);
  }
  reach(&j->jumped, 1);
  await(&j->enter_again, 1);
  gmap_enter(view); /* ends the section that the jump left open */
  CHECK_OK(store8(view, GUEST + 6 * PAGE, 1, NULL));
  reach(&j->entered, 1);
  await(&j->leave, 1);
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void a_jump_out_is_ended_by_the_next_enter(void) {
  jumper j = {0};
  pthread_t thread;
  mishap_open(&f, SIZE, FOR_EVER, count_kick, NULL, NULL);
  REQUIRE(pthread_create(&thread, NULL, jump_out, &j) == 0);
  await(&j.jumped, 1);
  begin_waiting_harvest(&other, &f);
  reach(&j.enter_again, 1);
  end_waiting_harvest(&other); /* while the thread is inside anew: it has not left */
  CHECK_OK(other.status);
  CHECK(page_is_dirty(other.bitmap, 5));
  await(&j.entered, 1);
  reach(&j.leave, 1);
  pthread_join(thread, NULL);
  harvest(&f, bitmap);
  CHECK(page_is_dirty(bitmap, 6) || page_is_dirty(other.bitmap, 6));
  mishap_close(&f);
}

/* ---- Closed while its owner is inside --------------------------------------------------------------------------- */

typedef struct victim {
  int inside, closed;
  uint64_t vcpu;
} victim;

static void *go_on_after_close(void *argument) {
  victim *v = (victim *)argument;
  static gmap_cache_entry cache[16];
  uint64_t value = 0;
  gmap_view *view;
  void *host = NULL;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &v->vcpu, &view));
  gmap_enter(view);
  CHECK_OK(store8(view, GUEST + 3 * PAGE, 1, NULL));
  CHECK_OK(gmap_cache_store(view, cache, 15, GUEST + 3 * PAGE, 8, &host));
  reach(&v->inside, 1);
  await(&v->closed, 1);
  CHECK_EQUAL(view->inline_version, 0);
  CHECK_STATUS(gmap_store_ptr(view, GUEST + 3 * PAGE, 8, &host), GMAP_INLINE_ASK);
  CHECK_STATUS(gmap_load_ptr(view, GUEST, 8, &host), GMAP_INLINE_ASK);
  CHECK_STATUS(gmap_load_ptr(view, GUEST + 4096 * MIB, 8, &host), GMAP_INLINE_ASK);
  CHECK_STATUS(gmap_fault(v->vcpu, GUEST, GMAP_ACCESS_WRITE, NULL), GMAP_EBADF);
  CHECK_STATUS(store8(view, GUEST, 1, NULL), GMAP_EBADF);
  CHECK_STATUS(load8(view, GUEST, &value, NULL), GMAP_EBADF);
  CHECK_STATUS(gmap_store_resolve(view, GUEST, 8, &host, NULL), GMAP_EBADF);
  gmap_leave(view); /* harmless */
  gmap_enter(view);
  CHECK_STATUS(gmap_cache_store(view, cache, 15, GUEST + 3 * PAGE, 8, &host), GMAP_INLINE_ASK);
  CHECK_STATUS(gmap_store_ptr(view, GUEST, 8, &host), GMAP_INLINE_ASK);
  return NULL; /* inside a view that is nobody's */
}

static void closed_while_its_owner_is_inside(void) {
  victim v = {0};
  pthread_t thread;
  mishap_open(&f, SIZE, FOR_EVER, count_kick, NULL, NULL);
  REQUIRE(pthread_create(&thread, NULL, go_on_after_close, &v) == 0);
  await(&v.inside, 1);
  CHECK_OK(gmap_vcpu_close(v.vcpu));
  CHECK_EQUAL(harvest(&f, bitmap), 1); /* waits for nobody */
  reach(&v.closed, 1);
  pthread_join(thread, NULL);
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  CHECK_OK(gmap_unmap(f.space, GUEST, SIZE, 0, NULL)); /* nor does this, though the owner entered again */
  mishap_close(&f);
}

/* Two threads close one vcpu: one of them does. */
static void *close_it(void *argument) {
  return gmap_vcpu_close(*(uint64_t *)argument) == 0 ? argument : NULL;
}

static void two_close_one(void) {
  unsigned round;
  mishap_open(&f, SIZE, FOR_EVER, NULL, NULL, NULL);
  for (round = 0; round < 200; round++) {
    pthread_t thread;
    uint64_t vcpu;
    gmap_status here;
    void *there;
    REQUIRE_OK(open_vcpu(f.space, 0, &vcpu, NULL));
    REQUIRE(pthread_create(&thread, NULL, close_it, &vcpu) == 0);
    here = gmap_vcpu_close(vcpu);
    pthread_join(thread, &there);
    CHECK(here == 0 || here == GMAP_EBADF);
    CHECK_EQUAL((here == 0) + (there != NULL), 1);
  }
  mishap_close(&f);
}

/* ---- The smallest timeouts -------------------------------------------------------------------------------------- */

static void the_smallest_timeouts(void) {
  static const uint64_t timeouts[] = {1, 2, 1000, 100000, 1 * MILLISECONDS, ~0ull};
  unsigned i;
  for (i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
    mortal m;
    uint64_t dirty = 0;
    mishap_open(&f, SIZE, timeouts[i], count_kick, NULL, NULL);
    if (~timeouts[i] != 0) {
      a_death(&m, BY_RETURN);
      CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_ETIMEDOUT);
      CHECK_STATUS(gmap_unmap(f.space, GUEST, MIB, 0, NULL), GMAP_ETIMEDOUT);
      CHECK(engine_stats(f.engine).limbo_bytes > 0);
      CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, NULL, &dirty));
      CHECK_EQUAL(dirty, 1); /* it is there, whoever looks */
      CHECK_OK(gmap_vcpu_close(m.vcpu));
    } else {
      CHECK_OK(gmap_mark_dirty(f.space, GUEST + 3 * PAGE, 1));
    }
    CHECK_EQUAL(harvest(&f, bitmap), 1); /* nobody is inside: no timeout is too short */
    CHECK_PAGES(bitmap, PAGES, 3);
    CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
    CHECK_EQUAL(engine_stats(f.engine).limbo_bytes, 0);
    mishap_close(&f);
  }
}

int main(void) {
  mishap("a thread that returned inside");
  a_dead_thread_is_closed_by_another(BY_RETURN);
#if !defined(__SANITIZE_ADDRESS__) /* which takes the stack of an unwound thread for one in use */
  mishap("a thread that exited inside");
  a_dead_thread_is_closed_by_another(BY_PTHREAD_EXIT);
  mishap("a thread that was cancelled inside");
  a_dead_thread_is_closed_by_another(BY_CANCELLATION);
#endif
  mishap("nobody closes the dead");
  nobody_closes_the_dead();
  a_new_thread_is_not_the_dead_one();
  mishap("a jump out of a section");
  a_jump_out_is_ended_by_the_next_enter();
  mishap("closed while inside");
  closed_while_its_owner_is_inside();
  mishap("two close one");
  two_close_one();
  mishap("the smallest timeouts");
  the_smallest_timeouts();
  return check_done("mishap_threads");
}
