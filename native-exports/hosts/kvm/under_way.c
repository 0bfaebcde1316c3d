/* SPDX-License-Identifier: MIT */
#include "under_way.h"

bool under_way_add(struct under_way *u, const struct session *session, uint64_t page) {
  for (unsigned i = 0; i < u->n; i++)
    if (u->stores[i].page == page) return true;
  if (u->n == GUEST_CPUS) return false;
  u->stores[u->n].page = page;
  session_rings(session, u->stores[u->n].rings);
  u->n++;
  return true;
}

/* The first ring may have been under way, too. */
static bool all_came_further(const uint64_t *then, const uint64_t *now) {
  for (unsigned i = 0; i < GUEST_CPUS; i++)
    if (now[i] < then[i] + 2) return false;
  return true;
}

unsigned under_way_arrived(struct under_way *u, const uint64_t *one, const uint64_t *other, const uint64_t rings[GUEST_CPUS],
                           uint64_t *page) {
  unsigned kept = 0, never = 0;
  for (unsigned i = 0; i < u->n; i++) {
    uint64_t at = u->stores[i].page;
    if (session_bit(one, at) && session_bit(other, at)) continue;
    if (!all_came_further(u->stores[i].rings, rings)) u->stores[kept++] = u->stores[i];
    else if (!never++) *page = at;
  }
  u->n = kept;
  return never;
}
