/* SPDX-License-Identifier: MIT
 * The database of the sqlite guest. Table "rows": id, n (how often it was updated), body, and a checksum over the
 * three. Table "ledger", one row: transactions and updates that were committed. All integers are stored
 * with a constant width and the bodies have one length, so an update never moves a row to another page. */
#ifndef SQLITE_ROWS_H
#define SQLITE_ROWS_H

#include <sqlite3.h>

#include "guest.h"

#define ROWS_PER_TRANSACTION 10u
#define ROWS_MAX_BODY 3600u

struct rows {
  sqlite3 *db;
  sqlite3_stmt *begin, *commit, *read, *write, *book;
  uint64_t seed, count, random;
  uint32_t body;
};

/* Opens the database that is (or, with bytes 0, is going to be) in this memory; the memory stays the caller's. */
int rows_open(struct rows *rows, const struct guest_header *header, uint8_t *memory, uint64_t bytes);
int rows_build(struct rows *rows);
/* One transaction of random row updates. */
int rows_transaction(struct rows *rows);
void rows_close(struct rows *rows);

struct rows_found {
  uint64_t transactions, updates;
};

/* integrity_check, every row's checksum, and the ledger against the rows; false with the reason in text. */
bool rows_check(struct rows *rows, struct rows_found *found, char text[STREAM_TEXT], struct stream *alive);

/* Bytes of a database image by its own header, or 0 if it is none that fits. */
uint64_t rows_image_bytes(const uint8_t *memory, uint64_t room);

#endif
