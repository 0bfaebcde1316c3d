/* SPDX-License-Identifier: MIT
 * The source lets itself be watched by gmap-top (--watch). */
#ifndef WATCH_H
#define WATCH_H

#include "machine.h"

struct watch;

/* Publishes ten times a second, on a thread of its own. NULL after one line: the migration goes on without. */
struct watch *watch_start(const struct machine *machine, const char *guest);
/* A round is with the peer. watch may be NULL. */
void watch_round(struct watch *watch, uint64_t pages);
/* Before the machine ends. watch may be NULL. */
void watch_stop(struct watch *watch);

#endif
