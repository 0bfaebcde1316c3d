/* Says which file the loader took for the library, and what that was compiled for. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include "gmap.h"

int main(void) {
  Dl_info info;
  if (!dladdr((void *)(uintptr_t)&gmap_features, &info)) return 1;
  printf("%s\n%" PRIu64 "\n", info.dli_fname, gmap_features());
  return 0;
}
