/* SPDX-License-Identifier: MIT */
#include "attempts.h"

#include <stdio.h>
#include <time.h>

#include "address.h"
#include "peer.h"

#define AGAIN_NS 200000000

/* A connected socket, or -1 after one line. */
static int reach(const struct options *options, bool starts, struct peer *peer, uint64_t deadline) {
  if (starts) return peer_start(peer, options);
  for (;;) {
    bool quiet = now_ns() < deadline;
    int fd = address_connect(options->address, quiet, options->timeout_s * 1000);
    if (fd >= 0 || !quiet) return fd;
    nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
  }
}

/* One that takes connections, and never as much as a round, is no destination either. */
static bool gives_up(const struct options *options, const struct run_result *result, uint64_t *deadline) {
  uint64_t now = now_ns();
  if (!*deadline || result->rounds) *deadline = now + options->retry_s * 1000000000;
  else nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
  if (now < *deadline) return false;
  complain("giving up: no destination took a round within %llu s", (unsigned long long)options->retry_s);
  return true;
}

void attempts_migrate(struct source *source, bool starts) {
  const struct options *options = source->options;
  struct run_result *result = source->result;
  uint64_t deadline = 0;
  for (uint32_t attempt = 1;; attempt++) {
    struct peer peer = {.output = -1};
    struct stream stream;
    int fd = reach(options, starts, &peer, deadline);
    if (fd < 0) {
      snprintf(result->text, sizeof result->text, "no destination");
      return;
    }
    stream_open(&stream, fd, options->link, options->timeout_s * 1000);
    source->address = starts ? peer.address : options->address;
    enum outcome outcome = source_migrate(source, &stream, attempt == 1 ? options->fail_first_at : 0, peer.pid);
    stream_close(&stream);
    int status = starts ? peer_wait(&peer) : 0;
    if (outcome == DONE && result->status == RUN_VERIFIED && status != 0) {
      complain("the destination process ended with status %d", status);
      result->status = RUN_FAILED;
    }
    if (outcome != PEER_LOST) return;
    snprintf(result->text, sizeof result->text, "lost the destination: %.200s", stream.error);
    if (starts ? attempt > 1 || !options->fail_first_at : gives_up(options, result, &deadline)) return;
  }
}
