/* SPDX-License-Identifier: MIT
 *
 * loading.c - loads the library named by the first argument, starts its runtime, and tells how much address space that cost. Then
 * closes it: a .NET runtime cannot be unloaded, so the library must stay (-z nodelete), and its functions must still work. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static long mib_of_address_space(void) {
  long kib = -1024;
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  if (status == NULL) {
    return -1;
  }
  while (fgets(line, sizeof line, status) != NULL && sscanf(line, "VmSize: %ld kB", &kib) != 1) {
  }
  fclose(status);
  return kib / 1024;
}

int main(int argc, char **argv) {
  uint32_t (*abi_version)(void) = NULL;
  void *library, *symbol;
  uint32_t version;
  long before = mib_of_address_space();

  if (argc != 2) {
    fprintf(stderr, "usage: loading LIBRARY\n");
    return 2;
  }
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL || (symbol = dlsym(library, "gmap_abi_version")) == NULL) {
    fprintf(stderr, "cannot load: %s\n", dlerror());
    return 1;
  }
  memcpy(&abi_version, &symbol, sizeof abi_version);
  version = abi_version();
  printf("address space: +%ld MiB\n", mib_of_address_space() - before);

  if (dlclose(library) != 0 || dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL) {
    fprintf(stderr, "the library was unloaded by dlclose\n");
    return 1;
  }
  if (abi_version() != version) {
    fprintf(stderr, "the version changed after dlclose\n");
    return 1;
  }
  return 0;
}
