/* SPDX-License-Identifier: MIT
 * To one destination and, if that is lost, to another. */
#ifndef ATTEMPTS_H
#define ATTEMPTS_H

#include "source.h"

/* Migrates the guest, which runs all the time. starts: destinations are started here, processes of this program (a demo's second
 * one shows that nothing was lost; one that is lost by itself is a failure); else they are there or will be soon. The outcome is in
 * source->result. */
void attempts_migrate(struct source *source, bool starts);

#endif
