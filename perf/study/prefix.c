// The prefix pages of a vcpu: it may run only while both are mapped for writing, so it arms them, is told when that
// changed, and arms them again before it goes on (KVM's refresh loop).
#include "study.h"

// On the thread that weakened the mapping: no lock is held, the vcpu finds out at its next poll.
static void told(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t reason) {
  guest *g = user;
  (void)space;
  (void)reason;
  atomic_fetch_add_explicit(&g->notified, 1, memory_order_relaxed);
  if (last < PREFIX_AT || first >= PREFIX_AT + 2 * PAGE) return;
  for (int i = 0; i < g->s.vcpus; i++) atomic_store(&g->vcpus[i].refresh, true);
}

void prefix_open(guest *g) {
  gmap_notifier notifier = {.struct_size = sizeof notifier, .kinds = GMAP_NOTIFY_CHANGE, .callback = told, .user = g};
  CHECK(gmap_notifier_register(g->space, &notifier, &g->notifier));
}

void prefix_close(guest *g) { CHECK(gmap_notifier_unregister(g->notifier)); }

void prefix_refresh(vcpu *v) {
  gmap_leave(v->view);
  for (;;) {
    atomic_store(&v->refresh, false); // what is told from here on is about what is armed next
    gmap_status status = gmap_protect(v->guest->space, PREFIX_AT, 2 * PAGE, GMAP_PROT_READ | GMAP_PROT_WRITE,
                                      GMAP_NOTIFY_CHANGE | GMAP_NOTIFY_MAPPED);
    if (status == 0) break;
    if (status != GMAP_EAGAIN) CHECK(status);
    for (uint64_t at = PREFIX_AT; at < PREFIX_AT + 2 * PAGE; at += PAGE)
      CHECK(gmap_fault(v->handle, at, GMAP_ACCESS_WRITE, NULL));
    gmap_leave(v->view);
  }
  gmap_enter(v->view);
}
