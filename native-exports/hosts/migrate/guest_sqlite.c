/* SPDX-License-Identifier: MIT
 * The sqlite guest: SQLite itself, which knows nothing of the engine, on a database image in guest memory. Its plain
 * stores are tracked by the kernel, through the slot's backing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite_rows.h"

#define DATABASE_AT SEGMENT
#define MORE_TRANSACTIONS 200u /* that the destination commits */

struct sqlite_guest {
  struct rows rows;
  pthread_t thread;
  bool started;
};

static int sqlite_prepare(struct guest *guest) {
  struct sqlite_guest *state = calloc(1, sizeof *state);
  if (!state) return complain("out of memory");
  guest->state = state;
  if (rows_open(&state->rows, &guest->header, guest->machine->memory + DATABASE_AT, 0) != DONE) return FAILED;
  return rows_build(&state->rows);
}

static int sqlite_adopt(struct guest *guest) {
  uint8_t *memory = guest->machine->memory + DATABASE_AT;
  uint64_t bytes = rows_image_bytes(memory, guest->header.database);
  struct sqlite_guest *state = calloc(1, sizeof *state);
  if (!state) return complain("out of memory");
  guest->state = state;
  if (!bytes) return complain("sqlite guest: no database image in guest memory");
  return rows_open(&state->rows, &guest->header, memory, bytes);
}

static void *run_transactions(void *argument) {
  struct guest *guest = argument;
  struct sqlite_guest *state = guest->state;
  struct pace pace = pacer_begin();
  while (!pacer_stopping(&guest->pacer)) {
    if (rows_transaction(&state->rows) != DONE) {
      atomic_store(&guest->failed, true);
      break;
    }
    guest->transactions++;
    atomic_fetch_add(&guest->writes, ROWS_PER_TRANSACTION);
    pacer_wait(&guest->pacer, &pace, ROWS_PER_TRANSACTION);
  }
  return NULL;
}

static int sqlite_start(struct guest *guest) {
  struct sqlite_guest *state = guest->state;
  int error = pthread_create(&state->thread, NULL, run_transactions, guest);
  state->started = error == 0;
  return error ? complain("starting the sqlite guest: %s", strerror(error)) : DONE;
}

static int sqlite_stop(struct guest *guest) {
  struct sqlite_guest *state = guest->state;
  if (state->started) pthread_join(state->thread, NULL);
  state->started = false;
  return DONE;
}

static bool say(struct verdict *verdict, const char *text) {
  snprintf(verdict->text, sizeof verdict->text, "%s", text);
  return false;
}

/* What arrived is checked, more is committed, and all of it is checked again. */
static bool sqlite_complete(struct guest *guest, const struct handover *handover, struct verdict *verdict,
                            struct stream *alive) {
  struct rows *rows = &((struct sqlite_guest *)guest->state)->rows;
  struct rows_found arrived = {0}, after = {0};
  uint64_t begin = now_ns();
  /* The first one counts into the downtime; from there on the database is in service again. */
  if (rows_transaction(rows) != DONE) return say(verdict, "the first transaction failed");
  verdict->resume_ns = now_ns() - begin;
  if (!rows_check(rows, &arrived, verdict->text, alive)) return false;
  if (arrived.updates != handover->writes + ROWS_PER_TRANSACTION ||
      arrived.transactions != handover->transactions + 1) {
    snprintf(verdict->text, sizeof verdict->text,
             "the ledger has %llu transactions and %llu updates, the source made %llu and %llu",
             (unsigned long long)arrived.transactions - 1, (unsigned long long)arrived.updates - ROWS_PER_TRANSACTION,
             (unsigned long long)handover->transactions, (unsigned long long)handover->writes);
    return false;
  }
  for (unsigned i = 1; i < MORE_TRANSACTIONS; i++)
    if (rows_transaction(rows) != DONE) return say(verdict, "a transaction failed");
  verdict->writes = MORE_TRANSACTIONS * ROWS_PER_TRANSACTION;
  if (!rows_check(rows, &after, verdict->text, alive)) return false;
  verdict->answer = after.updates;
  snprintf(verdict->text, sizeof verdict->text,
           "integrity_check ok, %llu row checksums ok, %llu + %u transactions in the ledger, none lost",
           (unsigned long long)rows->count, (unsigned long long)handover->transactions, MORE_TRANSACTIONS);
  return after.updates == handover->writes + verdict->writes;
}

static void sqlite_close(struct guest *guest) {
  struct sqlite_guest *state = guest->state;
  if (state) rows_close(&state->rows);
  free(state);
}

const struct guest_ops guest_sqlite = {.name = "sqlite", .prepare = sqlite_prepare, .adopt = sqlite_adopt,
                                       .start = sqlite_start, .stop = sqlite_stop, .complete = sqlite_complete,
                                       .close = sqlite_close};
