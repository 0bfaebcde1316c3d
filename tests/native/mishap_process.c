/* SPDX-License-Identifier: MIT
 *
 * mishap_process.c - children and signals.
 *
 *   mishap_process fork      children that exec, _exit, exit, touch a table; vfork and posix_spawn; beside vcpus and
 *                            harvests that run
 *   mishap_process signals   a storm of signals while calls wait and backings are scanned; what the runtime does with
 *                            SIGSEGV, SIGPIPE and SIGRTMIN
 *   mishap_process early     handlers that were there before the library's first call */
#include "mishap.h"

#include <setjmp.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)
#define RUNNERS 2

extern char **environ;

static fixture f;
static uint64_t bitmap[MAX_WORDS];
static int stop, running;
static uint64_t stores, harvests;

/* ---- vcpus and a harvester that run meanwhile ------------------------------------------------------------------- */

static void *store_on(void *argument) {
  uint64_t vcpu, n, seed = (uint64_t)(uintptr_t)argument;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
  for (n = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); n++) {
    gmap_enter(view);
    CHECK_OK(store8(view, GUEST + (n * 7 + seed) % PAGES * PAGE, n, NULL));
    gmap_leave(view);
    __atomic_fetch_add(&stores, 1, __ATOMIC_SEQ_CST);
    if (n % 64 == 0) pause_ms(1); /* this machine runs other tests too */
  }
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void *harvest_on(void *argument) {
  uint64_t dirty;
  (void)argument;
  __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
    CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
    CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
    __atomic_fetch_add(&harvests, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void start_running(pthread_t *threads) {
  uint64_t i;
  stop = running = 0;
  for (i = 0; i < RUNNERS; i++) REQUIRE(pthread_create(&threads[i], NULL, store_on, (void *)(uintptr_t)i) == 0);
  REQUIRE(pthread_create(&threads[RUNNERS], NULL, harvest_on, NULL) == 0);
  await(&running, RUNNERS + 1);
}

static void stop_running(pthread_t *threads) {
  unsigned i;
  reach(&stop, 1);
  for (i = 0; i <= RUNNERS; i++) pthread_join(threads[i], NULL);
}

/* The parent's threads got further than they were. */
static void goes_on(void) {
  uint64_t stores_then = __atomic_load_n(&stores, __ATOMIC_SEQ_CST);
  uint64_t harvests_then = __atomic_load_n(&harvests, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&stores, __ATOMIC_SEQ_CST) == stores_then) pause_ms(1);
  while (__atomic_load_n(&harvests, __ATOMIC_SEQ_CST) == harvests_then) pause_ms(1);
}

/* ---- fork ------------------------------------------------------------------------------------------------------- */

static int outcome(pid_t child) {
  int status = -1;
  REQUIRE(child > 0);
  while (waitpid(child, &status, 0) != child) REQUIRE(errno == EINTR);
  return status;
}

static void children(void) {
  pthread_t threads[RUNNERS + 1];
  char *arguments[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "exit 5", NULL};
  uint64_t asce = 0, round;
  int status;
  pid_t child;
  mishap_open(&f, SIZE, FOR_EVER, count_kick, NULL, NULL);
  CHECK_OK(gmap_space_get_asce(f.space, &asce));
  start_running(threads);
  for (round = 0; round < 5; round++) {
    mishap("a child that execs");
    if ((child = fork()) == 0) {
      execv("/bin/sh", arguments);
      _exit(99);
    }
    goes_on();
    status = outcome(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    mishap("a child that ends by _exit");
    if ((child = fork()) == 0) _exit(6);
    status = outcome(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
    mishap("a child that ends by exit");
    if ((child = fork()) == 0) exit(7);
    status = outcome(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    mishap("a child that touches a table");
    if ((child = fork()) == 0) _exit((int)*(volatile uint64_t *)(uintptr_t)(asce & GMAP_ASCE_ORIGIN) & 1);
    status = outcome(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    mishap("posix_spawn");
    REQUIRE(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0);
    status = outcome(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    mishap("system");
    CHECK_EQUAL(WEXITSTATUS(system("exit 8")), 8);
    goes_on();
  }
  mishap("the end of the parents' threads");
  stop_running(threads);
  harvest(&f, bitmap);
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  mishap_close(&f);
}

/* A slot that the kernel tracks, in the parent: what it writes after the fork is seen, what the child writes is not. */
static void a_backing_over_a_fork(void) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  uint64_t backing;
  int status, pipes[2];
  pid_t child;
  char byte = 0;
  gmap_status attached;
  mishap("a backing over a fork");
  mishap_open(&f, SIZE, FOR_EVER, NULL, NULL, NULL);
  memset(f.memory, 1, SIZE);
  attached = gmap_backing_attach(f.space, SLOT, &config, &backing);
  if (attached == GMAP_EOPNOTSUPP) {
    printf("mishap_process: a backing over a fork: not on this kernel\n");
    mishap_close(&f);
    return;
  }
  REQUIRE_OK(attached);
  harvest(&f, bitmap);
  REQUIRE(pipe(pipes) == 0);
  if ((child = fork()) == 0) {
    f.memory[7 * PAGE] = 2; /* the child's own copy */
    _exit(read(pipes[0], &byte, 1) == 1 && f.memory[9 * PAGE] == 1 ? 0 : 1);
  }
  f.memory[8 * PAGE] = 2;
  f.memory[9 * PAGE] = 2;
  CHECK_EQUAL(harvest(&f, bitmap), 2);
  CHECK_PAGES(bitmap, PAGES, 8, 9);
  f.memory[9 * PAGE] = 3; /* armed again, though the child shared it */
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  REQUIRE(write(pipes[1], &byte, 1) == 1);
  status = outcome(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  CHECK_OK(gmap_backing_detach(backing));
  mishap_close(&f);
}

/* ---- Signals ---------------------------------------------------------------------------------------------------- */

static unsigned storms;

static void on_storm(int number) {
  (void)number;
  __atomic_fetch_add(&storms, 1, __ATOMIC_SEQ_CST);
}

static void *send_storm(void *argument) {
  const pthread_t *threads = (const pthread_t *)argument;
  unsigned i;
  while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
    for (i = 0; threads[i]; i++) pthread_kill(threads[i], SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  }
  return NULL;
}

static void *scan_on(void *argument) {
  uint64_t dirty, n;
  (void)argument;
  for (n = 0; n < 200; n++) {
    f.memory[n % 256 * PAGE] ^= 1;
    CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
    CHECK_EQUAL(dirty, 1);
  }
  return NULL;
}

static void install(int number, void (*handler)(int), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = flags;
  REQUIRE(sigaction(number, &action, NULL) == 0);
}

/* One thread stays inside and is stormed while it waits to be told; the harvest that waits for it is stormed too. */
static void *stay_inside(void *argument) {
  uint64_t vcpu;
  gmap_view *view;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  gmap_enter(view);
  CHECK_OK(store8(view, GUEST + 3 * PAGE, 1, NULL));
  reach((int *)argument, 1);
  await((int *)argument, 2);
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void a_storm(void) {
  static waiting_harvest waiting;
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  pthread_t inside_thread, storm, stormed[4] = {0};
  uint64_t backing;
  int inside = 0;
  unsigned before;
  gmap_status attached;
  mishap("a storm of signals while a harvest waits");
  install(SIGUSR1, on_storm, 0); /* no SA_RESTART */
  mishap_open(&f, SIZE, FOR_EVER, count_kick, NULL, NULL);
  REQUIRE(pthread_create(&inside_thread, NULL, stay_inside, &inside) == 0);
  await(&inside, 1);
  begin_waiting_harvest(&waiting, &f);
  stormed[0] = inside_thread;
  stormed[1] = waiting.thread;
  stop = 0;
  REQUIRE(pthread_create(&storm, NULL, send_storm, stormed) == 0);
  before = __atomic_load_n(&storms, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&storms, __ATOMIC_SEQ_CST) < before + 200) sched_yield();
  CHECK_EQUAL(waiting.ended, 0); /* a signal ends no wait */
  reach(&stop, 1);
  pthread_join(storm, NULL);
  reach(&inside, 2);
  end_waiting_harvest(&waiting);
  CHECK_OK(waiting.status);
  CHECK_PAGES(waiting.bitmap, PAGES, 3);
  pthread_join(inside_thread, NULL);

  mishap("a storm of signals while a backing is scanned");
  attached = gmap_backing_attach(f.space, SLOT, &config, &backing);
  if (attached == 0) {
    memset(&waiting, 0, sizeof waiting);
    harvest(&f, bitmap);
    REQUIRE(pthread_create(&waiting.thread, NULL, scan_on, NULL) == 0);
    stormed[0] = waiting.thread;
    stormed[1] = 0;
    stop = 0;
    before = storms;
    REQUIRE(pthread_create(&storm, NULL, send_storm, stormed) == 0);
    pthread_join(waiting.thread, NULL);
    reach(&stop, 1);
    pthread_join(storm, NULL);
    CHECK_OK(gmap_backing_detach(backing));
  } else {
    CHECK_STATUS(attached, GMAP_EOPNOTSUPP);
    printf("mishap_process: a storm while a backing is scanned: not on this kernel\n");
  }
  mishap_close(&f);
}

static sigjmp_buf back;
static struct sigaction runtimes; /* what was there before ours */
static unsigned char *fence_page;
static unsigned own_faults, on_own_stack;
static stack_t own_stack;

/* A host's handler, as the header asks for: what is not its own goes to the one before. */
static void on_segv(int number, siginfo_t *info, void *context) {
  unsigned char here;
  unsigned char *base = (unsigned char *)own_stack.ss_sp;
  if (base && &here >= base && &here < base + own_stack.ss_size) on_own_stack++;
  if (info->si_addr == fence_page) {
    own_faults++;
    siglongjmp(back, 1);
  }
  if (runtimes.sa_flags & SA_SIGINFO) runtimes.sa_sigaction(number, info, context);
  else signal(SIGSEGV, SIG_DFL);
}

static void install_segv(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_segv;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  REQUIRE(sigaction(SIGSEGV, &action, &runtimes) == 0);
}

/* A guest's access faults in the host, inside: the handler jumps out, the next enter ends the section. */
static void faults_of_the_hosts_own(void) {
  uint64_t vcpu;
  gmap_view *view;
  int round;
  mishap_open(&f, SIZE, 20 * MILLISECONDS, NULL, NULL, NULL);
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  for (round = 0; round < 3; round++) {
    if (sigsetjmp(back, 1) == 0) {
      gmap_enter(view);
      CHECK_OK(store8(view, GUEST + (uint64_t)round * PAGE, 1, NULL));
      *(volatile unsigned char *)fence_page = 1;
      CHECK(!"the page is not there");
    }
    gmap_enter(view);
    gmap_leave(view);
    CHECK_EQUAL(harvest(&f, bitmap), 1);
  }
  CHECK_EQUAL(own_faults, 3);
  CHECK_EQUAL(on_own_stack, 3);
  CHECK_OK(gmap_vcpu_close(vcpu));
  mishap_close(&f);
}

static void make_fences(void) {
  fence_page = (unsigned char *)mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(fence_page != MAP_FAILED);
  own_stack.ss_size = 64 * 1024;
  own_stack.ss_sp = malloc(own_stack.ss_size);
  REQUIRE(own_stack.ss_sp && sigaltstack(&own_stack, NULL) == 0);
}

static void what_the_runtime_installed(int on_stack) {
  struct sigaction now;
  int pipes[2];
  mishap("SIGPIPE, SIGRTMIN, SIGFPE");
  CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
  CHECK(sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler != SIG_DFL);
  CHECK_EQUAL((now.sa_flags & SA_ONSTACK) != 0, on_stack);
  CHECK(sigaction(SIGFPE, NULL, &now) == 0 && now.sa_handler != SIG_DFL);
  CHECK(sigaction(SIGRTMIN, NULL, &now) == 0 && now.sa_handler != SIG_DFL);
  REQUIRE(pipe(pipes) == 0);
  close(pipes[0]);
  CHECK(write(pipes[1], "x", 1) == -1 && errno == EPIPE);
  close(pipes[1]);
  CHECK(raise(SIGRTMIN) == 0); /* a stray one does no harm */
}

/* A fault that is nobody's ends the process by SIGSEGV, through both handlers. */
static void a_fault_that_is_nobodys(void) {
  int status;
  pid_t child;
  mishap("a fault that is nobody's");
  fflush(stdout);
  if ((child = fork()) == 0) {
    *(volatile unsigned char *)(uintptr_t)(fence_page + 8) = 1;
    _exit(0);
  }
  status = outcome(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* As QEMU's vcpu threads: the runtime cannot stop it by a signal, and waits until its call ends. */
static void *store_with_signals_blocked(void *argument) {
  sigset_t all;
  sigfillset(&all);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
  return store_on(argument);
}

/* Engines and spaces come and go, enough of them that the runtime collects. */
static void threads_that_block_signals(void) {
  pthread_t threads[RUNNERS];
  mishap("threads that block all signals");
  mishap_open(&f, SIZE, 0, NULL, NULL, NULL);
  stop = running = 0;
  for (uintptr_t i = 0; i < RUNNERS; i++)
    REQUIRE(pthread_create(&threads[i], NULL, store_with_signals_blocked, (void *)i) == 0);
  while (__atomic_load_n(&running, __ATOMIC_SEQ_CST) != RUNNERS) pause_ms(1);
  for (unsigned round = 0; round < 300; round++) {
    uint64_t engine = engine_of(MIB), space;
    gmap_space_config config = space_config(MIB);
    CHECK_OK(gmap_space_create(engine, &config, &space));
    CHECK_OK(gmap_space_destroy(space));
    CHECK_OK(gmap_engine_destroy(engine));
    if (round % 10 == 0) (void)harvest(&f, bitmap);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < RUNNERS; i++) REQUIRE(pthread_join(threads[i], NULL) == 0);
  mishap_close(&f);
}

static void signals(void) {
  make_fences();
  REQUIRE_OK(gmap_runtime_init());
  what_the_runtime_installed(0);
  install_segv(); /* after it, as the header says */
  mishap("faults of the host's own");
  faults_of_the_hosts_own();
  a_fault_that_is_nobodys();
  a_storm();
  threads_that_block_signals();
}

/* The other order: the runtime hands on what is not its own, on the stack that the handler asked for; SIGPIPE is
 * taken away. */
static void early(void) {
  mishap("handlers from before");
  make_fences();
  install_segv();
  install(SIGPIPE, on_storm, 0);
  REQUIRE_OK(gmap_runtime_init());
  what_the_runtime_installed(1);
  faults_of_the_hosts_own();
  a_fault_that_is_nobodys();
  install(SIGPIPE, on_storm, 0); /* once more, and it stays */
  mishap_open(&f, SIZE, 0, NULL, NULL, NULL);
  storms = 0;
  CHECK(raise(SIGPIPE) == 0 && storms == 1);
  mishap_close(&f);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "fork") == 0) {
    children();
    a_backing_over_a_fork();
  } else if (strcmp(what, "signals") == 0) {
    signals();
  } else if (strcmp(what, "early") == 0) {
    early();
  } else {
    REQUIRE(!"usage: mishap_process fork|signals|early");
  }
  return check_done("mishap_process");
}
