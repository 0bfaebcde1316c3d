/* SPDX-License-Identifier: MIT
 * --tables: the translation tables of a guest that runs, as an image, and what the engine says of its pages. */
#ifndef TABLES_H
#define TABLES_H

#include "machine.h"

/* Writes NAME-LABEL-ROUND.bin, the image of gmap_image_export, and NAME-LABEL-ROUND.case, a line for each access: the
 * format of tests/judge. No harvest may run meanwhile; the guest may. */
int tables_write(const struct machine *machine, const char *name, const char *label, uint32_t round);

#endif
