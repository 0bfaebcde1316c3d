/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <stdlib.h>

int guest_start(struct guest *guest) {
  pacer_release(&guest->pacer);
  int result = guest->ops->start(guest);
  guest->running = result == DONE;
  return result;
}

int guest_stop(struct guest *guest) {
  if (!guest->running) return DONE;
  guest->running = false;
  pacer_stop(&guest->pacer);
  int result = guest->ops->stop(guest);
  return atomic_load(&guest->failed) ? FAILED : result;
}

void guest_destroy(struct guest *guest) {
  guest_stop(guest);
  guest->ops->close(guest);
  free(guest->outside.bytes);
  pacer_destroy(&guest->pacer);
}

bool guest_alive(struct stream *alive, uint64_t *last_ns) {
  uint64_t now = now_ns();
  if (!alive) return true;
  if (now - *last_ns < stream_alive_ns(alive)) return true;
  *last_ns = now;
  return stream_send(alive, FRAME_WORKING, 0, 0, NULL, 0);
}
