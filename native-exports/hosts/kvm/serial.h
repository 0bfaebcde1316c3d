/* SPDX-License-Identifier: MIT
 * The serial port: what the guest sends, line by line. */
#ifndef SERIAL_H
#define SERIAL_H

#include <pthread.h>

#include "common.h"

struct serial_state { /* as it goes over the wire */
  uint32_t used;
  char line[124]; /* that has not ended yet */
};

struct serial {
  pthread_mutex_t lock;
  struct serial_state state;
  uint64_t lines;
  char last[128];
  bool show; /* print each line */
};

void serial_open(struct serial *serial);
void serial_close(struct serial *serial);
void serial_send(struct serial *serial, uint8_t byte);
/* The state came over the wire. */
int serial_restore(struct serial *serial, const struct serial_state *state);

#endif
