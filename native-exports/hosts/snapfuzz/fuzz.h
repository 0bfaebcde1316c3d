/* SPDX-License-Identifier: MIT
 * The loop: an input is made, parsed, learnt from, and the memory put back. Each answers an exit status. */
#ifndef FUZZ_H
#define FUZZ_H

#include "settings.h"

int fuzz_run(const struct settings *settings); /* run and verify */
int fuzz_replay(const struct settings *settings);

#endif
