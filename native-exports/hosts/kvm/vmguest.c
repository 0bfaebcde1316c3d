/* SPDX-License-Identifier: MIT */
#include "vmguest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "digest.h"
#include "guest_program.h"
#include "layout_build.h"

#define MAGIC 0x314D564B475547ull /* "GUGKVM1" */

struct outside { /* the STATE frame of this guest */
  struct vcpu_state cpus[GUEST_CPUS];
  struct serial_state serial;
};

_Static_assert(sizeof(struct outside) <= STREAM_MAX_STATE, "fits into a STATE frame");

static enum vm_log the_log = VM_LOG_NONE;

void vmguest_use_log(enum vm_log log) { the_log = log; }
struct vm *vmguest_vm(const struct guest *guest) { return guest->state; }
bool guest_known(uint32_t kind) { return kind == GUEST_KVM; }
bool guest_image_right(const struct guest *guest) { return guest->header.image_bytes == 0; } /* it has none */

static uint8_t *partition(const struct guest *guest, uint64_t index) {
  return guest->machine->memory + GUEST_LOW + index * guest->header.partition;
}

static uint64_t control(const struct guest *guest, uint64_t index, enum control_word word) {
  return __atomic_load_n((uint64_t *)partition(guest, index) + word, __ATOMIC_RELAXED);
}

uint64_t vmguest_wrong(const struct guest *guest) {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < GUEST_CPUS; i++) wrong += control(guest, i, CONTROL_WRONG);
  return wrong;
}

static int open_vm(struct guest *guest) {
  struct vm *vm = malloc(sizeof *vm);
  if (!vm) return complain("out of memory");
  guest->state = vm;
  return vm_open(vm, guest->machine, &guest->pacer, &guest->writes, the_log);
}

static int prepare(struct guest *guest) {
  layout_build(guest->machine->memory, &guest->header);
  if (open_vm(guest) != DONE) return FAILED;
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    if (vcpu_enter_program(&vmguest_vm(guest)->cpus[i]) != DONE) return FAILED;
  return DONE;
}

static int start(struct guest *guest) { return vm_start(guest->state); }

/* Fills guest->outside each time: the vCPUs' registers are part of every stop. */
static int stop(struct guest *guest) {
  struct vm *vm = guest->state;
  if (vm_stop(vm) != DONE) return FAILED;
  struct outside *outside = guest->outside.bytes ? guest->outside.bytes : calloc(1, sizeof *outside);
  if (!outside) return complain("out of memory");
  guest->outside = (struct guest_state){.bytes = outside, .size = sizeof *outside};
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    if (vcpu_save(&vm->cpus[i], &outside->cpus[i]) != DONE) return FAILED;
  outside->serial = vm->serial.state;
  return DONE;
}

static void close_vm(struct guest *guest) {
  if (!guest->state) return;
  vm_close(guest->state);
  free(guest->state);
  guest->state = NULL;
}

static uint64_t answer_of(const uint8_t *partitions, const struct guest_header *header) {
  return digest_pages(partitions, header->threads * header->partition);
}

/* From the start to the first ring of each vCPU's doorbell. */
static uint64_t resumed_after(struct vm *vm, uint64_t begin) {
  uint64_t last = begin;
  for (uint32_t i = 0; i < GUEST_CPUS; i++) {
    uint64_t first = atomic_load(&vm->cpus[i].first_step_ns);
    if (first > last) last = first;
  }
  return last - begin;
}

static bool complete(struct guest *guest, const struct handover *handover, struct verdict *verdict, struct stream *alive) {
  struct vm *vm = guest->state;
  uint64_t begin = now_ns(), told = begin;
  bool there = guest_start(guest) == DONE;
  while (there && !vm_done(vm) && !atomic_load(&vm->failed)) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    there = guest_alive(alive, &told);
  }
  bool ended = vm_done(vm) && guest_stop(guest) == DONE;
  uint64_t wrong = vmguest_wrong(guest);
  verdict->resume_ns = resumed_after(vm, begin);
  verdict->writes = atomic_load(&guest->writes);
  verdict->answer = answer_of(partition(guest, 0), &guest->header);
  bool good = ended && !wrong && verdict->writes && verdict->answer == handover->answer;
  if (!ended) snprintf(verdict->text, sizeof verdict->text, "the guest did not come to its end");
  else if (!verdict->writes) snprintf(verdict->text, sizeof verdict->text, "the guest had ended before: give it more --steps");
  else if (wrong)
    snprintf(verdict->text, sizeof verdict->text, "the guest found %llu pages not as it had left them",
             (unsigned long long)wrong);
  else
    snprintf(verdict->text, sizeof verdict->text,
             "the guest reached its end after %llu more steps: answer %016llx, %s; it said last: %.60s",
             (unsigned long long)verdict->writes, (unsigned long long)verdict->answer,
             good ? "as known beforehand" : "NOT the one known beforehand", vm->serial.last);
  return good;
}

static int adopt(struct guest *guest) {
  const struct outside *outside = guest->outside.bytes;
  if (open_vm(guest) != DONE) return FAILED;
  struct vm *vm = guest->state;
  if (serial_restore(&vm->serial, &outside->serial) != DONE) return FAILED;
  for (uint32_t i = 0; i < GUEST_CPUS; i++)
    if (vcpu_restore(&vm->cpus[i], &outside->cpus[i]) != DONE) return FAILED;
  return DONE;
}

static const struct guest_ops guest_kvm = {.name = "kvm", .prepare = prepare, .adopt = adopt, .start = start, .stop = stop,
                                           .complete = complete, .close = close_vm};

static uint64_t partition_bytes(uint64_t memory) { return (memory - GUEST_LOW) / GUEST_CPUS / SEGMENT * SEGMENT; }

int guest_create(struct guest *guest, struct machine *machine, enum guest_kind kind, const struct options *options) {
  *guest = (struct guest){.ops = &guest_kvm, .machine = machine};
  guest->header = (struct guest_header){.magic = MAGIC, .kind = kind, .memory = machine->size, .threads = GUEST_CPUS,
                                        .partition = partition_bytes(machine->size), .steps = options->steps,
                                        .seed = options->seed};
  pacer_init(&guest->pacer, options->rate, GUEST_CPUS);
  return guest->ops->prepare(guest);
}

/* The header came over the wire: nothing in it is believed before it fits. */
static bool plausible(const struct guest_header *h, const struct machine *machine) {
  return h->magic == MAGIC && h->kind == GUEST_KVM && h->memory == machine->size && h->memory <= GUEST_MOST &&
         h->threads == GUEST_CPUS && h->partition == partition_bytes(h->memory);
}

int guest_adopt(struct guest *guest, struct machine *machine, uint32_t kind, const struct guest_state *outside) {
  *guest = (struct guest){.ops = &guest_kvm, .machine = machine};
  memcpy(&guest->header, machine->memory + GUEST_HEADER, sizeof guest->header);
  pacer_init(&guest->pacer, 0, GUEST_CPUS);
  if (!guest_known(kind) || !plausible(&guest->header, machine)) return complain("the guest's header is damaged");
  if (outside->size != sizeof(struct outside)) return complain("the state of the guest's vCPUs is damaged, or of another version");
  guest->outside = (struct guest_state){.bytes = malloc(outside->size), .size = outside->size};
  if (!guest->outside.bytes) return complain("out of memory");
  memcpy(guest->outside.bytes, outside->bytes, outside->size);
  return guest->ops->adopt(guest);
}

static void run_reference(uint8_t *at, const struct guest_header *header, uint64_t cpu) {
  static const volatile uint64_t round = 0;
  struct program p = program_at(at, header->partition, header->seed + cpu, &round);
  uint64_t chain = 0;
  program_fill(&p);
  for (uint64_t step = 0; step < header->steps;) {
    for (unsigned i = 0; i < PROGRAM_BATCH; i++, step++) chain = program_mix(chain ^ program_step(&p, step));
    ((uint64_t *)at)[CONTROL_STEP] = step;
    ((uint64_t *)at)[CONTROL_CHAIN] = chain;
  }
}

int vmguest_answer(const struct guest_header *header, uint64_t *answer) {
  uint64_t bytes = header->threads * header->partition;
  uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return complain("memory for the reference run: %s; give less with --memory", strerror(errno));
  for (uint64_t cpu = 0; cpu < header->threads; cpu++) run_reference(memory + cpu * header->partition, header, cpu);
  *answer = answer_of(memory, header);
  munmap(memory, bytes);
  return DONE;
}
