/* SPDX-License-Identifier: MIT
 * Crashes and hangs of the target, which runs in this process: the input is written to a file, and the program ends. */
#ifndef WATCH_H
#define WATCH_H

#include "target.h"

/* After gmap_runtime_init: a signal outside of a run goes to the handler that was there before. A run that takes `seconds`
 * is a hang. Files are put into `folder` as crash-NUMBER-SIGNAL or hang-NUMBER. */
bool watch_begin(const char *folder, uint32_t seconds);

/* target_run, watched. `number` names the run in what is told. */
void watch_run(struct target *target, const struct input *input, struct result *result, struct trace *trace, uint64_t number);

#endif
