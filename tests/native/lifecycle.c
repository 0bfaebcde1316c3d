/* Loads the library named by the first argument, starts its runtime, and tells how much address space that cost. Then closes it:
 * a .NET runtime cannot be unloaded, so the library must stay (-z nodelete), and its functions must still work. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static long pages_of_address_space(void)
{
    long pages = -1;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm != NULL)
    {
        if (fscanf(statm, "%ld", &pages) != 1)
        {
            pages = -1;
        }
        fclose(statm);
    }
    return pages;
}

int main(int argc, char **argv)
{
    uint32_t (*abi_version)(void) = NULL;
    void *symbol;
    void *library;
    uint32_t version;
    long before = pages_of_address_space();

    library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL || (symbol = dlsym(library, "gmap_abi_version")) == NULL)
    {
        fprintf(stderr, "cannot load: %s\n", argc == 2 ? dlerror() : "usage: lifecycle LIBRARY");
        return 1;
    }
    memcpy(&abi_version, &symbol, sizeof abi_version);
    version = abi_version();
    printf("address space: +%ld MiB\n", (pages_of_address_space() - before) * 4 / 1024);

    if (dlclose(library) != 0 || dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL)
    {
        fprintf(stderr, "the library was unloaded by dlclose\n");
        return 1;
    }
    if (abi_version() != version)
    {
        fprintf(stderr, "the version changed from %" PRIu32 " after dlclose\n", version);
        return 1;
    }
    return 0;
}
