/* SPDX-License-Identifier: MIT
 * A virtual machine whose memory is tracked twice: by the engine, whose truth is the kernel's userfaultfd, and by KVM. */
#ifndef SESSION_H
#define SESSION_H

#include "settings.h"
#include "vmguest.h"

struct session {
  const struct settings *settings;
  struct machine machine;
  struct guest guest;
  struct vm *vm;
  uint64_t words;
  uint64_t *ours, *theirs; /* bitmaps of the last harvests */
  uint64_t *own;           /* of the VMM's own stores since the last clear: KVM is not told of them */
  uint64_t round, random, own_stores;
};

/* Everything is tracked from its return on, and nothing dirty; the vCPUs stand at their first instruction. */
int session_open(struct session *session, const struct settings *settings);
void session_close(struct session *session);

/* Stores of the VMM: a plain one (the number of the round, which the guest copies into what it writes), one that goes through
 * gmap_write, and one of a kernel that writes for the VMM (a read from a pipe into guest memory, as a disk would). */
int session_store(struct session *session, uint64_t round);

int session_harvest_ours(struct session *session);
int session_harvest_theirs(struct session *session);
/* Lets the vCPUs run for about settings->round_us. */
void session_pause(struct session *session);

static inline bool session_bit(const uint64_t *bitmap, uint64_t page) { return bitmap[page / 64] >> (page % 64) & 1; }
/* The beginning of the JSON object, and counts to go on with. */
void session_json(const struct session *session, bool good);
void session_json_count(const char *name, uint64_t value);
/* How often each vCPU has rung the doorbell. */
void session_rings(const struct session *session, uint64_t rings[GUEST_CPUS]);
/* Puts a page that nobody stores to into our log, for --invent-a-page. */
void session_invent(struct session *session);

#endif
