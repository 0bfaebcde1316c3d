/* SPDX-License-Identifier: MIT */
#include "serial.h"

#include <stdio.h>
#include <string.h>

void serial_open(struct serial *s) {
  *s = (struct serial){0};
  pthread_mutex_init(&s->lock, NULL);
}

void serial_close(struct serial *s) { pthread_mutex_destroy(&s->lock); }

static void end_line(struct serial *s) {
  memcpy(s->last, s->state.line, s->state.used);
  s->last[s->state.used] = 0;
  s->state.used = 0;
  s->lines++;
  if (s->show) {
    printf("  serial: %s\n", s->last);
    fflush(stdout);
  }
}

void serial_send(struct serial *s, uint8_t byte) {
  pthread_mutex_lock(&s->lock);
  if (byte == '\n' || s->state.used == sizeof s->state.line) end_line(s);
  if (byte != '\n') s->state.line[s->state.used++] = byte < ' ' || byte > '~' ? '?' : (char)byte;
  pthread_mutex_unlock(&s->lock);
}

int serial_restore(struct serial *s, const struct serial_state *state) {
  if (state->used > sizeof state->line) return complain("the serial port's state is damaged");
  s->state = *state;
  return DONE;
}
