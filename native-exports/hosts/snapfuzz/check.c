/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "watch.h"

static const char probe[] = "%p1;%more;%coded;<!ENTITY z 'a&#38;#60;b'><!ATTLIST e3 x NMTOKENS 'a b'>]>\n"
                            "<e0 a0='x&t2;y' xmlns:n='u'><n:e1>&t9;&bytes;&z;</n:e1><e3/><?p i?><![CDATA[<d>]]></e0><!-- end -->";

static bool run_probe(struct check *check, struct result *result) {
  static struct input input;
  uint64_t pages;
  input.length = sizeof probe - 1;
  memcpy(input.bytes, probe, input.length);
  watch_run(check->target, &input, result, NULL, 0);
  return machine_restore(check->machine, &pages);
}

bool check_open(struct check *check, struct machine *machine, struct target *target, const struct settings *settings) {
  *check = (struct check){.settings = settings, .machine = machine, .target = target, .copy = map_memory(machine->size)};
  if (!check->copy) return false;
  memcpy(check->copy, machine->memory, machine->size);
  if (!run_probe(check, &check->expected)) return false;
  return !check->expected.error || complain("the probe is not well-formed: %s", target_error(check->expected.error));
}

static uint64_t first_difference(const struct check *check, uint64_t from) {
  for (uint64_t at = from; at < check->machine->size; at += PAGE)
    if (memcmp(check->machine->memory + at, check->copy + at, PAGE) != 0) return at;
  return check->machine->size;
}

/* The mistakes, where they are asked for. */
void check_before_restore(struct check *check, uint64_t run) {
  if (run != check->settings->mistake_at) return;
  if (check->settings->mistake == MISTAKE_ALIAS) check->machine->alias[check->machine->size - 64] ^= 1; /* nobody uses that page */
  check->skipped = first_difference(check, 0);
  if (check->skipped < check->machine->size) memcpy(check->page, check->machine->memory + check->skipped, PAGE);
}

static bool tell_difference(struct check *check, uint64_t run, uint64_t page) {
  uint64_t at = page;
  while (check->machine->memory[at] == check->copy[at]) at++;
  complain("run %llu: after the restore page 0x%llx is not the snapshot's: byte 0x%llx is %02x and was %02x",
           (unsigned long long)run, (unsigned long long)page / PAGE, (unsigned long long)at, check->machine->memory[at],
           check->copy[at]);
  for (; page < check->machine->size; page = first_difference(check, page + PAGE)) check->wrong_pages++;
  return false;
}

static bool compare_memory(struct check *check, uint64_t run) {
  check->compared++;
  if (memcmp(check->machine->memory, check->copy, check->machine->size) == 0) return true;
  return tell_difference(check, run, first_difference(check, 0));
}

static bool ask_engine(struct check *check, uint64_t run) {
  uint64_t wrong;
  check->engine_checks++;
  if (!machine_verify(check->machine, &wrong)) return false;
  check->engine_wrong += wrong;
  return !wrong || complain("run %llu: gmap_snapshot_verify finds %llu wrong", (unsigned long long)run, (unsigned long long)wrong);
}

static bool ask_parser(struct check *check, uint64_t run) {
  struct result result;
  check->probes++;
  if (!run_probe(check, &result)) return false;
  if (memcmp(&result, &check->expected, sizeof result) == 0) return true;
  check->probes_wrong++;
  return complain("run %llu: the probe's result is another one: %s, %u events, digest %016llx; at first %s, %u, %016llx",
                  (unsigned long long)run, target_error(result.error), result.events, (unsigned long long)result.digest,
                  target_error(check->expected.error), check->expected.events, (unsigned long long)check->expected.digest);
}

bool check_after_restore(struct check *check, uint64_t run) {
  const struct settings *s = check->settings;
  bool good = true, broken = run == s->mistake_at;
  if (broken && s->mistake == MISTAKE_SKIP && check->skipped < check->machine->size)
    memcpy(check->machine->memory + check->skipped, check->page, PAGE);
  if (run % s->check_every == 0) good = compare_memory(check, run);
  if (!good || run % s->engine_every == 0) good &= ask_engine(check, run); /* of a difference both are to be heard */
  if (good && run % s->probe_every == 0) good = ask_parser(check, run);
  return good;
}

void check_print(const struct check *check, bool good) {
  printf("compared %llu times: every byte of %llu pages with a copy of our own; %llu wrong\n", (unsigned long long)check->compared,
         (unsigned long long)check->machine->size / PAGE, (unsigned long long)check->wrong_pages);
  printf("gmap_snapshot_verify %llu times: %llu wrong\n", (unsigned long long)check->engine_checks,
         (unsigned long long)check->engine_wrong);
  printf("probe %llu times: %llu wrong; %u events, digest %016llx\n%s\n", (unsigned long long)check->probes,
         (unsigned long long)check->probes_wrong, check->expected.events, (unsigned long long)check->expected.digest,
         good ? "verified" : "failed");
}

void check_json(const struct check *check, struct json *json) {
  json_count(json, "compared", check->compared);
  json_count(json, "wrong_pages", check->wrong_pages);
  json_count(json, "engine_checks", check->engine_checks);
  json_count(json, "engine_wrong", check->engine_wrong);
  json_count(json, "probes", check->probes);
  json_count(json, "probes_wrong", check->probes_wrong);
}

void check_close(struct check *check) {
  if (check->copy) munmap(check->copy, check->machine->size);
  check->copy = NULL;
}
