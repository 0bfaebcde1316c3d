/* SPDX-License-Identifier: MIT
 *
 * inline.c - what gmap_inline.h promises: versions, closed views, the translation cache, accesses that cross
 * pages. */
#include <stddef.h>

static void (*at_step)(unsigned step); /* the header's test hook, while a test wants it */
#define GMAP_INLINE_YIELD(n) (at_step ? at_step(n) : (void)0)

#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)
#define CACHE 64u

static uint64_t bitmap[MAX_WORDS];

static void always_asks(gmap_view *view) {
  gmap_cache_entry cache[CACHE];
  void *host = NULL;
  memset(cache, 0, sizeof cache);
  gmap_enter(view);
  view->ask_addr = 0;
  CHECK_EQUAL(gmap_load_ptr(view, GUEST + 0x123, 8, &host), GMAP_INLINE_ASK);
  CHECK_EQUAL(view->ask_addr, GUEST + 0x123);
  CHECK_EQUAL(gmap_store_ptr(view, GUEST + 0x456, 8, &host), GMAP_INLINE_ASK);
  CHECK_EQUAL(gmap_cache_load(view, cache, CACHE - 1, GUEST, 1, &host), GMAP_INLINE_ASK);
  CHECK_EQUAL(gmap_cache_store(view, cache, CACHE - 1, GUEST, 1, &host), GMAP_INLINE_ASK);
  gmap_leave(view);
}

/* A version that the library does not speak: slow and right. */
static void another_version(void) {
  static const uint32_t versions[] = {0, GMAP_INLINE_VERSION + 1, 0xFFFFFFFFu};
  size_t i;
  for (i = 0; i < sizeof versions / sizeof *versions; i++) {
    fixture f;
    uint64_t vcpu;
    gmap_view *view;
    void *host = NULL;
    fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
    CHECK_OK(store8(f.view, GUEST, 1, NULL)); /* mapped and writable for a view that speaks */
    gmap_leave(f.view);
    REQUIRE_OK(open_vcpu(f.space, versions[i], &vcpu, &view));
    CHECK_EQUAL(view->inline_version, 0);
    always_asks(view);
    gmap_enter(view);
    if (CHECK_OK(gmap_store_resolve(view, GUEST + 9 * PAGE, 8, &host, NULL))) memset(host, 0x5A, 8);
    CHECK(host == f.memory + 9 * PAGE);
    CHECK_STATUS(gmap_store_resolve(view, GUEST + 10 * PAGE - 4, 8, &host, NULL), GMAP_INLINE_TORN);
    CHECK_STATUS(gmap_store_resolve(view, 0, 8, &host, NULL), GMAP_PIC_ADDRESSING);
    gmap_leave(view);
    CHECK(harvest(&f, bitmap) >= 2);
    CHECK(page_is_dirty(bitmap, 0) && page_is_dirty(bitmap, 9));
    CHECK_OK(gmap_vcpu_close(vcpu));
    always_asks(view);
    fixture_close(&f);
  }
}

/* A closed view stays readable and says "ask" until the engine goes; its handle is stale. */
static void closed_views_ask(void) {
  fixture f;
  uint64_t vcpu, value;
  gmap_view *view;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  CHECK_EQUAL(view->inline_version, GMAP_INLINE_VERSION);
  CHECK_EQUAL(view->vcpu, vcpu);
  CHECK_EQUAL((uintptr_t)view & 63, 0);
  CHECK_OK(store8(view, GUEST, 1, NULL));
  CHECK_OK(gmap_vcpu_close(vcpu)); /* inside: counts as leave */
  CHECK_EQUAL(view->inside & 1, 0);
  always_asks(view);
  CHECK_STATUS(load8(view, GUEST, &value, NULL), GMAP_EBADF);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_OK(gmap_vcpu_close(f.vcpu));
  CHECK_OK(gmap_space_destroy(f.space));
  always_asks(view); /* the space is gone, the view is not */
  always_asks(f.view);
  CHECK_OK(gmap_engine_destroy(f.engine));
  munmap(f.memory, f.size);
}

/* Fills both entries, then asks the cache alone. Returns where a cached load goes, or NULL for a miss. */
static int cache_hits(gmap_view *view, const gmap_cache_entry *cache, uint64_t guest_addr, int store) {
  const gmap_cache_entry *entry = cache + ((guest_addr >> 12) & (CACHE - 1));
  return (store ? entry->store_generation : entry->load_generation) == view->generation &&
         entry->page == (guest_addr & ~(PAGE - 1));
}

static void cache_functions(void) {
  fixture f;
  gmap_cache_entry cache[CACHE];
  void *host = NULL;
  uint64_t at = GUEST + 17 * PAGE + 0x40;
  memset(cache, 0, sizeof cache);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(gmap_fault(f.vcpu, at, GMAP_ACCESS_READ, NULL));
  gmap_enter(f.view);
  CHECK(!cache_hits(f.view, cache, at, 0));
  CHECK_EQUAL(gmap_cache_load(f.view, cache, CACHE - 1, at, 8, &host), 0);
  CHECK(host == f.memory + (at - GUEST));
  CHECK(cache_hits(f.view, cache, at, 0) && !cache_hits(f.view, cache, at, 1));
  CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at, 8, &host), GMAP_INLINE_ASK); /* an armed leaf */
  CHECK_OK(gmap_fault(f.vcpu, at, GMAP_ACCESS_WRITE, NULL));
  CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at, 8, &host), 0);
  CHECK(cache_hits(f.view, cache, at, 0) && cache_hits(f.view, cache, at, 1));
  CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at + 8, 8, &host), 0);
  CHECK(host == f.memory + (at + 8 - GUEST));
  /* A hit is for the bytes of its page only. */
  CHECK_EQUAL(gmap_cache_load(f.view, cache, CACHE - 1, at - 0x40 + PAGE - 4, 8, &host), 0);
  CHECK(host == f.memory + 18 * PAGE - 4);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 17);
  /* The right was taken away: the entry is of an older generation, the next store walks and marks again. */
  gmap_enter(f.view);
  CHECK(!cache_hits(f.view, cache, at, 0) && !cache_hits(f.view, cache, at, 1));
  CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at, 8, &host), 0);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 17);
  /* An unmapped page misses too. */
  gmap_enter(f.view);
  CHECK_EQUAL(gmap_cache_load(f.view, cache, CACHE - 1, at, 8, &host), 0);
  gmap_leave(f.view);
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  gmap_enter(f.view);
  CHECK_EQUAL(gmap_cache_load(f.view, cache, CACHE - 1, at, 8, &host), GMAP_INLINE_ASK);
  gmap_leave(f.view);
  fixture_close(&f);
}

/* ---- Between two steps ---- */

static fixture *raced;
static pthread_t harvester;

static void *harvest_beside(void *argument) {
  (void)argument;
  CHECK_EQUAL(harvest(raced, bitmap), 1);
  return NULL;
}

/* The page was walked and may be stored to; now another thread takes the right away, and waits for this section. */
static void right_is_taken(unsigned step) {
  if (step != 4) return;
  at_step = NULL;
  REQUIRE(pthread_create(&harvester, NULL, harvest_beside, NULL) == 0);
  while (GMAP_ATOMIC_LOAD(&raced->view->space->generation) == raced->view->generation) sched_yield();
}

/* What was loaded before a right was taken away is cached under the generation from before (PROTOCOL.md, rule 4). */
static void cache_keeps_the_entered_generation(void) {
  fixture f;
  gmap_cache_entry cache[CACHE];
  void *host = NULL;
  const uint64_t at = GUEST + 17 * PAGE;
  memset(cache, 0, sizeof cache);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  raced = &f;
  CHECK_OK(store8(f.view, at, 1, NULL));
  gmap_enter(f.view);
  at_step = right_is_taken;
  if (CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at, 8, &host), 0)) memset(host, 2, 8);
  gmap_leave(f.view);
  REQUIRE(pthread_join(harvester, NULL) == 0);
  CHECK_PAGES(bitmap, PAGES, 17);
  gmap_enter(f.view);
  CHECK(!cache_hits(f.view, cache, at, 1));
  if (CHECK_EQUAL(gmap_cache_store(f.view, cache, CACHE - 1, at, 8, &host), 0)) memset(host, 3, 8);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 17);
  fixture_close(&f);
}

/* ---- Threads that poll ---- */

typedef struct poller {
  fixture *f;
  pthread_t thread;
  gmap_view *view;
  int polls; /* or else does nothing, inside */
  int state; /* 1: inside, the page is stored to; 2: shall end */
  uint64_t sections, value;
} poller;

static void *poll_and_store(void *argument) {
  poller *p = (poller *)argument;
  gmap_cache_entry cache[CACHE];
  uint64_t vcpu, before;
  void *host;
  memset(cache, 0, sizeof cache);
  REQUIRE_OK(open_vcpu(p->f->space, GMAP_INLINE_VERSION, &vcpu, &p->view));
  gmap_enter(p->view);
  CHECK_OK(store8(p->view, GUEST + 3 * PAGE, 1, NULL));
  __atomic_store_n(&p->state, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != 2) {
    if (!p->polls) {
      sched_yield();
      continue;
    }
    before = p->view->generation;
    CHECK(gmap_again(p->view) == (p->view->generation != before));
    if (gmap_again_store(p->view, cache, CACHE - 1, GUEST + 3 * PAGE, 8, &host) != 0)
      REQUIRE_OK(gmap_store_resolve(p->view, GUEST + 3 * PAGE, 8, &host, NULL));
    p->sections += p->view->generation != before; /* by which of the two polls is luck */
    memcpy(host, &p->value, 8);
    p->value++;
  }
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void poller_begin(poller *p, fixture *f, int polls) {
  memset(p, 0, sizeof *p);
  p->f = f;
  p->polls = polls;
  REQUIRE(pthread_create(&p->thread, NULL, poll_and_store, p) == 0);
  while (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != 1) sched_yield();
}

static void poller_end(poller *p) {
  __atomic_store_n(&p->state, 2, __ATOMIC_RELEASE);
  REQUIRE(pthread_join(p->thread, NULL) == 0);
}

/* A space whose graces end after 50 ms. */
static void impatient(fixture *f) {
  gmap_engine_config engine;
  gmap_space_config space = space_config(1024 * MIB - 1);
  memset(&engine, 0, sizeof engine);
  memset(f, 0, sizeof *f);
  engine.struct_size = sizeof engine;
  engine.arena_bytes = 64 * MIB;
  engine.grace_timeout_ns = 50000000;
  f->size = SIZE;
  f->memory = guest_memory(SIZE);
  REQUIRE_OK(gmap_engine_create(&engine, &f->engine));
  REQUIRE_OK(gmap_space_create(f->engine, &space, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f->memory));
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &f->vcpu, &f->view));
}

/* Nobody waits in vain for a thread that never leaves and polls: neither a harvest, which takes rights away, nor a
 * call that takes none (a collapse). Without polls both do. */
static void polling_ends_sections(int polls) {
  fixture f;
  poller p;
  uint64_t dirty = 0;
  gmap_status expected = polls ? 0 : GMAP_ETIMEDOUT;
  impatient(&f);
  poller_begin(&p, &f, polls);
  CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), expected);
  if (polls) CHECK_PAGES(bitmap, PAGES, 3);
  CHECK_OK(gmap_split(f.space, GUEST + MIB, MIB, 0, NULL));
  CHECK_OK(gmap_populate(f.space, GUEST + 2 * MIB, MIB, GMAP_ACCESS_READ, 0, NULL));
  CHECK_OK(gmap_split(f.space, GUEST + 2 * MIB, MIB, 0, NULL));
  CHECK_STATUS(gmap_collapse(f.space, GUEST + 2 * MIB, MIB, 0, NULL), expected);
  poller_end(&p);
  if (polls) CHECK(p.sections >= 1);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  fixture_close(&f);
}

static void *fault_inside(void *view) {
  CHECK_OK(gmap_fault(((gmap_view *)view)->vcpu, GUEST + 9 * PAGE, GMAP_ACCESS_WRITE, NULL));
  return NULL;
}

/* A view that always asks has a generation of its own, which answers nobody: its section is waited for (rule 6). */
static void the_closed_space_answers_nobody(void) {
  fixture f;
  uint64_t vcpu, dirty = 0;
  gmap_view *view;
  poller p;
  impatient(&f);
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION + 1, &vcpu, &view));
  poller_begin(&p, &f, 1);
  REQUIRE(pthread_create(&harvester, NULL, fault_inside, view) == 0);
  REQUIRE(pthread_join(harvester, NULL) == 0); /* its section stays open */
  CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty), GMAP_ETIMEDOUT);
  CHECK_OK(gmap_vcpu_close(vcpu));
  poller_end(&p);
  fixture_close(&f);
}

static jmp_buf out_of_the_guest;

static void leave_by_longjmp(unsigned step) {
  if (step == 3) longjmp(out_of_the_guest, 1);
}

/* The first writer ends between granting and marking; the second finds the page granted, and marks it (rule 1). */
static void the_second_writer_marks(void) {
  fixture f;
  void *host = NULL;
  const uint64_t at = GUEST + 40 * PAGE;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(store8(f.view, GUEST, 1, NULL)); /* splits the segment */
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  if (setjmp(out_of_the_guest) == 0) {
    at_step = leave_by_longjmp;
    gmap_enter(f.view);
    (void)gmap_store_ptr(f.view, at, 8, &host);
    CHECK(0); /* never comes here */
  }
  at_step = NULL;
  gmap_enter(f.view); /* begins anew: the section that was left open is no more */
  if (CHECK_EQUAL(gmap_store_ptr(f.view, at, 8, &host), 0)) memset(host, 4, 8);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 40);
  fixture_close(&f);
}

static void crossing_stores_mark_both(void) {
  fixture f;
  void *host = NULL;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  gmap_enter(f.view);
  CHECK_OK(gmap_store_resolve(f.view, GUEST + 5 * PAGE - 3, 8, &host, NULL)); /* within a segment */
  CHECK(host == f.memory + 5 * PAGE - 3);
  memset(host, 1, 8);
  CHECK_OK(gmap_store_resolve(f.view, GUEST + MIB - 1, 2, &host, NULL)); /* over a segment's end */
  CHECK(host == f.memory + MIB - 1);
  memset(host, 2, 2);
  CHECK_OK(gmap_store_resolve(f.view, GUEST + 2 * MIB + 8, 3 * PAGE, &host, NULL)); /* four pages */
  memset(host, 3, 3 * PAGE);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 8);
  CHECK_PAGES(bitmap, PAGES, 4, 5, 255, 256, 512, 513, 514, 515);
  gmap_enter(f.view); /* the end of the slot: the second page is not there */
  CHECK_STATUS(gmap_store_resolve(f.view, GUEST + SIZE - 4, 8, &host, NULL), GMAP_PIC_ADDRESSING);
  CHECK_STATUS(gmap_load_resolve(f.view, UINT64_MAX - 3, 8, &host, NULL), GMAP_PIC_ASCE_TYPE); /* wraps */
  gmap_leave(f.view);
  fixture_close(&f);
}

/* An access that wraps around the end of the address space: its first page is mapped, so asking would never end. */
static void wrapped(void) {
  fixture f;
  void *host = NULL;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  gmap_enter(f.view);
  CHECK_STATUS(gmap_load_resolve(f.view, GUEST + 4, 0 - (uint64_t)GUEST, &host, NULL), GMAP_INLINE_TORN);
  CHECK_STATUS(gmap_store_resolve(f.view, GUEST + 4, 0 - (uint64_t)GUEST, &host, NULL), GMAP_INLINE_TORN);
  gmap_leave(f.view);
  fixture_close(&f);
}

/* Two slots side by side in the guest, apart in the host. */
static void torn(void) {
  fixture f;
  void *host = NULL;
  unsigned char *elsewhere = guest_memory(2 * MIB);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  REQUIRE_OK(set_slot(f.space, 8, GMAP_SLOT_LOG_DIRTY, GUEST + SIZE, MIB, elsewhere + MIB / 2));
  gmap_enter(f.view);
  CHECK_STATUS(gmap_load_resolve(f.view, GUEST + SIZE - 4, 8, &host, NULL), GMAP_INLINE_TORN);
  CHECK_STATUS(gmap_store_resolve(f.view, GUEST + SIZE - 4, 8, &host, NULL), GMAP_INLINE_TORN);
  CHECK_OK(gmap_store_resolve(f.view, GUEST + SIZE - 4, 4, &host, NULL)); /* one by one */
  CHECK(host == f.memory + SIZE - 4);
  CHECK_OK(gmap_store_resolve(f.view, GUEST + SIZE, 4, &host, NULL));
  CHECK(host == elsewhere + MIB / 2);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, PAGES - 1);
  fixture_close(&f);
  munmap(elsewhere, 2 * MIB);
}

/* A read-only slot: reads go, writes are the guest's condition, with the reason. */
static void readonly_slot(void) {
  fixture f;
  gmap_fault_result result = fault_result();
  void *host = NULL;
  fixture_open(&f, SIZE, GMAP_SLOT_READONLY, GMAP_SPLIT_LAZY);
  gmap_enter(f.view);
  CHECK_OK(gmap_load_resolve(f.view, GUEST + 5, 1, &host, &result));
  CHECK(host == f.memory + 5);
  CHECK_STATUS(gmap_store_resolve(f.view, GUEST + 5, 1, &host, &result), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(result.reason, GMAP_REASON_READONLY_SLOT);
  gmap_leave(f.view);
  CHECK_STATUS(gmap_write(f.space, GUEST, "x", 1), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(f.memory[0], 0);
  fixture_close(&f);
}

int main(void) {
  another_version();
  closed_views_ask();
  cache_functions();
  cache_keeps_the_entered_generation();
  polling_ends_sections(1);
  polling_ends_sections(0);
  the_closed_space_answers_nobody();
  the_second_writer_marks();
  crossing_stores_mark_both();
  torn();
  wrapped();
  readonly_slot();
  return check_done("inline");
}
