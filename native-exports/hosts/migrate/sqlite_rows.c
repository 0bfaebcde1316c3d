/* SPDX-License-Identifier: MIT */
#include "sqlite_rows.h"

#include <stdio.h>
#include <string.h>

#define WIDE (1ll << 50) /* added to counters, so that SQLite gives them a constant width */
#define ROW_OVERHEAD 40u

static int sick(struct rows *rows, const char *what) {
  return complain("sqlite guest: %s: %s", what, sqlite3_errmsg(rows->db));
}

static void make_body(uint8_t *body, const struct rows *rows, uint64_t id, uint64_t n) {
  uint64_t state = mix64(rows->seed ^ id << 24 ^ n);
  for (uint32_t i = 0; i < rows->body; i += 8) {
    state += 0x9E3779B97F4A7C15ull;
    uint64_t word = mix64(state);
    memcpy(body + i, &word, 8);
  }
}

/* Positive and over 2^61: eight bytes wide in SQLite. */
static int64_t checksum(uint64_t id, uint64_t n, const uint8_t *body, uint32_t bytes) {
  uint64_t sum = mix64(id) ^ n;
  for (uint32_t i = 0; i + 8 <= bytes; i += 8) {
    uint64_t word;
    memcpy(&word, body + i, 8);
    sum = (sum ^ word) * 0x9E3779B97F4A7C15ull;
    sum = sum << 31 | sum >> 33;
  }
  return (int64_t)(sum >> 2 | 1ull << 61);
}

static bool prepare(struct rows *rows, const char *sql, sqlite3_stmt **statement) {
  return sqlite3_prepare_v3(rows->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK;
}

static int prepare_all(struct rows *rows) {
  bool good = prepare(rows, "BEGIN IMMEDIATE", &rows->begin) && prepare(rows, "COMMIT", &rows->commit) &&
              prepare(rows, "SELECT n FROM rows WHERE id = ?1", &rows->read) &&
              prepare(rows, "UPDATE rows SET n = ?2, body = ?3, sum = ?4 WHERE id = ?1", &rows->write) &&
              prepare(rows, "UPDATE ledger SET transactions = transactions + 1, updates = updates + ?1", &rows->book);
  return good ? DONE : sick(rows, "preparing");
}

int rows_open(struct rows *rows, const struct guest_header *header, uint8_t *memory, uint64_t bytes) {
  uint64_t room = header->database / PAGE * PAGE;
  uint64_t to_a_page = (header->rows * PAGE + room / 10 * 9 - 1) / (room / 10 * 9); /* a tenth stays free */
  uint64_t each = PAGE / to_a_page;
  *rows = (struct rows){.seed = header->seed, .count = header->rows};
  rows->body = (uint32_t)min_u64(each > ROW_OVERHEAD + 16 ? each - ROW_OVERHEAD : 16, ROWS_MAX_BODY) / 8 * 8;
  rows->random = mix64(header->seed ^ now_ns()); /* which rows are updated is nobody's secret, and need not repeat */
  if (sqlite3_open(":memory:", &rows->db) != SQLITE_OK) return sick(rows, "opening");
  /* Flags 0: SQLite neither frees nor resizes the buffer; the database may grow inside it. */
  if (sqlite3_deserialize(rows->db, "main", memory, (sqlite3_int64)bytes, (sqlite3_int64)room, 0) != SQLITE_OK)
    return sick(rows, "opening the image in guest memory");
  /* The rollback journal is in SQLite's heap: at a transaction boundary the image alone is the database. */
  if (sqlite3_exec(rows->db, "PRAGMA mmap_size=0; PRAGMA page_size=4096; PRAGMA journal_mode=MEMORY", NULL, NULL, NULL))
    return sick(rows, "setting up");
  return bytes ? prepare_all(rows) : DONE;
}

int rows_build(struct rows *rows) {
  static const char create[] =
    "PRAGMA journal_mode=OFF; BEGIN;"
    "CREATE TABLE rows(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE ledger(transactions INTEGER NOT NULL, updates INTEGER NOT NULL);"
    "INSERT INTO ledger VALUES (1 << 50, 1 << 50);";
  uint8_t body[ROWS_MAX_BODY];
  sqlite3_stmt *insert = NULL;
  int code = sqlite3_exec(rows->db, create, NULL, NULL, NULL);
  if (code || !prepare(rows, "INSERT INTO rows VALUES (?1, ?2, ?3, ?4)", &insert)) return sick(rows, "creating");
  for (uint64_t id = 1; id <= rows->count && code == SQLITE_OK; id++) {
    make_body(body, rows, id, 0);
    sqlite3_bind_int64(insert, 1, (sqlite3_int64)id);
    sqlite3_bind_int64(insert, 2, WIDE);
    sqlite3_bind_blob(insert, 3, body, (int)rows->body, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 4, checksum(id, 0, body, rows->body));
    sqlite3_step(insert);
    code = sqlite3_reset(insert);
  }
  sqlite3_finalize(insert);
  if (code == SQLITE_FULL)
    return complain("sqlite guest: %llu rows do not fit: give more --memory or fewer --rows",
                    (unsigned long long)rows->count);
  if (code || sqlite3_exec(rows->db, "COMMIT; PRAGMA journal_mode=MEMORY", NULL, NULL, NULL))
    return sick(rows, "filling");
  return prepare_all(rows);
}

static bool run(sqlite3_stmt *statement) {
  sqlite3_step(statement);
  return sqlite3_reset(statement) == SQLITE_OK;
}

static bool update(struct rows *rows, uint64_t id) {
  uint8_t body[ROWS_MAX_BODY];
  sqlite3_bind_int64(rows->read, 1, (sqlite3_int64)id);
  bool good = sqlite3_step(rows->read) == SQLITE_ROW;
  uint64_t n = (uint64_t)(sqlite3_column_int64(rows->read, 0) - WIDE) + 1;
  if (sqlite3_reset(rows->read) != SQLITE_OK || !good) return false;
  make_body(body, rows, id, n);
  sqlite3_bind_int64(rows->write, 1, (sqlite3_int64)id);
  sqlite3_bind_int64(rows->write, 2, (sqlite3_int64)n + WIDE);
  sqlite3_bind_blob(rows->write, 3, body, (int)rows->body, SQLITE_STATIC);
  sqlite3_bind_int64(rows->write, 4, checksum(id, n, body, rows->body));
  return run(rows->write);
}

int rows_transaction(struct rows *rows) {
  bool good = run(rows->begin);
  for (unsigned i = 0; i < ROWS_PER_TRANSACTION && good; i++) {
    rows->random += 0x9E3779B97F4A7C15ull;
    good = update(rows, 1 + mix64(rows->random) % rows->count);
  }
  sqlite3_bind_int64(rows->book, 1, ROWS_PER_TRANSACTION);
  return good && run(rows->book) && run(rows->commit) ? DONE : sick(rows, "a transaction");
}

void rows_close(struct rows *rows) {
  sqlite3_stmt *all[] = {rows->begin, rows->commit, rows->read, rows->write, rows->book};
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) sqlite3_finalize(all[i]);
  sqlite3_close(rows->db);
  *rows = (struct rows){0};
}

static bool check_rows(struct rows *rows, uint64_t *seen, uint64_t *updates, char text[STREAM_TEXT],
                       struct stream *alive) {
  sqlite3_stmt *scan = NULL;
  uint64_t last = now_ns();
  int code = prepare(rows, "SELECT id, n, body, sum FROM rows ORDER BY id", &scan) ? SQLITE_ROW : SQLITE_ERROR;
  *seen = *updates = 0;
  text[0] = 0;
  while (code == SQLITE_ROW && (code = sqlite3_step(scan)) == SQLITE_ROW) {
    uint64_t id = (uint64_t)sqlite3_column_int64(scan, 0), n = (uint64_t)(sqlite3_column_int64(scan, 1) - WIDE);
    const uint8_t *body = sqlite3_column_blob(scan, 2);
    uint32_t bytes = (uint32_t)sqlite3_column_bytes(scan, 2);
    if (bytes != rows->body || checksum(id, n, body, bytes) != sqlite3_column_int64(scan, 3)) {
      snprintf(text, STREAM_TEXT, "row %llu does not match its checksum", (unsigned long long)id);
      break;
    }
    ++*seen;
    *updates += n;
    if (!guest_alive(alive, &last)) break;
  }
  if (code != SQLITE_DONE && !text[0]) snprintf(text, STREAM_TEXT, "reading the rows: %s", sqlite3_errmsg(rows->db));
  sqlite3_finalize(scan);
  return code == SQLITE_DONE;
}

static int keep_alive(void *argument) {
  static uint64_t last; /* one database at a time */
  return !guest_alive(argument, &last);
}

static bool check_integrity(struct rows *rows, char text[STREAM_TEXT], struct stream *alive) {
  sqlite3_stmt *check = NULL;
  sqlite3_progress_handler(rows->db, 1000000, keep_alive, alive);
  bool good = prepare(rows, "PRAGMA integrity_check", &check) && sqlite3_step(check) == SQLITE_ROW;
  const char *said = good ? (const char *)sqlite3_column_text(check, 0) : sqlite3_errmsg(rows->db);
  good = good && said && strcmp(said, "ok") == 0;
  if (!good) snprintf(text, STREAM_TEXT, "integrity_check: %.150s", said ? said : "no answer");
  sqlite3_finalize(check);
  sqlite3_progress_handler(rows->db, 0, NULL, NULL);
  return good;
}

bool rows_check(struct rows *rows, struct rows_found *found, char text[STREAM_TEXT], struct stream *alive) {
  sqlite3_stmt *ledger = NULL;
  uint64_t seen, updates;
  if (!check_integrity(rows, text, alive) || !check_rows(rows, &seen, &updates, text, alive)) return false;
  bool good = prepare(rows, "SELECT transactions, updates FROM ledger", &ledger) && sqlite3_step(ledger) == SQLITE_ROW;
  if (good) {
    found->transactions = (uint64_t)(sqlite3_column_int64(ledger, 0) - WIDE);
    found->updates = (uint64_t)(sqlite3_column_int64(ledger, 1) - WIDE);
  }
  sqlite3_finalize(ledger);
  if (good && seen == rows->count && updates == found->updates) return true;
  snprintf(text, STREAM_TEXT, "%llu of %llu rows with %llu updates, but the ledger says %llu", (unsigned long long)seen,
           (unsigned long long)rows->count, (unsigned long long)updates,
           (unsigned long long)(good ? found->updates : 0));
  return false;
}

uint64_t rows_image_bytes(const uint8_t *memory, uint64_t room) {
  static const char magic[16] = "SQLite format 3";
  if (room < PAGE || memcmp(memory, magic, sizeof magic) != 0) return 0;
  uint64_t pages = (uint64_t)memory[28] << 24 | (uint64_t)memory[29] << 16 | (uint64_t)memory[30] << 8 | memory[31];
  return pages <= room / PAGE ? pages * PAGE : 0;
}
