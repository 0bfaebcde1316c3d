/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_GMAP 0x5000u /* pages below GUEST_LOW that the guest does not use */
#define STORE_KERNEL 0x6000u
#define NOBODYS 0x7000u

static int open_bitmaps(struct session *s) {
  s->words = (s->machine.pages + 63) / 64;
  s->ours = calloc(s->words, 8);
  s->theirs = calloc(s->words, 8);
  s->own = calloc(s->words, 8);
  return s->ours && s->theirs && s->own ? DONE : complain("out of memory");
}

int session_open(struct session *s, const struct settings *settings) {
  *s = (struct session){.settings = settings, .random = settings->options.seed};
  struct options forever = settings->options;
  forever.steps = VMGUEST_FOREVER;
  forever.rate = 0;
  vmguest_use_log(settings->log);
  if (machine_create(&s->machine, settings->options.memory, GMAP_SPLIT_LAZY) != DONE) return FAILED;
  if (open_bitmaps(s) != DONE || guest_create(&s->guest, &s->machine, GUEST_KVM, &forever) != DONE) return FAILED;
  s->vm = vmguest_vm(&s->guest);
  if (machine_attach(&s->machine) != DONE || machine_log(&s->machine) != DONE) return FAILED;
  return session_harvest_ours(s) == DONE && session_harvest_theirs(s) == DONE ? DONE : FAILED;
}

void session_close(struct session *s) {
  if (s->guest.ops) guest_destroy(&s->guest);
  if (s->machine.memory) machine_destroy(&s->machine);
  free(s->ours);
  free(s->theirs);
  free(s->own);
}

static void stored(struct session *s, uint64_t address) {
  uint64_t page = address / PAGE;
  if (!session_bit(s->own, page)) s->own_stores++;
  s->own[page / 64] |= 1ull << (page % 64);
}

/* read(2) into guest memory. */
static int store_by_kernel(struct session *s, uint64_t value) {
  int ends[2];
  if (pipe(ends) != 0) return complain("pipe: %s", strerror(errno));
  bool good = write(ends[1], &value, sizeof value) == sizeof value &&
              read(ends[0], s->machine.memory + STORE_KERNEL, sizeof value) == sizeof value;
  close(ends[0]);
  close(ends[1]);
  return good ? DONE : complain("reading into guest memory: %s", strerror(errno));
}

int session_store(struct session *s, uint64_t round) {
  __atomic_store_n((uint64_t *)(s->machine.memory + GUEST_ROUND), round, __ATOMIC_SEQ_CST);
  stored(s, GUEST_ROUND);
  if (round % 2) {
    gmap_status status = gmap_write(s->machine.space, STORE_GMAP, &round, sizeof round);
    if (status) return complain("gmap_write: %s", gmap_strerror(status));
    stored(s, STORE_GMAP);
  }
  if (round % 3) return DONE;
  stored(s, STORE_KERNEL);
  return store_by_kernel(s, round);
}

int session_harvest_ours(struct session *s) {
  uint64_t pages;
  return machine_harvest(&s->machine, s->ours, &pages);
}

int session_harvest_theirs(struct session *s) {
  memset(s->theirs, 0, s->words * 8);
  return vm_harvest(s->vm, s->theirs);
}

/* From a quarter of it to seven quarters, so that rounds end at all places of the guest's program. */
void session_pause(struct session *s) {
  uint64_t us = s->settings->round_us;
  s->random = mix64(s->random + 0x9E3779B97F4A7C15ull);
  struct timespec pause = time_of_ns((us / 4 + s->random % (us * 3 / 2 + 1)) * 1000);
  while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

void session_rings(const struct session *s, uint64_t rings[GUEST_CPUS]) {
  for (uint32_t i = 0; i < GUEST_CPUS; i++) rings[i] = atomic_load(&s->vm->cpus[i].rings);
}

void session_invent(struct session *s) { s->ours[NOBODYS / PAGE / 64] |= 1ull << (NOBODYS / PAGE % 64); }

void session_json_count(const char *name, uint64_t value) { printf(",\"%s\":%llu", name, (unsigned long long)value); }

void session_json(const struct session *s, bool good) {
  printf("{\"status\":\"%s\",\"verified\":%s,\"log\":\"%s\"", good ? "verified" : "failed", good ? "true" : "false",
         log_name(s->settings->log));
  session_json_count("memory", s->machine.size);
  session_json_count("rounds", s->round);
  session_json_count("steps", atomic_load(&s->guest.writes));
  session_json_count("wrong_pages", vmguest_wrong(&s->guest));
}
