/* SPDX-License-Identifier: MIT
 *
 * sandboxed.c - a host under a seccomp filter that allows what gmap.h documents ("Calls") and what this host calls
 * itself, nothing else. Then every export is used, from several threads, until the runtime has collected garbage.
 *
 *   sandboxed all        the filter goes in before the library's first call
 *   sandboxed init       after gmap_runtime_init
 *   sandboxed kill       the same; what is not allowed kills, so that nothing can hide from the handler
 *   sandboxed steady     no files any more: after every thread's first call, and without backings; threads that only
 *                        fault have a list of their own
 *   sandboxed ... X      the same, but X is not allowed: the handler must name it (the test of the test)
 *   sandboxed trace      no filter: the phases are marked by writes, for strace -f */
#include "fixture.h"
#include "sandbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define THREADS 3
#define SIZE (16 * MIB)
#define BACKED (8 * MIB)

static uint64_t bitmap[MAX_WORDS];
static uint64_t engine, space;
static unsigned char *memory, *backed_memory;
static uint64_t orphans[THREADS];
static int ready, attached, filtered, go, stop_now;
static int traced, is_steady;

/* ---- The lists of gmap.h ("Calls"), phase by phase -------------------------------------------------------------- */

#define CALL(name) {#name, SYS_##name}

typedef struct named_call {
  const char *name;
  long number;
} named_call;

static const named_call start_up[] = {
    CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(membarrier), CALL(mmap), CALL(munmap), CALL(mprotect),
    CALL(madvise), CALL(brk), CALL(openat), CALL(newfstatat), CALL(read), CALL(close), CALL(getdents64), CALL(statfs),
    CALL(sysinfo), CALL(prlimit64), CALL(getpid), CALL(gettid), CALL(sched_getaffinity), CALL(get_mempolicy),
    CALL(getrandom), CALL(prctl), CALL(clone3), CALL(set_robust_list), CALL(rseq), CALL(sched_yield), CALL(futex),
};

static const named_call first_of_a_thread[] = {
    CALL(gettid), CALL(sched_getaffinity), CALL(rt_sigprocmask), CALL(mmap), CALL(mprotect), CALL(madvise), CALL(futex),
};

static const named_call anywhere[] = {
    CALL(futex), CALL(sched_yield), CALL(clock_nanosleep), CALL(mmap), CALL(munmap), CALL(mprotect), CALL(madvise),
    CALL(mlock), CALL(brk), CALL(membarrier),
    /* A garbage collection: */
    CALL(tgkill), CALL(rt_sigreturn), CALL(getpid), CALL(gettid), CALL(prlimit64), CALL(sysinfo),
};

/* A garbage collection's as well, but it goes on where they fail: it looks at /proc/meminfo or the control group's. */
static const named_call a_look_at_memory[] = {CALL(openat), CALL(newfstatat), CALL(read), CALL(close)};

/* A thread that faults, marks, reads and writes, and does nothing else. */
static const named_call of_a_fault[] = {
    CALL(futex), CALL(sched_yield), CALL(mprotect), CALL(mlock), CALL(rt_sigreturn), CALL(getpid),
    CALL(gettid),
};

static const named_call backings[] = {
    CALL(userfaultfd), CALL(ioctl), CALL(openat), CALL(close), CALL(msync),
};

/* This host's own, beside them: what it prints, how its threads rest and end. */
static const named_call own[] = {
    CALL(write), CALL(exit), CALL(exit_group), CALL(rt_sigprocmask), CALL(clock_nanosleep), CALL(madvise),
};

static const named_call to_filter_more[] = {CALL(prctl), CALL(seccomp)};

#define ALLOW(box, list) allow((box), (list), sizeof(list) / sizeof *(list), SECCOMP_RET_ALLOW)

static const char *left_out; /* documented, not allowed here */

static void allow(sandbox *box, const named_call *list, size_t n, uint32_t action) {
  size_t i;
  for (i = 0; i < n; i++)
    if (!left_out || strcmp(left_out, list[i].name) != 0) sandbox_rule(box, list[i].number, action);
}

/* Names the call. Nothing but write and exit_group is called. */
static void on_trap(int number, siginfo_t *info, void *context) {
  static const named_call others[] = {CALL(sigaltstack), CALL(clone), CALL(getcpu), CALL(nanosleep), CALL(mlock),
                                      CALL(open), CALL(fstat), CALL(stat), CALL(lseek), CALL(sched_setaffinity),
                                      CALL(mincore), CALL(mbind), CALL(mremap), CALL(readlink), CALL(uname)};
  const named_call *lists[] = {start_up, backings, anywhere, others};
  const size_t sizes[] = {sizeof start_up, sizeof backings, sizeof anywhere, sizeof others};
  char line[128];
  const char *name = "?";
  size_t i, j;
  int length;
  (void)number, (void)context;
  for (i = 0; i < 4; i++)
    for (j = 0; j < sizes[i] / sizeof **lists; j++)
      if (lists[i][j].number == info->si_syscall) name = lists[i][j].name;
  length = snprintf(line, sizeof line, "not in the header's list: %s (%d)\n", name, info->si_syscall);
  if (write(2, line, (size_t)length) < 0) _exit(4);
  _exit(3);
}

static void filter(const char *what) {
  struct sigaction action;
  sandbox box;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(sigaction(SIGSYS, &action, NULL) == 0);
  sandbox_begin(&box);
  ALLOW(&box, anywhere);
  ALLOW(&box, own);
  if (strcmp(what, "steady") == 0) {
    ALLOW(&box, to_filter_more);
    allow(&box, a_look_at_memory, sizeof a_look_at_memory / sizeof *a_look_at_memory, SECCOMP_RET_ERRNO | EACCES);
  } else {
    ALLOW(&box, first_of_a_thread);
    ALLOW(&box, a_look_at_memory);
    ALLOW(&box, backings);
  }
  if (strcmp(what, "all") == 0) ALLOW(&box, start_up);
  sandbox_apply(&box, strcmp(what, "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP);
}

/* A stricter one for the calling thread alone. */
static void filter_this_thread(void) {
  sandbox box;
  sandbox_begin(&box);
  ALLOW(&box, of_a_fault);
  ALLOW(&box, own);
  sandbox_apply_to(&box, SECCOMP_RET_TRAP, 0);
}

static void mark(const char *phase) {
  char line[64];
  int length = snprintf(line, sizeof line, "== %s\n", phase);
  if (traced && write(2, line, (size_t)length) < 0) abort();
}

/* ---- A workout of every export ---------------------------------------------------------------------------------- */

static unsigned kicks;

static void on_kick(void *user, uint64_t vcpu) {
  (void)user, (void)vcpu;
  __atomic_fetch_add(&kicks, 1, __ATOMIC_SEQ_CST);
}

static void on_log(void *user, int32_t level, const char *message) {
  (void)user, (void)level, (void)message;
}

static void await(int *flag, int value) {
  while (__atomic_load_n(flag, __ATOMIC_SEQ_CST) < value) sched_yield();
}

/* A vcpu thread, made before the filter: faults and stores until told to stop, then a while inside. */
static void *walk(void *argument) {
  uint64_t vcpu, i = (uint64_t)(uintptr_t)argument, n, value;
  gmap_view *view;
  size_t done;
  __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
  await(&go, 1);
  if (!CHECK_OK(open_vcpu(space, GMAP_INLINE_VERSION, &vcpu, &view))) return NULL;
  __atomic_fetch_add(&attached, 1, __ATOMIC_SEQ_CST);
  if (is_steady) {
    await(&filtered, 1);
    filter_this_thread();
  }
  for (n = 0; !__atomic_load_n(&stop_now, __ATOMIC_SEQ_CST); n++) {
    uint64_t at = GUEST + (n * 7919 + i * 4093) * PAGE % SIZE;
    gmap_fault_request request = {.guest_addr = at, .access = GMAP_ACCESS_READ};
    gmap_enter(view);
    CHECK_OK(store8(view, at, n, NULL));
    CHECK_OK(gmap_fault_many(vcpu, &request, 1, sizeof request, &done));
    gmap_leave(view);
    CHECK_OK(gmap_mark_dirty(space, at, 8));
    CHECK_OK(gmap_write(space, at, &n, sizeof n));
    CHECK_OK(gmap_read(space, at, &value, sizeof value));
    CHECK_OK(gmap_translate(space, 0, GMAP_ACCESS_READ, NULL) == GMAP_PIC_ADDRESSING ? 0 : 1);
    if (n % 256 == 0) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); /* the others have two processors too */
  }
  if (is_steady) __atomic_fetch_add(&orphans[i], vcpu, __ATOMIC_SEQ_CST); /* to be closed by one that may */
  else CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void *stay(void *argument) {
  uint64_t vcpu;
  gmap_view *view;
  unsigned before;
  (void)argument;
  __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
  await(&go, 1);
  CHECK(gmap_abi_version() != 0); /* this thread's first call */
  __atomic_fetch_add(&attached, 1, __ATOMIC_SEQ_CST);
  await(&go, 2);
  if (!CHECK_OK(open_vcpu(space, GMAP_INLINE_VERSION, &vcpu, &view))) return NULL;
  before = __atomic_load_n(&kicks, __ATOMIC_SEQ_CST);
  CHECK_OK(store8(view, GUEST, 1, NULL)); /* by gmap_fault or inside */
  gmap_enter(view);
  CHECK_OK(store8(view, GUEST, 1, NULL));
  __atomic_store_n(&go, 3, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&kicks, __ATOMIC_SEQ_CST) == before) sched_yield();
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void make_world(void) {
  gmap_engine_config config;
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.arena_bytes = 64 * MIB;
  config.kick = on_kick;
  config.log = on_log;
  config.grace_timeout_ns = 20000000000ull;
  REQUIRE_OK(gmap_engine_create(&config, &engine));
  REQUIRE_OK(gmap_space_create(engine, &space_is, &space));
  REQUIRE_OK(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, memory));
}

static void steady(void) {
  uint64_t vcpu, address = GUEST + PAGE, word = 1, value = 0;
  uint64_t i;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(space, GMAP_INLINE_VERSION, &vcpu, &view));
  for (i = 0; i < SIZE / MIB; i++) {
    CHECK_OK(store8(view, GUEST + i * MIB, i, NULL));
    gmap_leave(view);
  }
  CHECK_OK(gmap_translate(space, GUEST, GMAP_ACCESS_READ, NULL));
  CHECK_OK(gmap_populate(space, GUEST, SIZE, GMAP_ACCESS_READ, 0, NULL));
  CHECK_OK(gmap_write(space, GUEST + 5, "x", 1));
  CHECK_OK(gmap_read(space, GUEST + 5, &value, 1));
  CHECK_OK(gmap_mark_dirty(space, GUEST, PAGE));
  CHECK_OK(gmap_mark_dirty_bitmap(space, SLOT, 0, 64, &word));
  CHECK_OK(gmap_mark_dirty_batch(space, &address, 1));
  CHECK_OK(gmap_dirty_get(space, SLOT, 0, PAGES_OF(SIZE), 0, bitmap, &value));
  CHECK_OK(gmap_space_get_asce(space, &value));
  (void)space_stats(space);
  (void)engine_stats(engine);
  CHECK(gmap_features() != 0 && gmap_abi_version() != 0 && gmap_version_string() && gmap_strerror(0));
  CHECK_OK(gmap_vcpu_close(vcpu));
}

static void epochs(void) {
  uint64_t consumer, resume = 0, next, one = 1;
  gmap_range range;
  size_t n;
  REQUIRE_OK(gmap_consumer_open(space, GMAP_ALL_SLOTS, 0, &consumer));
  CHECK_OK(gmap_mark_dirty(space, GUEST, PAGE));
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  CHECK_OK(gmap_consumer_read_bitmap(consumer, SLOT, 0, PAGES_OF(SIZE), 0, bitmap, MAX_WORDS, NULL));
  CHECK_OK(gmap_consumer_read_ranges(consumer, 0, &range, 1, &n, &resume));
  CHECK_OK(gmap_consumer_redirty(consumer, SLOT, 0, 1, 0, &one));
  CHECK_OK(gmap_consumer_abort(consumer));
  CHECK_OK(gmap_consumer_begin(consumer, 0, NULL));
  CHECK_OK(gmap_consumer_commit(consumer));
  CHECK_OK(gmap_consumer_close(consumer));
  CHECK_OK(gmap_dirty_harvest_ranges(space, SLOT, 0, PAGES_OF(SIZE), 0, &range, 1, &n, &next));
}

static void waiting(void) {
  static unsigned char image[4 * MIB];
  uint64_t size = 0, asce, dirty;
  gmap_image_sink sink;
  memset(&sink, 0, sizeof sink);
  sink.struct_size = sizeof sink;
  sink.buffer = image;
  sink.capacity = sizeof image;
  sink.size = &size;
  CHECK_OK(gmap_dirty_harvest(space, SLOT, 0, PAGES_OF(SIZE), 0, bitmap, MAX_WORDS, &dirty));
  CHECK_OK(gmap_dirty_clear(space, SLOT, 0, PAGES_OF(SIZE), 0, bitmap));
  CHECK_OK(gmap_unmap(space, GUEST + PAGE, MIB, 0, NULL));
  CHECK_OK(gmap_discard(space, GUEST + PAGE, MIB, 0, NULL));
  CHECK_OK(gmap_split(space, GUEST, SIZE, 0, NULL));
  CHECK_OK(gmap_collapse(space, GUEST, SIZE, 0, NULL));
  CHECK_OK(gmap_age(space, GUEST, SIZE, 0, NULL));
  CHECK_OK(gmap_space_set_limit(space, 8192 * MIB - 1));
  CHECK_OK(gmap_space_set_limit(space, 1024 * MIB - 1));
  CHECK_OK(gmap_image_export(space, 0, &sink, &asce));
  epochs();
}

/* Handles and slots come and go, until garbage was surely collected: each list of views is garbage at the next. */
static void pressure(void) {
  static uint64_t vcpus[1200];
  const uint64_t n = sizeof vcpus / sizeof *vcpus;
  uint64_t i;
  for (i = 0; i < n; i++) REQUIRE_OK(open_vcpu(space, 0, &vcpus[i], NULL));
  for (i = 0; i < n; i++) REQUIRE_OK(gmap_vcpu_close(vcpus[i]));
  for (i = 0; i < 20; i++) {
    CHECK_OK(set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, memory));
    CHECK_OK(set_slot(space, 8, 0, 512 * MIB, MIB, memory));
    CHECK_OK(set_slot(space, 8, 0, 0, 0, NULL));
  }
}

static void backing(void) {
  gmap_backing_config config;
  uint64_t handle, dirty = 0;
  int32_t fd;
  gmap_status status;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.kind = GMAP_BACKING_USERFAULTFD_ASYNC;
  REQUIRE_OK(set_slot(space, 9, GMAP_SLOT_LOG_DIRTY, 768 * MIB, BACKED, backed_memory));
  status = gmap_backing_attach(space, 9, &config, &handle);
  if (status == GMAP_EOPNOTSUPP) return; /* an old kernel: nothing more is called */
  if (!CHECK_OK(status)) return;
  backed_memory[3 * PAGE] = 1;
  CHECK_OK(gmap_backing_fd(handle, &fd));
  CHECK_OK(gmap_dirty_harvest(space, 9, 0, PAGES_OF(BACKED), 0, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  CHECK_OK(gmap_backing_detach(handle));
}

static void workout(void) {
  int i;
  mark("engine");
  make_world();
  mark("steady");
  steady();
  mark("waits");
  waiting();
  mark("threads");
  __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
  await(&attached, THREADS + 1);
  if (is_steady) filter("steady");
  __atomic_store_n(&filtered, 1, __ATOMIC_SEQ_CST);
  for (i = 0; i < 4; i++) waiting();
  mark("pressure");
  pressure();
  __atomic_store_n(&stop_now, 1, __ATOMIC_SEQ_CST);
  mark("kick");
  __atomic_store_n(&go, 2, __ATOMIC_SEQ_CST);
  await(&go, 3);
  CHECK_OK(gmap_unmap(space, GUEST, SIZE, 0, NULL));
  mark("backing");
  if (!is_steady) backing();
}


int main(int argc, char **argv) {
  static char output[4096];
  const char *what = argc > 1 ? argv[1] : "";
  pthread_t threads[THREADS + 1];
  uint64_t i;
  traced = strcmp(what, "trace") == 0;
  is_steady = strcmp(what, "steady") == 0;
  left_out = argc > 2 ? argv[2] : NULL;
  setvbuf(stdout, output, _IOFBF, sizeof output); /* or it asks for the kind of file at the first line */
  memory = guest_memory(SIZE);
  backed_memory = guest_memory(BACKED);
  for (i = 0; i < THREADS; i++) REQUIRE(pthread_create(&threads[i], NULL, walk, (void *)(uintptr_t)i) == 0);
  REQUIRE(pthread_create(&threads[THREADS], NULL, stay, NULL) == 0);
  await(&ready, THREADS + 1);
  if (strcmp(what, "all") == 0) filter(what);
  mark("init");
  REQUIRE_OK(gmap_runtime_init());
  if (strcmp(what, "init") == 0 || strcmp(what, "kill") == 0) filter(what);
  workout();
  mark("ends");
  for (i = 0; i <= THREADS; i++) pthread_join(threads[i], NULL);
  for (i = 0; is_steady && i < THREADS; i++) CHECK_OK(gmap_vcpu_close(orphans[i]));
  mark("destroy");
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(engine));
  mark("over");
  return check_done("sandboxed");
}
