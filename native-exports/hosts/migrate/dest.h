/* SPDX-License-Identifier: MIT
 * The destination. */
#ifndef DEST_H
#define DEST_H

#include "options.h"

/* Listens, takes one guest over, runs it to its end. The exit status of the process. */
int destination_run(const struct options *options);

#endif
