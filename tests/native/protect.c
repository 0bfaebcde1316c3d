/* SPDX-License-Identifier: MIT
 *
 * protect.c - protection and notifiers as a host uses them: what is forbidden is refused, what is armed is told once, and
 * every error that gmap.h names. */
#include "fixture.h"

#include <pthread.h>

#define SIZE (8 * MIB)
#define ALL (GMAP_PROT_READ | GMAP_PROT_WRITE)

typedef struct told {
  uint64_t space, first, last;
  uint32_t kind;
  int calls;
  gmap_status inside; /* what a call from the callback answered */
  uint64_t notifier;
  const fixture *f;
} told;

static void hear(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  told *t = (told *)user;
  t->space = space;
  t->first = first;
  t->last = last;
  t->kind = kind;
  t->calls++;
  t->inside = gmap_notifier_unregister(t->notifier);
}

static gmap_notifier notifier_of(void (*callback)(void *, uint64_t, uint64_t, uint64_t, uint32_t), void *user) {
  gmap_notifier config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.callback = callback;
  config.user = user;
  return config;
}

static gmap_status fault(const fixture *f, uint64_t page, uint32_t access, uint32_t *reason) {
  gmap_fault_result result;
  gmap_status status;
  memset(&result, 0, sizeof result);
  result.struct_size = sizeof result;
  status = gmap_fault(f->vcpu, GUEST + page * PAGE, access, &result);
  gmap_leave(f->view);
  if (reason) *reason = result.reason;
  return status;
}

static gmap_status protect(const fixture *f, uint64_t page, uint64_t n, uint32_t prot, uint32_t notify) {
  return gmap_protect(f->space, GUEST + page * PAGE, n * PAGE, prot, notify);
}

static void expect(told *t, uint64_t first, uint64_t last, uint32_t kind) {
  CHECK_EQUAL(t->calls, 1);
  CHECK_EQUAL(t->space, t->f->space);
  CHECK_EQUAL(t->first, GUEST + first * PAGE);
  CHECK_EQUAL(t->last, GUEST + (last + 1) * PAGE - 1);
  CHECK_EQUAL(t->kind, kind);
  CHECK_STATUS(t->inside, GMAP_EDEADLK);
  t->calls = 0;
}

static void restrictions(const fixture *f) {
  uint32_t reason = 0;
  uint64_t value = 7;
  void *host;
  CHECK_OK(fault(f, 3, GMAP_ACCESS_WRITE, NULL));
  CHECK_OK(protect(f, 3, 2, GMAP_PROT_READ, 0));
  CHECK_STATUS(fault(f, 3, GMAP_ACCESS_WRITE, &reason), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(reason, GMAP_REASON_PROTECTED);
  CHECK_OK(fault(f, 3, GMAP_ACCESS_READ, NULL));
  gmap_enter(f->view);
  CHECK_EQUAL(gmap_store_ptr(f->view, GUEST + 3 * PAGE, 8, &host), GMAP_INLINE_ASK);
  CHECK_EQUAL(gmap_load_ptr(f->view, GUEST + 3 * PAGE, 8, &host), 0);
  CHECK_STATUS(protect(f, 3, 1, ALL, 0), GMAP_EDEADLK);
  gmap_leave(f->view);
  CHECK_OK(gmap_write(f->space, GUEST + 3 * PAGE, &value, 8)); /* the host is not bound */
  CHECK_OK(protect(f, 3, 2, GMAP_PROT_NONE, 0));
  CHECK_STATUS(fault(f, 4, GMAP_ACCESS_READ, &reason), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(reason, GMAP_REASON_PROTECTED);
  CHECK_OK(protect(f, 3, 2, ALL, 0));
  CHECK_OK(fault(f, 3, GMAP_ACCESS_WRITE, NULL));
  CHECK_OK(store8(f->view, GUEST + 4 * PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK(engine_stats(f->engine).watch_bytes >= 8192);
}

static void errors(const fixture *f) {
  gmap_notifier config = notifier_of(hear, NULL);
  uint64_t id = 0;
  CHECK_STATUS(gmap_protect(f->space, GUEST + 1, PAGE, ALL, 0), GMAP_EINVAL);
  CHECK_STATUS(gmap_protect(f->space, GUEST, 1, ALL, 0), GMAP_EINVAL);
  CHECK_STATUS(protect(f, 0, 1, GMAP_PROT_WRITE, 0), GMAP_EINVAL);
  CHECK_STATUS(protect(f, 0, 1, 4, 0), GMAP_EINVAL);
  CHECK_STATUS(protect(f, 0, 1, ALL, 8), GMAP_EINVAL);
  CHECK_STATUS(protect(f, 0, 1, GMAP_PROT_NONE, GMAP_NOTIFY_MAPPED), GMAP_EINVAL);
  CHECK_STATUS(protect(f, 0, PAGES_OF(SIZE) + 1, GMAP_PROT_READ, 0), GMAP_EFAULT);
  CHECK_OK(protect(f, 0, 0, GMAP_PROT_NONE, 0));
  CHECK_STATUS(gmap_protect(f->space + 1, GUEST, PAGE, ALL, 0), GMAP_EBADF);
  CHECK_STATUS(gmap_notifier_register(f->space, NULL, &id), GMAP_EINVAL);
  CHECK_STATUS(gmap_notifier_register(f->space, &config, NULL), GMAP_EINVAL);
  config.kinds = 8;
  CHECK_STATUS(gmap_notifier_register(f->space, &config, &id), GMAP_EINVAL);
  config.kinds = 0;
  config.flags = 1;
  CHECK_STATUS(gmap_notifier_register(f->space, &config, &id), GMAP_EINVAL);
  config.flags = 0;
  config.callback = NULL;
  CHECK_STATUS(gmap_notifier_register(f->space, &config, &id), GMAP_EINVAL);
  CHECK_STATUS(gmap_notifier_unregister(0), GMAP_EBADF);
  CHECK_STATUS(gmap_notifier_unregister(f->space), GMAP_EBADF);
}

static void notifications(const fixture *f, told *t) {
  uint64_t bitmap[MAX_WORDS], value = 9;
  CHECK_STATUS(protect(f, 10, 2, ALL, GMAP_NOTIFY_CHANGE | GMAP_NOTIFY_MAPPED), GMAP_EAGAIN);
  CHECK_OK(fault(f, 10, GMAP_ACCESS_WRITE, NULL));
  CHECK_OK(fault(f, 11, GMAP_ACCESS_WRITE, NULL));
  CHECK_OK(protect(f, 10, 2, ALL, GMAP_NOTIFY_CHANGE | GMAP_NOTIFY_MAPPED));
  CHECK_EQUAL(t->calls, 0);
  CHECK(harvest(f, bitmap) >= 2);
  expect(t, 10, 11, GMAP_NOTIFY_CHANGE);
  CHECK_OK(protect(f, 20, 1, ALL, GMAP_NOTIFY_WRITE));
  CHECK_OK(fault(f, 20, GMAP_ACCESS_READ, NULL));
  CHECK_EQUAL(t->calls, 0);
  CHECK_OK(store8(f->view, GUEST + 20 * PAGE, 5, NULL));
  gmap_leave(f->view);
  expect(t, 20, 20, GMAP_NOTIFY_WRITE);
  CHECK_OK(protect(f, 20, 1, ALL, GMAP_NOTIFY_SHADOW));
  CHECK_OK(gmap_unmap(f->space, GUEST + 20 * PAGE, PAGE, 0, NULL));
  expect(t, 20, 20, GMAP_NOTIFY_SHADOW);
  CHECK_OK(protect(f, 21, 1, ALL, GMAP_NOTIFY_WRITE));
  gmap_enter(f->view);
  CHECK_STATUS(gmap_write(f->space, GUEST + 21 * PAGE, &value, 8), GMAP_EDEADLK);
  gmap_leave(f->view);
  CHECK_EQUAL(t->calls, 0);
  CHECK_OK(gmap_write(f->space, GUEST + 21 * PAGE, &value, 8));
  expect(t, 21, 21, GMAP_NOTIFY_WRITE);
  CHECK_OK(protect(f, 22, 1, ALL, GMAP_NOTIFY_WRITE));
  CHECK_OK(protect(f, 22, 1, ALL, GMAP_NOTIFY_WRITE | GMAP_NOTIFY_CANCEL));
  CHECK_OK(fault(f, 22, GMAP_ACCESS_WRITE, NULL));
  CHECK_EQUAL(t->calls, 0);
}

/* A batch is answered in one section: the one after the notifiers were told. */
static void batch(const fixture *f, told *t) {
  gmap_fault_request requests[3];
  size_t i, done = 0;
  memset(requests, 0, sizeof requests);
  for (i = 0; i < 3; i++) {
    requests[i].guest_addr = GUEST + (30 + i) * PAGE;
    requests[i].access = GMAP_ACCESS_WRITE;
  }
  CHECK_OK(protect(f, 31, 1, ALL, GMAP_NOTIFY_WRITE));
  CHECK_OK(gmap_fault_many(f->vcpu, requests, 3, sizeof requests[0], &done));
  gmap_leave(f->view);
  CHECK_EQUAL(done, 3);
  expect(t, 31, 31, GMAP_NOTIFY_WRITE);
}

static void policy_never(const fixture *f) {
  gmap_space_config config = space_config(0x7FFFFFFF);
  uint64_t space = 0;
  config.split_policy = GMAP_SPLIT_NEVER;
  REQUIRE_OK(gmap_space_create(f->engine, &config, &space));
  REQUIRE_OK(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f->memory));
  CHECK_STATUS(gmap_protect(space, GUEST, PAGE, GMAP_PROT_READ, 0), GMAP_EOPNOTSUPP);
  CHECK_OK(gmap_protect(space, GUEST, MIB, GMAP_PROT_READ, 0));
  CHECK_OK(gmap_protect(space, GUEST + MIB, PAGE, ALL, GMAP_NOTIFY_CHANGE));
  CHECK_OK(gmap_space_destroy(space));
  config.split_policy = GMAP_SPLIT_LAZY;
  config.tracking = GMAP_TRACK_GENERATION;
  REQUIRE_OK(gmap_space_create(f->engine, &config, &space));
  REQUIRE_OK(set_slot(space, SLOT, 0, GUEST, SIZE, f->memory));
  CHECK_STATUS(gmap_protect(space, GUEST, PAGE, GMAP_PROT_READ, 0), GMAP_EOPNOTSUPP);
  CHECK_OK(gmap_space_destroy(space));
}

/* Vcpus that write while a picture of the memory is saved in the background: each page as it was when all was armed. */
#define SAVED 256u
#define WRITERS 2
static uint64_t saved[SAVED];
static pthread_mutex_t save_lock = PTHREAD_MUTEX_INITIALIZER;

static void save(const fixture *f, uint64_t page) {
  pthread_mutex_lock(&save_lock);
  if (!saved[page]) CHECK_OK(gmap_read(f->space, GUEST + 4 * MIB + page * PAGE, &saved[page], 8));
  pthread_mutex_unlock(&save_lock);
}

static void save_first(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  uint64_t at;
  (void)space;
  if (kind != GMAP_NOTIFY_WRITE || first < GUEST + 4 * MIB) return;
  for (at = first; at < last; at += PAGE) save((const fixture *)user, (at - GUEST - 4 * MIB) / PAGE);
}

static void *write_on(void *user) {
  const fixture *f = (const fixture *)user;
  uint64_t vcpu, i, seed = 12345;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &vcpu, &view));
  for (i = 0; i < 5000; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    gmap_enter(view);
    CHECK_OK(store8(view, GUEST + 4 * MIB + (seed >> 33) % SAVED * PAGE, ~0ull, NULL));
    gmap_leave(view);
  }
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void picture(const fixture *f) {
  gmap_notifier config = notifier_of(save_first, (void *)(uintptr_t)f);
  uint64_t id, page;
  pthread_t threads[WRITERS];
  int i;
  for (page = 0; page < SAVED; page++) {
    uint64_t value = page + 1;
    CHECK_OK(gmap_write(f->space, GUEST + 4 * MIB + page * PAGE, &value, 8));
  }
  config.kinds = GMAP_NOTIFY_WRITE;
  REQUIRE_OK(gmap_notifier_register(f->space, &config, &id));
  CHECK_EQUAL(space_stats(f->space).notifiers, 2);
  CHECK_OK(gmap_protect(f->space, GUEST + 4 * MIB, SAVED * PAGE, ALL, GMAP_NOTIFY_WRITE));
  for (i = 0; i < WRITERS; i++) REQUIRE(pthread_create(&threads[i], NULL, write_on, (void *)(uintptr_t)f) == 0);
  for (page = 0; page < SAVED; page++) save(f, page);
  for (i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
  for (page = 0; page < SAVED; page++) CHECK_EQUAL(saved[page], page + 1);
  CHECK_OK(gmap_notifier_unregister(id));
  CHECK_STATUS(gmap_notifier_unregister(id), GMAP_EBADF);
}

int main(int argc, char **argv) {
  fixture f;
  gmap_notifier config;
  told t;
  fixture_arguments(argc, argv);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  memset(&t, 0, sizeof t);
  t.f = &f;
  restrictions(&f);
  errors(&f);
  config = notifier_of(hear, &t);
  REQUIRE_OK(gmap_notifier_register(f.space, &config, &t.notifier));
  notifications(&f, &t);
  batch(&f, &t);
  policy_never(&f);
  picture(&f);
  CHECK(space_stats(f.space).notifications > 0);
  CHECK_OK(gmap_vcpu_close(f.vcpu));
  CHECK_STATUS(gmap_space_destroy(f.space), GMAP_EBUSY);
  CHECK_OK(gmap_notifier_unregister(t.notifier));
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
  return check_done("protect");
}
