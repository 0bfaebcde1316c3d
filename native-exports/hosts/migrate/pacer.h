/* SPDX-License-Identifier: MIT
 * Holds a guest to its rate and its throttle, and stops it between two steps. */
#ifndef PACER_H
#define PACER_H

#include <pthread.h>
#include <stdatomic.h>

#include "common.h"

struct pacer {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  atomic_bool stop, paused;
  uint64_t rate;             /* writes a second of all sharers together; 0: no limit */
  _Atomic uint32_t throttle; /* percent of its time that the guest has to sleep, 0 to 99 */
  uint32_t sharers;
};

struct pace { /* one thread's */
  uint64_t due_ns, since_ns;
};

void pacer_init(struct pacer *pacer, uint64_t rate, uint32_t sharers);
void pacer_destroy(struct pacer *pacer);
void pacer_release(struct pacer *pacer); /* before threads start */
void pacer_stop(struct pacer *pacer);    /* then join them */
void pacer_pause(struct pacer *pacer, bool pause); /* those that come to pacer_wait stay there */

static inline bool pacer_stopping(struct pacer *pacer) {
  return atomic_load_explicit(&pacer->stop, memory_order_relaxed);
}

struct pace pacer_begin(void);
/* How many writes to make before the next wait: about 2 ms worth, `most` at most. */
uint32_t pacer_batch(struct pacer *pacer, uint32_t most);
/* `did` writes were made: sleeps as long as rate and throttle ask, less if the guest is being stopped. */
void pacer_wait(struct pacer *pacer, struct pace *pace, uint32_t did);

#endif
