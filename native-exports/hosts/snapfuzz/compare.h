/* SPDX-License-Identifier: MIT
 * The same inputs, parsed from the same state, put back in several ways that take turns. Answers an exit status. */
#ifndef COMPARE_H
#define COMPARE_H

#include "settings.h"

int compare(const struct settings *settings);

#endif
