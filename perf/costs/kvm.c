// The first write to a clean page and a harvest, beside KVM's: write fault and dirty log of a real, very small guest.
#include "../peers/peers.h"
#include "costs.h"

#define PAGES 4096u

static double store_all(guest *g) {
  double begin = start_ns();
  for (uint64_t i = 0; i < PAGES; i++) {
    gmap_enter(g->view);
    guest_store(g, i << 12);
    gmap_leave(g->view);
  }
  return (stop_ns() - begin) / PAGES;
}

void kvm(void) {
  static figures store, harvest, write_fault, log;
  guest g;
  int usual = rounds;
  report_progress("beside KVM");
  rounds = quick ? 5 : 9;
  guest_open(&g, 1, LOGGED);
  guest_split(&g);
  for (int round = -1; round < rounds; round++) {
    double begin, write_ns, log_ns;
    uint64_t dirty;
    put(&store, round, store_all(&g));
    begin = start_ns();
    CHECK(gmap_dirty_harvest(g.space, 1, 0, PAGES, 0, g.bitmap, PAGES / 64, &dirty));
    put(&harvest, round, (stop_ns() - begin) / PAGES);
    if (dirty != PAGES) exit(2);
    if (!peer_kvm_first_write(PAGES, &write_ns, &log_ns)) {
      report_missing("first write and log of KVM", "not measured here: no /dev/kvm, or it runs no guest");
      guest_close(&g);
      rounds = usual;
      return;
    }
    put(&write_fault, round, write_ns);
    put(&log, round, log_ns);
  }
  report_row("enter + first store to a clean page, inline + leave", &store, "ns", "KVM: write fault of a guest",
             &write_fault, none);
  report_row("harvest + re-arm into a bitmap, 16 MiB, 100 %, a page", &harvest, "ns", "KVM_GET_DIRTY_LOG", &log, none);
  guest_close(&g);
  rounds = usual;
}
