// rust-vmm's vm-memory in the same process: the library that vm-memory/ makes, loaded if it was built.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include "peers.h"

static struct {
  void (*open)(uint64_t);
  void (*close)(void);
  void (*load)(const uint64_t *, uint64_t);
  uint64_t (*take)(void);
  void (*mark)(const uint64_t *, size_t);
  void (*stores)(const uint64_t *, size_t);
} vm;

static void *find(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (!found) {
    fprintf(stderr, "peers: %s: %s\n", name, dlerror());
    exit(1);
  }
  return found;
}

int peer_vm_memory_load(void) {
  const char *path = getenv("GMAP_PERF_VM_MEMORY");
  void *library = path && *path ? dlopen(path, RTLD_NOW) : NULL;
  if (!library) return 0;
  *(void **)&vm.open = find(library, "vm_bitmap_open");
  *(void **)&vm.close = find(library, "vm_bitmap_close");
  *(void **)&vm.load = find(library, "vm_bitmap_load");
  *(void **)&vm.take = find(library, "vm_bitmap_take");
  *(void **)&vm.mark = find(library, "vm_mark");
  *(void **)&vm.stores = find(library, "vm_stores");
  return 1;
}

void peer_vm_bitmap_open(uint64_t bytes) { vm.open(bytes); }
void peer_vm_bitmap_close(void) { vm.close(); }
void peer_vm_bitmap_load(const uint64_t *pattern, uint64_t words) { vm.load(pattern, words); }
uint64_t peer_vm_bitmap_take(void) { return vm.take(); }
void peer_vm_mark(const uint64_t *addresses, size_t n) { vm.mark(addresses, n); }
void peer_vm_stores(const uint64_t *addresses, size_t n) { vm.stores(addresses, n); }
