/* SPDX-License-Identifier: MIT
 * The source's side of one migration of a running guest. */
#ifndef SOURCE_H
#define SOURCE_H

#include "guest.h"
#include "sender.h"
#include "watch.h"

struct source {
  const struct options *options;
  struct machine *machine;
  struct guest *guest;
  struct stream *stream;
  struct sender sender;
  struct run_result *result;
  struct watch *watch; /* NULL: nobody is to look */
  uint64_t answer;  /* of the threads guest */
  uint64_t *bitmap; /* of the round */
  gmap_space_stats at_begin;
  double bandwidth; /* bytes a second, measured */
  uint64_t writes; /* when the round began */
  bool kernel_tracked;
  const char *address; /* of the destination */
};

int source_open(struct source *source);
void source_close(struct source *source);

/* Migrates the guest, which runs, to the peer. DONE: it runs there, verified or not as result->status says. PEER_LOST:
 * the peer is gone before the guest was handed over; the guest runs here, tracking never stopped, every page is owed
 * again: call it again with another peer. FAILED: told. */
enum outcome source_migrate(struct source *source, struct stream *stream, uint32_t fail_at, pid_t peer);

#endif
