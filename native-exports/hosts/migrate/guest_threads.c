/* SPDX-License-Identifier: MIT
 * The threads guest: every access goes through gmap_inline.h, every step is one section. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "digest.h"
#include "gmap_inline.h"
#include "guest.h"

struct cpu {
  gmap_view *view;
  gmap_status status; /* the first access that failed */
  uint64_t fault_addr;
};

static uint64_t cpu_load(struct cpu *cpu, uint64_t guest_addr) {
  void *host;
  gmap_status status = gmap_load_resolve(cpu->view, guest_addr, 8, &host, NULL);
  if (status == 0) return *(uint64_t *)host;
  if (!cpu->status) cpu->status = status, cpu->fault_addr = guest_addr;
  return 0;
}

static void cpu_store(struct cpu *cpu, uint64_t guest_addr, uint64_t value) {
  void *host;
  gmap_status status = gmap_store_resolve(cpu->view, guest_addr, 8, &host, NULL);
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
      atomic_store(&guest->failed, true);
      complain("the guest's access to 0x%llx failed: %s", (unsigned long long)cpu->fault_addr,
               gmap_strerror(cpu->status));
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
  struct cpu cpu = {0};
  uint64_t vcpu;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_status status = gmap_vcpu_open(guest->machine->space, &config, &vcpu, &cpu.view);
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
  struct worker *workers = calloc(guest->header.threads, sizeof *workers);
  if (!workers) return complain("out of memory");
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    workers[i].guest = guest;
    workers[i].program = program_layout(SEGMENT + i * guest->header.partition, guest->header.partition);
  }
  guest->state = workers;
  return DONE;
}

static int threads_prepare(struct guest *guest) {
  if (make_workers(guest) != DONE) return FAILED;
  struct worker *workers = guest->state;
  for (uint64_t i = 0; i < guest->header.threads; i++) /* before the slot is tracked, as a loader would */
    program_fill(guest->machine->memory, &workers[i].program, guest->header.seed, guest->header.steps);
  return DONE;
}

static int threads_adopt(struct guest *guest) { return make_workers(guest); }

static int threads_stop(struct guest *guest) {
  struct worker *workers = guest->state;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    if (workers[i].started) pthread_join(workers[i].thread, NULL);
    workers[i].started = false;
  }
  return DONE;
}

static int threads_start(struct guest *guest) {
  struct worker *workers = guest->state;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    int error = pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
    workers[i].started = error == 0;
    if (!error) continue;
    pacer_stop(&guest->pacer);
    threads_stop(guest);
    return complain("starting guest thread %llu: %s", (unsigned long long)i, strerror(error));
  }
  return DONE;
}

/* Waits for the end of every program. */
static bool wait_all(struct guest *guest, struct stream *alive) {
  struct worker *workers = guest->state;
  uint64_t last = now_ns();
  for (uint64_t i = 0; i < guest->header.threads;) {
    if (atomic_load(&guest->failed) || !guest_alive(alive, &last)) return false;
    if (atomic_load(&workers[i].finished)) i++;
    else nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  return true;
}

static bool threads_complete(struct guest *guest, const struct handover *handover, struct verdict *verdict,
                             struct stream *alive) {
  struct worker *workers = guest->state;
  uint64_t begin = now_ns(), answer = 0, last = 0;
  bool whole = guest_start(guest) == DONE && wait_all(guest, alive);
  whole = guest_stop(guest) == DONE && whole;
  verdict->writes = atomic_load(&guest->writes);
  if (!whole) return snprintf(verdict->text, sizeof verdict->text, "the guest did not reach its end"), false;
  for (uint64_t i = 0; i < guest->header.threads; i++) {
    last = workers[i].first_step_ns > last ? workers[i].first_step_ns : last;
    uint64_t part = digest_pages(guest->machine->memory + workers[i].program.base, guest->header.partition);
    answer = mix64(answer ^ part);
  }
  verdict->resume_ns = last - begin;
  verdict->answer = answer;
  snprintf(verdict->text, sizeof verdict->text, "the guest reached its end after %llu more steps%s: answer %016llx, %s",
           (unsigned long long)verdict->writes, verdict->writes ? "" : " (give it more --steps)",
           (unsigned long long)answer, answer == handover->answer ? "as known beforehand" : "NOT the known one");
  return answer == handover->answer;
}

static void threads_close(struct guest *guest) { free(guest->state); }

const struct guest_ops guest_threads = {.name = "threads", .prepare = threads_prepare, .adopt = threads_adopt,
                                        .start = threads_start, .stop = threads_stop, .complete = threads_complete,
                                        .close = threads_close};
