/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "push.h"
#include "tables.h"

#define PAGE_ON_WIRE (PAGE + 8.0)
#define LATENCY_S 0.001
#define SHOWN_DIFFERENCES 5

int source_open(struct source *s) {
  s->bitmap = calloc((s->machine->pages + 63) / 64, sizeof *s->bitmap);
  if (!s->bitmap) return complain("out of memory");
  s->sender.drop_page = false;
  return sender_open(&s->sender, s->machine->memory, s->machine->pages);
}

void source_close(struct source *s) {
  free(s->bitmap);
  sender_close(&s->sender);
}

/* Asks the destination for a machine of this kind, then turns tracking on: from here on every page is owed. */
static enum outcome begin(struct source *s) {
  struct hello hello = {.memory = s->machine->size, .guest = (uint32_t)s->guest->header.kind,
                        .policy = s->result->policy};
  struct frame frame;
  sender_begin(&s->sender, s->stream);
  if (!stream_send(s->stream, FRAME_HELLO, STREAM_VERSION, 0, &hello, sizeof hello)) return PEER_LOST;
  if (!stream_expect(s->stream, FRAME_ACCEPT, &frame, NULL, 0)) return PEER_LOST;
  if (s->result->attempts == 1 && machine_stats(s->machine, &s->at_begin) != DONE) return FAILED;
  if (machine_log(s->machine) != DONE) return FAILED;
  return DONE;
}

static int complete_row(struct source *s, struct round *round) {
  gmap_space_stats stats;
  if (machine_stats(s->machine, &stats) != DONE) return FAILED;
  struct run_result *r = s->result;
  round->writes = atomic_load(&s->guest->writes) - s->writes;
  round->splits = stats.splits - s->at_begin.splits;
  round->table_bytes = stats.table_bytes;
  round->huge_bytes = machine_huge_bytes(s->machine);
  r->rounds = round->number;
  r->pages_sent += round->pages;
  r->zero_pages += round->zero_pages;
  r->bytes_sent += round->bytes;
  r->guest_writes += round->writes;
  r->leaves_split = round->splits;
  r->table_bytes = stats.table_bytes;
  if (round->throttle > r->throttle) r->throttle = round->throttle;
  if (round->number > 1) {
    r->pages_resent += round->pages;
    r->bytes_resent += round->bytes;
    r->bytes_resent_at_1m += round->bytes_at_1m;
  }
  return DONE;
}

/* Harvest, copy and send, acknowledged. The harvest's pages are owed to this peer: if it is lost, to the next. */
static enum outcome send_round(struct source *s, struct round *round, uint32_t fail_at) {
  struct frame frame;
  uint64_t start = now_ns(), before = s->stream->sent;
  round->throttle = atomic_load(&s->guest->pacer.throttle);
  s->writes = atomic_load(&s->guest->writes);
  if (machine_harvest(s->machine, s->bitmap, &round->pages) != DONE) return FAILED;
  bool kill_half = fail_at && (round->number == fail_at || round->last);
  if (!sender_round(&s->sender, s->bitmap, round, kill_half) ||
      !stream_send(s->stream, FRAME_ROUND_END, round->number, round->last, NULL, 0) ||
      !stream_expect(s->stream, FRAME_ROUND_ACK, &frame, NULL, 0))
    return PEER_LOST;
  round->ns = now_ns() - start;
  watch_round(s->watch, round->pages);
  if (round->number == 1 || round->bytes > 4 << 20)
    s->bandwidth = (double)(s->stream->sent - before) * 1e9 / (double)round->ns;
  return DONE;
}

/* Slows the guest down while it writes more than half of what a round can carry. */
static void converge(struct source *s, const struct round *round, uint64_t remaining) {
  uint32_t throttle = atomic_load(&s->guest->pacer.throttle);
  if (remaining * 2 <= round->pages) return;
  throttle = throttle ? throttle + 15 : 25;
  atomic_store(&s->guest->pacer.throttle, throttle > 99 ? 99 : throttle);
}

/* In mid-flight: a part of the tables is as the harvest left it, a part written since. */
static int show_tables(const struct source *s, uint32_t round) {
  char label[40];
  if (!s->options->tables) return DONE;
  snprintf(label, sizeof label, "%s-%s", guest_kind_name((uint32_t)s->guest->header.kind),
           s->kernel_tracked ? "kernel" : policy_name(s->result->policy));
  return tables_write(s->machine, s->options->tables, label, round);
}

/* The rounds while the guest runs; *next receives the number of the last one. */
static enum outcome pre_copy(struct source *s, uint32_t fail_at, uint32_t *next) {
  for (uint32_t number = 1;; number++) {
    struct round round = {.number = number};
    uint64_t remaining;
    enum outcome outcome = send_round(s, &round, fail_at);
    if (outcome != DONE) return outcome;
    if (atomic_load(&s->guest->failed)) return FAILED;
    if (complete_row(s, &round) != DONE || machine_count(s->machine, &remaining) != DONE) return FAILED;
    report_round(&round, s->kernel_tracked);
    if (show_tables(s, number) != DONE) return FAILED;
    *next = number + 1;
    double seconds = (double)remaining * PAGE_ON_WIRE / s->bandwidth + LATENCY_S;
    if (seconds * 1000 <= (double)s->options->downtime_ms || number >= s->options->max_rounds) return DONE;
    if (s->options->postcopy && number >= s->options->postcopy_rounds) return DONE;
    converge(s, &round, remaining);
  }
}

static void tell_difference(const struct source *s, uint64_t page, uint64_t here, uint64_t there) {
  char rounds[2][200] = {"", ""};
  const struct history *history = &s->sender.history[page];
  for (unsigned i = 1; i < 64; i++) {
    size_t a = strlen(rounds[0]), b = strlen(rounds[1]);
    if (history->reported >> i & 1) snprintf(rounds[0] + a, sizeof rounds[0] - a, " %u", i);
    if (history->sent >> i & 1) snprintf(rounds[1] + b, sizeof rounds[1] - b, " %u", i);
  }
  complain("page 0x%llx differs: %016llx here, %016llx there; reported dirty in rounds%s, sent in rounds%s",
           (unsigned long long)(page * PAGE), (unsigned long long)here, (unsigned long long)there,
           *rounds[0] ? rounds[0] : " none", *rounds[1] ? rounds[1] : " none");
}

/* Every page here against every page there but those that are still to come; both guests stand still. */
static enum outcome compare(struct source *s, const uint64_t *to_come, uint64_t *different) {
  uint64_t *digests = malloc(STREAM_MAX_DIGESTS * sizeof *digests);
  enum outcome outcome = digests ? DONE : (enum outcome)complain("out of memory");
  if (outcome == DONE && !stream_send(s->stream, FRAME_VERIFY, 0, 0, NULL, 0)) outcome = PEER_LOST;
  *different = 0;
  for (uint64_t page = 0; page < s->machine->pages && outcome == DONE;) {
    struct frame frame;
    uint64_t count = min_u64(s->machine->pages - page, STREAM_MAX_DIGESTS);
    if (!stream_expect(s->stream, FRAME_DIGESTS, &frame, digests, count * 8)) {
      outcome = PEER_LOST;
    } else if (frame.first != page) {
      snprintf(s->stream->error, sizeof s->stream->error, "malformed stream: digests of other pages");
      outcome = PEER_LOST;
    }
    for (uint64_t i = 0; i < count && outcome == DONE; i++, page++) {
      if (to_come && to_come[page / 64] >> (page % 64) & 1) continue;
      uint64_t here = digest_page(s->machine->memory + page * PAGE, NULL);
      if (here != digests[i] && (*different)++ < SHOWN_DIFFERENCES) tell_difference(s, page, here, digests[i]);
    }
  }
  free(digests);
  return outcome;
}

/* The pages of s->bitmap will follow while the guest runs there, if the destination can do so. */
static bool announce(struct source *s, uint64_t session, uint64_t pages) {
  struct frame frame;
  return stream_send(s->stream, FRAME_POSTCOPY, session, pages, s->bitmap, (s->machine->pages + 63) / 64 * 8) &&
         stream_expect(s->stream, FRAME_ACCEPT, &frame, NULL, 0);
}

static bool start_there(struct source *s) {
  struct handover handover = {.answer = s->answer, .writes = atomic_load(&s->guest->writes),
                              .transactions = s->guest->transactions};
  const struct guest_state *outside = &s->guest->outside;
  return (!outside->size || stream_send(s->stream, FRAME_STATE, 0, 0, outside->bytes, outside->size)) &&
         stream_send(s->stream, FRAME_RUN, 0, 0, &handover, sizeof handover);
}

/* The destination runs the guest and tells what became of it. Once it was told to, the source's guest does not run again, come what
 * may. session 0: it has all its memory; else `pages` of it are to come. */
static enum outcome hand_over(struct source *s, uint64_t session, uint64_t pages, uint64_t begin_ns) {
  struct verdict verdict;
  struct frame frame;
  if (session && !announce(s, session, pages)) return PEER_LOST;
  bool there = start_there(s);
  if (there && session && !push_missing(s, session, begin_ns)) return FAILED;
  if (!there || !stream_expect(s->stream, FRAME_VERDICT, &frame, &verdict, sizeof verdict)) {
    snprintf(s->result->text, sizeof s->result->text, "lost the destination after the hand-over: %s", s->stream->error);
    return complain("%s: the guest may be running there, so it stays stopped here", s->result->text);
  }
  verdict.text[STREAM_TEXT - 1] = 0;
  for (char *c = verdict.text; *c; c++)
    if (*c < ' ' || *c > '~') *c = '?';
  bool good = frame.first == 1 && (s->guest->header.kind == GUEST_SQLITE || verdict.answer == s->answer);
  s->result->resume_ms = (double)verdict.resume_ns / 1e6;
  s->result->status = good ? RUN_VERIFIED : RUN_FAILED;
  snprintf(s->result->text, sizeof s->result->text, "%s; %s", session ? "every page came once" : "every page equal", verdict.text);
  if (s->result->pages_twice) good = false, s->result->status = RUN_FAILED;
  if (!good) complain("the guest went wrong at the destination: %s", verdict.text);
  stream_send(s->stream, FRAME_BYE, good, 0, NULL, 0);
  return DONE;
}

/* The guest stands still. What it cannot begin without goes first: page 0; the rest is what s->bitmap has. */
static enum outcome switch_over(struct source *s, struct round *round, uint64_t *left) {
  struct frame frame;
  uint64_t *rest = malloc((s->machine->pages + 63) / 64 * 8);
  if (!rest) return complain("out of memory");
  if (machine_harvest(s->machine, s->bitmap, left) != DONE) return free(rest), FAILED;
  memcpy(rest, s->bitmap, (s->machine->pages + 63) / 64 * 8);
  memset(s->bitmap, 0, (s->machine->pages + 63) / 64 * 8);
  s->bitmap[0] = 1;
  round->pages = 1;
  bool good = sender_round(&s->sender, s->bitmap, round, false) &&
              stream_send(s->stream, FRAME_ROUND_END, round->number, 1, NULL, 0) &&
              stream_expect(s->stream, FRAME_ROUND_ACK, &frame, NULL, 0);
  *left -= rest[0] & 1;
  rest[0] &= ~1ull;
  memcpy(s->bitmap, rest, (s->machine->pages + 63) / 64 * 8);
  free(rest);
  return good ? DONE : PEER_LOST;
}

/* Stops the guest, has it start there, and sends the rest while it runs. */
static enum outcome finish_later(struct source *s, uint32_t number, uint64_t begin_ns) {
  struct round round = {.number = number, .last = true};
  uint64_t stop_ns = now_ns(), different = 0, left;
  if (guest_stop(s->guest) != DONE) return FAILED;
  uint64_t stopped_ns = now_ns();
  s->writes = atomic_load(&s->guest->writes);
  enum outcome outcome = switch_over(s, &round, &left);
  if (outcome != DONE) return outcome;
  s->result->postcopy = true;
  s->result->stop_ms = (double)(stopped_ns - stop_ns) / 1e6;
  s->result->last_round_ms = (double)(now_ns() - stopped_ns) / 1e6;
  round.ns = now_ns() - stopped_ns;
  if (complete_row(s, &round) != DONE) return FAILED;
  report_round(&round, s->kernel_tracked);
  if (number > 1 && (outcome = compare(s, s->bitmap, &different)) != DONE) return outcome;
  if (!different) return hand_over(s, mix64(begin_ns ^ (uintptr_t)s) | 1, left, begin_ns);
  snprintf(s->result->text, sizeof s->result->text, "%llu pages differ", (unsigned long long)different);
  stream_send(s->stream, FRAME_BYE, 0, 0, NULL, 0);
  return complain("%s between source and destination", s->result->text);
}

/* Stops the guest, sends the rest, compares, hands over. */
static enum outcome finish(struct source *s, uint32_t fail_at, uint32_t number, uint64_t begin_ns) {
  struct round round = {.number = number, .last = true};
  uint64_t stop_ns = now_ns(), different;
  if (guest_stop(s->guest) != DONE) return FAILED;
  uint64_t stopped_ns = now_ns();
  s->result->stop_ms = (double)(stopped_ns - stop_ns) / 1e6;
  s->sender.drop_page = s->options->drop_page;
  enum outcome outcome = send_round(s, &round, fail_at);
  if (outcome != DONE) return outcome;
  s->result->last_round_ms = (double)(now_ns() - stopped_ns) / 1e6;
  s->result->total_ms = (double)(now_ns() - begin_ns) / 1e6;
  if (complete_row(s, &round) != DONE) return FAILED;
  report_round(&round, s->kernel_tracked);
  if ((outcome = compare(s, NULL, &different)) != DONE) return outcome;
  if (!different) return hand_over(s, 0, 0, begin_ns);
  snprintf(s->result->text, sizeof s->result->text, "%llu pages differ", (unsigned long long)different);
  stream_send(s->stream, FRAME_BYE, 0, 0, NULL, 0);
  return complain("%s between source and destination", s->result->text);
}

/* The peer is gone: what it had is gone with it. The guest goes on here, untouched. */
static enum outcome recover(struct source *s) {
  complain("migration failed: %s; the guest keeps running here, start another destination and migrate again",
           s->stream->error);
  atomic_store(&s->guest->pacer.throttle, 0);
  if (machine_mark_all(s->machine) != DONE) return FAILED;
  if (!s->guest->running && guest_start(s->guest) != DONE) return FAILED;
  return PEER_LOST;
}

static void forget_attempt(struct run_result *r) {
  *r = (struct run_result){.guest = r->guest, .policy = r->policy, .kernel_tracked = r->kernel_tracked,
                           .memory = r->memory, .attempts = r->attempts + 1};
}

enum outcome source_migrate(struct source *s, struct stream *stream, uint32_t fail_at, pid_t peer) {
  uint32_t number = 0;
  uint64_t begin_ns = now_ns();
  s->stream = stream;
  s->sender.kill_peer = peer;
  forget_attempt(s->result);
  report_columns(s->kernel_tracked);
  enum outcome outcome = begin(s);
  number = 1;
  if (outcome == DONE && (!s->options->postcopy || s->options->postcopy_rounds)) outcome = pre_copy(s, fail_at, &number);
  if (outcome == DONE)
    outcome = s->options->postcopy ? finish_later(s, number, begin_ns) : finish(s, fail_at, number, begin_ns);
  report_progress_end();
  return outcome == PEER_LOST ? recover(s) : outcome;
}
