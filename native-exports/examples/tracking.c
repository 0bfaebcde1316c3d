/* SPDX-License-Identifier: MIT
 *
 * tracking.c - the shortest host: 64 MB of guest memory, two stores, and which pages they changed.
 *
 *   cc tracking.c $(pkg-config --cflags --libs gmapnative) -o tracking */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gmap_inline.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#endif

#define SIZE (64u << 20)

static void check(gmap_status status, const char *what) {
  if (status == 0) return;
  fprintf(stderr, "%s: %s\n", what, gmap_strerror(status));
  exit(1);
}

static void *guest_memory(void) {
#ifdef _WIN32
  return VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
#else
  void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
#endif
}

static void store(gmap_view *view, uint64_t guest_addr, uint64_t value) {
  void *host;
  gmap_enter(view);
  check(gmap_store_resolve(view, guest_addr, sizeof value, &host, NULL), "store");
  memcpy(host, &value, sizeof value);
  gmap_leave(view);
}

int main(void) {
  void *memory = guest_memory();
  gmap_space_config space_config = {.struct_size = sizeof space_config, .limit = SIZE - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1, .flags = GMAP_SLOT_LOG_DIRTY, .size = SIZE, .host_addr = (uintptr_t)memory};
  gmap_vcpu_config vcpu_config = {.struct_size = sizeof vcpu_config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t engine, space, vcpu, next;
  gmap_view *view;
  gmap_range runs[16];
  size_t count;

  if (!memory) return 1;
  check(gmap_engine_create(NULL, &engine), "engine");
  check(gmap_space_create(engine, &space_config, &space), "space");
  check(gmap_slot_set(space, &slot), "slot");
  check(gmap_vcpu_open(space, &vcpu_config, &vcpu, &view), "vcpu");

  store(view, 0x5000, 1);
  store(view, 0x2345678, 2);

  check(gmap_dirty_harvest_ranges(space, 1, 0, SIZE / GMAP_PAGE_SIZE, 0, runs, 16, &count, &next), "harvest");
  for (size_t i = 0; i < count; i++) printf("page %" PRIu64 ", %" PRIu64 " of them\n", runs[i].first_page, runs[i].count);

  check(gmap_vcpu_close(vcpu), "vcpu");
  check(gmap_space_destroy(space), "space");
  check(gmap_engine_destroy(engine), "engine");
  return 0;
}
