// What a reader costs that has lost its processor inside a section: it is stopped there for a known time, and a harvest
// that has found something waits for it. With a kick (gmap_engine_config) the host has a way to make it leave: here a
// signal that ends its sleep, as one makes a vcpu's thread come out of KVM_RUN or of translated code.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include "costs.h"

#define STOPPED_NS 20000000 // five time slices of the kernel

static guest g;
static pthread_t reader;
static int inside, stop;
static volatile sig_atomic_t kicked;

static void on_signal(int number) {
  (void)number;
  kicked = 1;
}

static void kick(void *user, uint64_t vcpu) {
  (void)user;
  (void)vcpu; // there is one
  pthread_kill(reader, SIGUSR1);
}

static void nothing(void *user, uint64_t vcpu) {
  (void)user;
  (void)vcpu;
}

// Stays inside for the time, or until it is kicked, then enters anew, until it is told to stop.
static void *read_on(void *argument) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t vcpu;
  gmap_view *view;
  CHECK(gmap_vcpu_open(g.space, &config, &vcpu, &view));
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    struct timespec left = {0, STOPPED_NS};
    kicked = 0;
    gmap_enter(view);
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    while (!kicked && nanosleep(&left, &left) != 0 && errno == EINTR) continue;
    gmap_leave(view);
    while (__atomic_load_n(&inside, __ATOMIC_ACQUIRE) && !__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
      struct timespec moment = {0, 100000};
      nanosleep(&moment, NULL);
    }
  }
  CHECK(gmap_vcpu_close(vcpu));
  return argument;
}

// us of a harvest of one page while the reader has just been stopped, or while nobody is inside.
static double harvest_one(int wait_inside) {
  double begin;
  gmap_enter(g.view);
  guest_store(&g, 8 * MIB);
  gmap_leave(g.view);
  if (wait_inside) {
    __atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE)) sched_yield();
  }
  begin = now_ns();
  if (guest_harvest(&g, GMAP_HARVEST_OR) != 1) exit(2);
  return (now_ns() - begin) / 1e3;
}

static void measure(int with_kick, figures *held, figures *alone) {
  stop = inside = 0;
  guest_open_kicked(&g, 1, with_kick ? kick : nothing);
  guest_split(&g);
  for (int round = -1; round < rounds; round++) put(alone, round, harvest_one(0));
  if (pthread_create(&reader, NULL, read_on, NULL) != 0) exit(1);
  for (int round = -1; round < rounds; round++) put(held, round, harvest_one(1));
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  pthread_join(reader, NULL);
  guest_close(&g);
}

void held_up(void) {
  static figures plain, kicked_out, alone, time;
  struct sigaction action, before;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  if (sigaction(SIGUSR1, &action, &before) != 0) exit(1);
  report_progress("harvests that a stopped reader holds up");
  for (int round = 0; round < rounds; round++) put(&time, round, STOPPED_NS / 1e3);
  measure(0, &plain, &alone);
  measure(1, &kicked_out, &alone);
  sigaction(SIGUSR1, &before, NULL);
  report_row("harvest of one page, 1 GiB, a reader stopped inside for 20 ms, no kick", &plain, "us",
             "the time it is stopped", &time, none);
  report_row("harvest of one page, 1 GiB, a reader stopped inside for 20 ms, kicked", &kicked_out, "us",
             "the time it would be stopped", &time, none);
  report_row("harvest of one page, 1 GiB, a reader stopped inside for 20 ms, kicked", &kicked_out, "us",
             "ours, nobody inside", &alone, none);
}
