/* SPDX-License-Identifier: MIT
 * What the program does; each returns its exit status. */
#ifndef ACTIONS_H
#define ACTIONS_H

#include "settings.h"

int compare_stopped(const struct settings *settings);
int compare_running(const struct settings *settings);
int migrate(const struct settings *settings);

#endif
