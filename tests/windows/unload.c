/* SPDX-License-Identifier: MIT
 *
 * unload.c - FreeLibrary is harmless: a .NET runtime cannot be unloaded, and pins the DLL. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#include "gmap.h"

int main(void) {
  HMODULE library = LoadLibraryA("gmapnative.dll");
  int32_t (*start)(void);
  uint32_t (*version)(void);
  FARPROC found;
  int i;
  if (!library) return 2;
  found = GetProcAddress(library, "gmap_runtime_init");
  memcpy(&start, &found, sizeof start);
  found = GetProcAddress(library, "gmap_abi_version");
  memcpy(&version, &found, sizeof version);
  if (start() != 0 || version() != GMAP_ABI_VERSION) return 3;
  for (i = 0; i < 4; i++) FreeLibrary(library);
  if (!GetModuleHandleA("gmapnative.dll") || version() != GMAP_ABI_VERSION) return 4;
  puts("unload: still there after FreeLibrary");
  return 0;
}
