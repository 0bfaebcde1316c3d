/* SPDX-License-Identifier: MIT
 * What a guest is to the migration: something that runs in a machine's memory and can be stopped where all its state
 * is there.
 *
 * Guest memory:
 *   0 to 1 MB            struct guest_header, the rest zero
 *   1 MB to image_at     the guest's own: partitions of the threads, or the SQLite database
 *   image_at to the end  the image of --image, whole pages (nothing without one) */
#ifndef GUEST_H
#define GUEST_H

#include "machine.h"
#include "options.h"
#include "pacer.h"
#include "stream.h"

struct guest_header {
  uint64_t magic;
  uint64_t kind;        /* GUEST_* */
  uint64_t memory;      /* bytes in all */
  uint64_t threads;     /* threads guest: partitions */
  uint64_t partition;   /* and the bytes of one */
  uint64_t steps;       /* steps of one thread */
  uint64_t seed;
  uint64_t rows;        /* sqlite guest */
  uint64_t database;    /* bytes that the database may fill */
  uint64_t image_at;
  uint64_t image_bytes; /* of the file */
  uint64_t image_digest; /* of its whole pages */
};

/* What of a guest is not in its memory: the registers of a virtual machine's vCPUs, its devices. */
struct guest_state {
  void *bytes; /* from malloc; the guest's */
  uint64_t size;
};

struct guest;
struct arrivals;

struct guest_ops {
  const char *name;
  int (*prepare)(struct guest *guest); /* source: fills the memory */
  int (*adopt)(struct guest *guest);   /* destination: takes over the memory as it is, distrusting it */
  int (*start)(struct guest *guest);
  int (*stop)(struct guest *guest);    /* at a boundary, with `outside` filled; start goes on from there */
  /* Destination: goes on to the end and checks everything; false with the reason in verdict->text. */
  bool (*complete)(struct guest *guest, const struct handover *handover, struct verdict *verdict, struct stream *alive);
  void (*close)(struct guest *guest);
};

struct guest {
  const struct guest_ops *ops;
  struct machine *machine;
  struct guest_header header; /* the host's copy */
  struct pacer pacer;
  _Atomic uint64_t writes; /* made in this process */
  _Atomic bool failed;     /* told already */
  bool running;
  uint64_t transactions;   /* sqlite: committed in this process; read while stopped */
  struct arrivals *arrivals;  /* destination, while pages of its memory are still to come; else NULL */
  struct guest_state outside; /* nothing, for a guest that has everything in its memory */
  void *state;
};

extern const struct guest_ops guest_threads, guest_sqlite;

/* A program brings guest_create, guest_adopt, guest_image_right and guest_known for its guests; the others are the same for all. */

/* Source: lays the memory out, loads the image, prepares the guest. */
int guest_create(struct guest *guest, struct machine *machine, enum guest_kind kind, const struct options *options);
/* Destination: reads the header out of the memory that arrived. outside is looked at, and stays the caller's. */
int guest_adopt(struct guest *guest, struct machine *machine, uint32_t kind, const struct guest_state *outside);
/* The image of --image is as it was at the source. */
bool guest_image_right(const struct guest *guest);
/* Does this program run guests of this kind? */
bool guest_known(uint32_t kind);
int guest_start(struct guest *guest);
int guest_stop(struct guest *guest);
void guest_destroy(struct guest *guest);

/* Tells the source now and then that the destination is still at work. Returns true while the source is there; without a
 * stream somebody else tells it. */
bool guest_alive(struct stream *alive, uint64_t *last_ns);

/* The final answer of the threads guest, from a plain C run on ordinary memory. */
int reference_answer(const struct guest_header *header, uint64_t *answer);

#endif
