// A link of so many bits a second: real copies, each followed by as much waiting as the link would be behind. Only the
// bytes of pages count. A link that is faster than the copying is no limit: 0, unpaced.
#include <errno.h>
#include "study.h"

#define AHEAD_NS 200e3 // what the copying may be ahead of the link before it sleeps
#define AT_ONCE 64u    // pages

wire wire_open(double gbit) {
  return (wire){.ns_a_byte = gbit > 0 ? 8 / gbit : 0, .due = now_ns()};
}

static void wait_until(double ns) {
  struct timespec until = {.tv_sec = (time_t)(ns / 1e9)};
  until.tv_nsec = (long)(ns - (double)until.tv_sec * 1e9);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

void wire_send(wire *l, guest *g, uint64_t first_page, uint64_t count) {
  while (count > 0) {
    uint64_t n = count < AT_ONCE ? count : AT_ONCE;
    double now = now_ns();
    if (l->due < now) l->due = now; // it stood idle: nothing of that is given back
    uint64_t lost = drop_page; // --drop-a-page: the first of all does not arrive
    drop_page = false;
    memcpy(g->copy + (first_page + lost) * PAGE, g->memory + (first_page + lost) * PAGE, (n - lost) * PAGE);
    l->due += (double)(n * PAGE) * l->ns_a_byte;
    first_page += n;
    count -= n;
    if (l->due > now_ns() + AHEAD_NS) wait_until(l->due);
  }
}

void wire_drain(wire *l) {
  if (l->due > now_ns()) wait_until(l->due);
}
