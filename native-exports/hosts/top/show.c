/* SPDX-License-Identifier: MIT
 * Rates of counters between two samples, aligned for people or as JSON. */
#include "show.h"

#include <inttypes.h>

#define MIB ((double)(1 << 20))

static double seconds_between(const gmap_watch_page *before, const gmap_watch_page *now) {
  return now->time_ns > before->time_ns ? (double)(now->time_ns - before->time_ns) / 1e9 : 0;
}

static double rate(uint64_t before, uint64_t now, double seconds) {
  return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

/* What is known of a space before; it is at the same place: nothing is taken off a page. */
static const gmap_space_stats *stats_before(const gmap_watch_page *before, const gmap_watch_page *now, uint32_t i) {
  return i < before->spaces ? &before->space[i].stats : &now->space[i].stats;
}

static double grace_us(const gmap_space_stats *before, const gmap_space_stats *now) {
  uint64_t graces = now->grace_periods - before->grace_periods;
  return graces ? (double)(now->grace_wait_ns - before->grace_wait_ns) / (double)graces / 1e3 : 0;
}

static double since_epoch(const gmap_watch_page *now, const gmap_watch_consumer_entry *consumer) {
  return consumer->last_ns ? (double)(now->time_ns - consumer->last_ns) / 1e9 : 0;
}

/* Names come from the host: what a terminal would take for a command is shown as ?. */
static const char *plain(const char *name) {
  static char shown[4][64];
  static unsigned at;
  char *to = shown[at++ % 4];
  snprintf(to, sizeof shown[0], "%s", name);
  for (char *c = to; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '"' || *c == '\\') *c = '?';
  return to;
}

void show_screen(const gmap_watch_page *before, const gmap_watch_page *now) {
  const gmap_engine_stats *arena = &now->engine;
  double seconds = seconds_between(before, now);
  printf("gmap-top  process %" PRIu64 "  %s  GmapNative %s\n\n", now->pid, plain(now->name), plain(now->library));
  printf("arena     %.1f of %.0f MiB committed, %.1f locked, %.1f free; page tables %.1f, segment tables %.1f, logs %.1f, waiting %.1f\n\n",
         (double)arena->committed_bytes / MIB, (double)arena->limit_bytes / MIB, (double)arena->locked_bytes / MIB,
         (double)arena->free_bytes / MIB, (double)arena->page_table_bytes / MIB, (double)arena->segment_table_bytes / MIB,
         (double)arena->log_bytes / MIB, (double)arena->limbo_bytes / MIB);
  printf("%-20s %12s %12s %10s %10s %10s %10s %10s\n", "space", "faults/s", "of writes", "splits/s", "joined/s", "harvests/s", "grace us",
         "tables MiB");
  for (uint32_t i = 0; i < now->spaces; i++) {
    const gmap_space_stats *was = stats_before(before, now, i), *is = &now->space[i].stats;
    printf("%-20.20s %12.0f %12.0f %10.0f %10.0f %10.1f %10.1f %10.2f\n", plain(now->space[i].name),
           rate(was->read_faults + was->write_faults, is->read_faults + is->write_faults, seconds),
           rate(was->write_faults, is->write_faults, seconds), rate(was->splits, is->splits, seconds),
           rate(was->collapses, is->collapses, seconds), rate(was->harvests, is->harvests, seconds), grace_us(was, is),
           (double)is->table_bytes / MIB);
  }
  printf("\n%-20s %12s %12s\n", "slot", "dirty/s", "dirty pages");
  for (uint32_t i = 0; i < now->slots; i++) {
    const gmap_watch_slot_entry *slot = now->slot + i;
    if (slot->logs) printf("%-20.20s %12" PRIu64 " %12" PRIu64 "\n", plain(slot->name), slot->rate.pages_per_second, slot->rate.pages);
    else printf("%-20.20s %12s\n", plain(slot->name), "not logged");
  }
  if (now->consumers) printf("\n%-20s %12s %12s %12s %12s\n", "consumer", "epochs", "last pages", "behind", "for s");
  for (uint32_t i = 0; i < now->consumers; i++) {
    const gmap_watch_consumer_entry *consumer = now->consumer + i;
    printf("%-20.20s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12.2f\n", plain(consumer->name), consumer->epochs, consumer->last_pages,
           consumer->lag_pages, since_epoch(now, consumer));
  }
}

static void json_space(const gmap_watch_page *before, const gmap_watch_page *now, uint32_t i, double seconds) {
  const gmap_space_stats *was = stats_before(before, now, i), *is = &now->space[i].stats;
  printf("%s{\"name\": \"%s\", \"read_faults\": %" PRIu64 ", \"write_faults\": %" PRIu64
         ", \"faults_per_second\": %.1f, \"splits\": %" PRIu64 ", \"splits_per_second\": %.1f, \"collapses\": %" PRIu64
         ", \"harvests\": %" PRIu64 ", \"grace_us\": %.3f, \"table_bytes\": %" PRIu64 "}",
         i ? ", " : "", plain(now->space[i].name), is->read_faults, is->write_faults,
         rate(was->read_faults + was->write_faults, is->read_faults + is->write_faults, seconds), is->splits,
         rate(was->splits, is->splits, seconds), is->collapses, is->harvests, grace_us(was, is), is->table_bytes);
}

void show_json(const gmap_watch_page *before, const gmap_watch_page *now) {
  const gmap_engine_stats *arena = &now->engine;
  double seconds = seconds_between(before, now);
  printf("{\"pid\": %" PRIu64 ", \"name\": \"%s\", \"library\": \"%s\", \"time_ns\": %" PRIu64 ", \"seconds\": %.6f, ",
         now->pid, plain(now->name), plain(now->library), now->time_ns, seconds);
  printf("\"arena\": {\"limit_bytes\": %" PRIu64 ", \"committed_bytes\": %" PRIu64 ", \"locked_bytes\": %" PRIu64
         ", \"free_bytes\": %" PRIu64 ", \"page_table_bytes\": %" PRIu64 ", \"log_bytes\": %" PRIu64
         ", \"limbo_bytes\": %" PRIu64 "}, \"spaces\": [",
         arena->limit_bytes, arena->committed_bytes, arena->locked_bytes, arena->free_bytes, arena->page_table_bytes, arena->log_bytes,
         arena->limbo_bytes);
  for (uint32_t i = 0; i < now->spaces; i++) json_space(before, now, i, seconds);
  printf("], \"slots\": [");
  for (uint32_t i = 0; i < now->slots; i++) {
    const gmap_watch_slot_entry *slot = now->slot + i;
    printf("%s{\"name\": \"%s\", \"id\": %" PRIu32 ", \"logs\": %s, \"dirty_pages\": %" PRIu64
           ", \"dirty_per_second\": %" PRIu64 "}", i ? ", " : "", plain(slot->name), slot->id,
           slot->logs ? "true" : "false", slot->rate.pages, slot->rate.pages_per_second);
  }
  printf("], \"consumers\": [");
  for (uint32_t i = 0; i < now->consumers; i++) {
    const gmap_watch_consumer_entry *consumer = now->consumer + i;
    printf("%s{\"name\": \"%s\", \"epochs\": %" PRIu64 ", \"last_pages\": %" PRIu64 ", \"lag_pages\": %" PRIu64
           ", \"lag_seconds\": %.3f}", i ? ", " : "", plain(consumer->name), consumer->epochs, consumer->last_pages,
           consumer->lag_pages, since_epoch(now, consumer));
  }
  printf("]}\n");
}
