/* SPDX-License-Identifier: MIT */
#include "sender.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

#define FLUSH_AT (1u << 20)
#define FRAME_MOST (sizeof(struct frame) + STREAM_MAX_RUN * (PAGE + 8ull))
#define BUFFER (FLUSH_AT + FRAME_MOST + 64 * sizeof(struct frame))

static inline bool bit(const uint64_t *bitmap, uint64_t i) { return bitmap[i / 64] >> (i % 64) & 1; }

int sender_open(struct sender *s, const uint8_t *memory, uint64_t pages) {
  *s = (struct sender){.memory = memory, .pages = pages};
  s->history = calloc(pages, sizeof *s->history);
  s->zero = calloc((pages + 63) / 64, sizeof *s->zero);
  s->buffer = malloc(BUFFER);
  return s->history && s->zero && s->buffer ? DONE : complain("out of memory");
}

void sender_close(struct sender *s) {
  free(s->history);
  free(s->zero);
  free(s->buffer);
  *s = (struct sender){0};
}

void sender_begin(struct sender *s, struct stream *stream) {
  s->stream = stream;
  s->used = 0;
  s->run_count = s->zero_count = 0;
  memset(s->history, 0, s->pages * sizeof *s->history);
  memset(s->zero, 0, (s->pages + 63) / 64 * sizeof *s->zero);
}

static bool flush(struct sender *s) {
  size_t used = s->used;
  s->used = 0;
  return !used || stream_write(s->stream, s->buffer, used);
}

static void put(struct sender *s, const void *data, size_t size) {
  memcpy(s->buffer + s->used, data, size);
  s->used += size;
}

/* Closes the open frames; after that the buffer may be sent. */
static bool close_frames(struct sender *s) {
  if (s->zero_count) {
    struct frame frame = stream_header(FRAME_ZERO, s->zero_first, s->zero_count, 0);
    put(s, &frame, sizeof frame);
    s->zero_count = 0;
  }
  if (s->run_count) {
    struct frame frame = stream_header(FRAME_PAGES, s->run_first, s->run_count, s->run_count * (PAGE + 8ull));
    memcpy(s->buffer + s->frame_at, &frame, sizeof frame);
    put(s, s->digests, s->run_count * 8);
    s->run_count = 0;
  }
  return s->used < FLUSH_AT || flush(s);
}

/* The guest may be writing this page: what counts, for the zero test and the digest, is the copy that is sent. If the
 * page changes after the copy, the next harvest has it. */
static bool send_page(struct sender *s, uint64_t page) {
  bool zero, next = s->run_count && s->run_first + s->run_count == page && s->run_count < STREAM_MAX_RUN;
  if (s->run_count && !next && !close_frames(s)) return false;
  size_t at = s->used + (s->run_count ? 0 : sizeof(struct frame));
  memcpy(s->buffer + at, s->memory + page * PAGE, PAGE);
  uint64_t digest = digest_page(s->buffer + at, &zero);
  if (zero) {
    if (s->run_count && !close_frames(s)) return false;
    if (s->zero_count && s->zero_first + s->zero_count != page && !close_frames(s)) return false;
    if (!s->zero_count++) s->zero_first = page;
    s->zero[page / 64] |= 1ull << (page % 64);
    return true;
  }
  s->zero[page / 64] &= ~(1ull << (page % 64));
  if (s->drop_page) return s->drop_page = false, true;
  if (!s->run_count) {
    if (!close_frames(s)) return false; /* zero pages before it; may move the place */
    memmove(s->buffer + s->used + sizeof(struct frame), s->buffer + at, PAGE);
    s->frame_at = s->used;
    s->run_first = page;
    s->used += sizeof(struct frame);
  }
  s->used += PAGE;
  s->digests[s->run_count++] = digest;
  return true;
}

/* What the segment would have cost: all its pages that are not zero. */
static uint64_t segment_bytes(const struct sender *s, uint64_t segment) {
  uint64_t bytes = 0;
  for (uint64_t page = segment * PAGES_PER_SEGMENT; page < s->pages && page < (segment + 1) * PAGES_PER_SEGMENT; page++)
    bytes += bit(s->zero, page) ? 0 : PAGE;
  return bytes;
}

static void count_segments(const struct sender *s, const uint64_t *bitmap, struct round *round) {
  for (uint64_t segment = 0; segment * PAGES_PER_SEGMENT < s->pages; segment++) {
    const uint64_t *word = bitmap + segment * (PAGES_PER_SEGMENT / 64);
    if (word[0] | word[1] | word[2] | word[3]) round->bytes_at_1m += segment_bytes(s, segment);
  }
}

bool sender_round(struct sender *s, const uint64_t *bitmap, struct round *round, bool kill_half) {
  uint64_t before = s->stream->sent, begin = now_ns(), done = 0;
  for (uint64_t page = 0; page < s->pages; page++) {
    if (!bitmap[page / 64]) {
      page |= 63;
      continue;
    }
    if (!bit(bitmap, page)) continue;
    s->history[page].reported |= 1ull << round->number;
    s->history[page].sent |= 1ull << round->number;
    round->runs += page == 0 || !bit(bitmap, page - 1);
    if (!send_page(s, page)) return false;
    round->zero_pages += bit(s->zero, page);
    if (++done % 1024 == 0)
      report_progress(done, round->pages, (double)(s->stream->sent - before) * 1e9 / (double)(now_ns() - begin + 1));
    if (kill_half && done * 2 >= round->pages && s->kill_peer) {
      if (!close_frames(s) || !flush(s)) return false;
      kill(s->kill_peer, SIGKILL);
      s->kill_peer = 0;
    }
  }
  if (!close_frames(s) || !flush(s)) return false;
  round->bytes += s->stream->sent - before;
  count_segments(s, bitmap, round);
  report_progress_end();
  return true;
}

bool sender_pages(struct sender *s, uint64_t first, uint64_t count) {
  for (uint64_t page = first; page < first + count; page++)
    if (!send_page(s, page)) return false;
  return close_frames(s) && flush(s);
}
