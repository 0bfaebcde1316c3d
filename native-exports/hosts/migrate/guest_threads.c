/* SPDX-License-Identifier: MIT
 * The threads guest: every access goes through gmap_inline.h, every step is one section. As a nested guest its threads run
 * in a shadow, on tables that change under them (guest_nested.h). */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arrivals.h"
#include "digest.h"
#include "gmap_inline.h"
#include "guest.h"
#include "guest_nested.h"

struct cpu {
  gmap_view *view;
  struct guest *guest;
  uint32_t number;
  gmap_status status; /* the first access that failed */
  uint64_t fault_addr;
};

/* A page that has not arrived yet; or one that the outer guest is just moving: its own page fault, after which it is there again. */
static bool comes_back(struct cpu *cpu, gmap_status status, uint64_t guest_addr) {
  struct arrivals *arrivals = cpu->guest->arrivals;
  if (status == GMAP_EAGAIN && arrivals) {
    gmap_leave(cpu->view);
    bool there = arrivals_wait(arrivals, cpu->number, guest_addr);
    gmap_enter(cpu->view);
    return there;
  }
  bool moving = cpu->guest->header.kind == GUEST_NESTED &&
                (status == GMAP_PIC_PAGE_TRANSLATION || status == GMAP_PIC_SEGMENT_TRANSLATION || status == GMAP_EAGAIN);
  if (!moving || atomic_load(&cpu->guest->failed)) return false;
  gmap_leave(cpu->view);
  sched_yield();
  gmap_enter(cpu->view);
  return true;
}

static uint64_t cpu_load(struct cpu *cpu, uint64_t guest_addr) {
  void *host;
  gmap_status status;
  do status = gmap_load_resolve(cpu->view, guest_addr, 8, &host, NULL);
  while (status && comes_back(cpu, status, guest_addr));
  if (status == 0) return *(uint64_t *)host;
  if (!cpu->status) cpu->status = status, cpu->fault_addr = guest_addr;
  return 0;
}

static void cpu_store(struct cpu *cpu, uint64_t guest_addr, uint64_t value) {
  void *host;
  gmap_status status;
  do status = gmap_store_resolve(cpu->view, guest_addr, 8, &host, NULL);
  while (status && comes_back(cpu, status, guest_addr));
  if (status == 0) *(uint64_t *)host = value;
  else if (!cpu->status) cpu->status = status, cpu->fault_addr = guest_addr;
}

#include "program.h"

struct worker {
  struct guest *guest;
  struct program program;
  pthread_t thread;
  bool started;
  atomic_bool finished;
  _Atomic uint64_t first_step_ns;
};

struct threads {
  struct worker *workers;
  struct nested *nested; /* NULL: the threads are the guest */
};

/* A batch of steps; false when the program has ended, the guest is being stopped, or an access failed. */
static bool run_batch(struct worker *worker, struct cpu *cpu, uint32_t batch, uint32_t *did) {
  struct guest *guest = worker->guest;
  bool more = true;
  for (*did = 0; *did < batch && more; ++*did) {
    if (pacer_stopping(&guest->pacer)) return false;
    gmap_enter(cpu->view);
    uint64_t step = program_get(cpu, &worker->program, W_STEP);
    more = step < guest->header.steps;
    if (more) program_step(cpu, &worker->program);
    gmap_leave(cpu->view);
    if (cpu->status) {
      if (!atomic_exchange(&guest->failed, true)) /* told once, and not if its pages are known to be lost */
        complain("the guest's access to 0x%llx failed: %s", (unsigned long long)cpu->fault_addr, gmap_strerror(cpu->status));
      return false;
    }
    if (!more) break;
  }
  if (!more) atomic_store(&worker->finished, true);
  return more;
}

static void *run_worker(void *argument) {
  struct worker *worker = argument;
  struct guest *guest = worker->guest;
  const struct threads *state = guest->state;
  struct cpu cpu = {.guest = guest, .number = (uint32_t)(worker - state->workers)};
  uint64_t vcpu, space = state->nested ? nested_space(state->nested) : guest->machine->space;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_status status = gmap_vcpu_open(space, &config, &vcpu, &cpu.view);
  if (status) {
    atomic_store(&guest->failed, true);
    complain("opening a vcpu: %s", gmap_strerror(status));
    return NULL;
  }
  struct pace pace = pacer_begin();
  for (bool more = true, first = true; more; first = false) {
    uint32_t did;
    more = run_batch(worker, &cpu, first ? 1 : pacer_batch(&guest->pacer, 256), &did);
    if (first) atomic_store(&worker->first_step_ns, now_ns());
    atomic_fetch_add(&guest->writes, did);
    if (more) pacer_wait(&guest->pacer, &pace, did);
  }
  gmap_vcpu_close(vcpu);
  return NULL;
}

static int make_workers(struct guest *guest) {
  struct threads *state = calloc(1, sizeof *state);
  guest->state = state;
  if (state) state->workers = calloc(guest->header.threads, sizeof *state->workers);
  if (!state || !state->workers) return complain("out of memory");
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    state->workers[i].guest = guest;
    state->workers[i].program = program_layout(SEGMENT + i * guest->header.partition, guest->header.partition);
  }
  return DONE;
}

static int threads_adopt(struct guest *guest) {
  if (make_workers(guest) != DONE) return FAILED;
  struct threads *state = guest->state;
  if (guest->header.kind != GUEST_NESTED) return DONE;
  state->nested = nested_open(guest);
  return state->nested ? DONE : FAILED;
}

static int threads_prepare(struct guest *guest) {
  bool nested = guest->header.kind == GUEST_NESTED;
  uint8_t *memory = guest->machine->memory + (nested ? nested_shift(&guest->header) : 0);
  for (uint64_t i = 0; i < guest->header.threads; i++) { /* before the slot is tracked, as a loader would */
    struct program program = program_layout(SEGMENT + i * guest->header.partition, guest->header.partition);
    program_fill(memory, &program, guest->header.seed, guest->header.steps);
  }
  if (nested) nested_fill(guest);
  return threads_adopt(guest);
}

static int threads_stop(struct guest *guest) {
  struct threads *state = guest->state;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    if (state->workers[i].started) pthread_join(state->workers[i].thread, NULL);
    state->workers[i].started = false;
  }
  return state->nested ? nested_stop(state->nested) : DONE;
}

static int threads_start(struct guest *guest) {
  struct threads *state = guest->state;
  if (state->nested && nested_start(state->nested) != DONE) return FAILED;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    int error = pthread_create(&state->workers[i].thread, NULL, run_worker, &state->workers[i]);
    state->workers[i].started = error == 0;
    if (!error) continue;
    pacer_stop(&guest->pacer);
    threads_stop(guest);
    return complain("starting guest thread %llu: %s", (unsigned long long)i, strerror(error));
  }
  return DONE;
}

/* Waits for the end of every program. */
static bool wait_all(struct guest *guest, struct stream *alive) {
  struct worker *workers = ((struct threads *)guest->state)->workers;
  uint64_t last = now_ns();
  for (uint64_t i = 0; i < guest->header.threads;) {
    if (atomic_load(&guest->failed) || !guest_alive(alive, &last)) return false;
    if (atomic_load(&workers[i].finished)) i++;
    else nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  return true;
}

/* Of a partition as the threads see it, wherever its pages are. */
static bool digest_partition(const struct guest *guest, uint64_t base, uint64_t *digest) {
  const struct threads *state = guest->state;
  if (!state->nested) return *digest = digest_pages(guest->machine->memory + base, guest->header.partition), true;
  uint8_t *pages = malloc(guest->header.partition);
  if (!pages) return false;
  nested_read(state->nested, base, pages, guest->header.partition);
  *digest = digest_pages(pages, guest->header.partition);
  free(pages);
  return true;
}

static bool threads_complete(struct guest *guest, const struct handover *handover, struct verdict *verdict,
                             struct stream *alive) {
  const struct threads *state = guest->state;
  struct worker *workers = state->workers;
  uint64_t begin = now_ns(), answer = 0, last = 0;
  bool whole = guest_start(guest) == DONE && wait_all(guest, alive);
  whole = guest_stop(guest) == DONE && whole && (!guest->arrivals || arrivals_all(guest->arrivals));
  verdict->writes = atomic_load(&guest->writes);
  if (!whole) return snprintf(verdict->text, sizeof verdict->text, "the guest did not reach its end"), false;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    last = workers[i].first_step_ns > last ? workers[i].first_step_ns : last;
    uint64_t part;
    if (!digest_partition(guest, workers[i].program.base, &part))
      return snprintf(verdict->text, sizeof verdict->text, "out of memory for the check"), false;
    answer = mix64(answer ^ part);
  }
  verdict->resume_ns = last - begin;
  verdict->answer = answer;
  char moved[60] = "";
  if (state->nested) snprintf(moved, sizeof moved, ", %llu pages moved under it", (unsigned long long)nested_moves(state->nested));
  snprintf(verdict->text, sizeof verdict->text, "the guest reached its end after %llu more steps%s%s: answer %016llx, %s",
           (unsigned long long)verdict->writes, verdict->writes ? "" : " (give it more --steps)", moved,
           (unsigned long long)answer, answer == handover->answer ? "as known beforehand" : "NOT the known one");
  return answer == handover->answer;
}

static void threads_close(struct guest *guest) {
  struct threads *state = guest->state;
  if (!state) return;
  nested_close(state->nested);
  free(state->workers);
  free(state);
}

const struct guest_ops guest_threads = {.name = "threads", .prepare = threads_prepare, .adopt = threads_adopt,
                                        .start = threads_start, .stop = threads_stop, .complete = threads_complete,
                                        .close = threads_close};
