/* gmap_inline.h as functions, for the tests that schedule threads (tests/GmapNative.Tests/Interleaving): the header's
 * yield points and its gmap_fault call what the test gives. The word that gmap_enter stores can be kept in a store
 * buffer, as a processor may do that has no fence there, until its thread fences or a barrier reaches it (PROTOCOL.md,
 * rule 6). */
#include <stdint.h>
#include <string.h>

#include "gmap.h"

#define SHIM __attribute__((visibility("default")))
#define SHIM_THREADS 8
#define SHIM_STORED 100 /* a place beside the header's own: the store was done */
#define SHIM_ASTRAY (-1000)
#define SHIM_VIEW_BYTES 128

typedef void shim_yield_fn(int);
typedef gmap_status shim_fault_fn(uint64_t vcpu, uint64_t guest_addr, uint32_t access, gmap_fault_result *result);

static struct {
  uint64_t *at;
  uint64_t value;
} shim_buffers[SHIM_THREADS];
static int shim_buffers_stores;
static shim_yield_fn *shim_yield;
static shim_fault_fn *shim_fault_to;
static __thread int shim_self;

static void shim_drain(int thread) {
  if (shim_buffers[thread].at) {
    __atomic_store_n(shim_buffers[thread].at, shim_buffers[thread].value, __ATOMIC_SEQ_CST);
    shim_buffers[thread].at = 0;
  }
}

/* The first word of a view, which is aligned to its size, is `inside`; its other words are visible at once. */
static void shim_store(uint64_t *at, uint64_t value) {
  if ((uintptr_t)at % SHIM_VIEW_BYTES != 0) {
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
    return;
  }
  shim_drain(shim_self);
  if (shim_buffers_stores && (value & 1)) {
    shim_buffers[shim_self].at = at;
    shim_buffers[shim_self].value = value;
  } else {
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
  }
}

static gmap_status shim_fault(uint64_t vcpu, uint64_t guest_addr, uint32_t access, gmap_fault_result *result) {
  shim_drain(shim_self);
  return shim_fault_to(vcpu, guest_addr, access, result);
}

#define GMAP_ATOMIC_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define GMAP_ATOMIC_LOAD_SEQ_CST(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define GMAP_ATOMIC_STORE_RELEASE(p, v) shim_store((p), (v))
#define GMAP_ATOMIC_CAS(p, expected, v) \
  (shim_drain(shim_self), __atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
#define GMAP_ATOMIC_OR32(p, v) (shim_drain(shim_self), (void)__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define GMAP_ATOMIC_OR64(p, v) (shim_drain(shim_self), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define GMAP_ATOMIC_FENCE() shim_drain(shim_self)
#define GMAP_COMPILER_FENCE() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define GMAP_INLINE_YIELD(n) shim_yield(n)
#define gmap_fault shim_fault

#include "gmap_inline.h"

SHIM void shim_set(shim_yield_fn *yield, shim_fault_fn *fault, int buffers_stores) {
  shim_yield = yield;
  shim_fault_to = fault;
  shim_buffers_stores = buffers_stores;
  memset(shim_buffers, 0, sizeof shim_buffers);
}

SHIM void shim_thread(int self) { shim_self = self; }

/* What membarrier does to every thread. */
SHIM void shim_barrier(void) {
  for (int thread = 0; thread < SHIM_THREADS; thread++) shim_drain(thread);
}

SHIM void shim_enter(gmap_view *view) { gmap_enter(view); }

SHIM void shim_leave(gmap_view *view) { gmap_leave(view); }

SHIM int shim_again(gmap_view *view) { return gmap_again(view); }

SHIM gmap_status shim_load_ptr(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  return gmap_load_ptr(view, guest_addr, size, host);
}

SHIM gmap_status shim_store_ptr(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  return gmap_store_ptr(view, guest_addr, size, host);
}

SHIM gmap_status shim_load_resolve(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  return gmap_load_resolve(view, guest_addr, size, host, NULL);
}

SHIM gmap_status shim_store_resolve(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  return gmap_store_resolve(view, guest_addr, size, host, NULL);
}

/* The store itself: never through a pointer that is not the page's, or a bug that is looked for would end the
 * process. */
static gmap_status shim_put(void *host, void *expected, uint64_t value) {
  if (host != expected) return SHIM_ASTRAY;
  __atomic_store_n((uint64_t *)host, value, __ATOMIC_RELAXED);
  shim_yield(SHIM_STORED);
  return 0;
}

/* A store of one word in a section, by the whole access path. */
SHIM gmap_status shim_write(gmap_view *view, uint64_t guest_addr, uint64_t value, void *expected) {
  void *host;
  gmap_status status = gmap_store_resolve(view, guest_addr, 8, &host, NULL);
  return status ? status : shim_put(host, expected, value);
}

/* The same through a cache of one entry, zeroed by the caller. */
SHIM gmap_status shim_cached_write(gmap_view *view, gmap_cache_entry *cache, uint64_t guest_addr, uint64_t value,
                                   void *expected) {
  void *host;
  gmap_status status = gmap_cache_store(view, cache, 0, guest_addr, 8, &host);
  if (status == GMAP_INLINE_ASK) {
    status = gmap_store_resolve(view, guest_addr, 8, &host, NULL);
  }
  return status ? status : shim_put(host, expected, value);
}

/* The same, and the poll that ends the section before it. */
SHIM gmap_status shim_again_write(gmap_view *view, gmap_cache_entry *cache, uint64_t guest_addr, uint64_t value,
                                  void *expected) {
  void *host;
  gmap_status status = gmap_again_store(view, cache, 0, guest_addr, 8, &host);
  if (status == GMAP_INLINE_ASK) {
    status = gmap_store_resolve(view, guest_addr, 8, &host, NULL);
  }
  return status ? status : shim_put(host, expected, value);
}

/* A store of 16 bytes of which the second half is the first word of a page. */
SHIM gmap_status shim_write_across(gmap_view *view, uint64_t guest_addr, uint64_t value, void *expected) {
  void *host;
  gmap_status status = gmap_store_resolve(view, guest_addr - 8, 16, &host, NULL);
  return status ? status : shim_put((char *)host + 8, expected, value);
}
