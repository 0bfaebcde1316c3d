/* SPDX-License-Identifier: MIT
 * Two samples of a host as a screen, or as a line of JSON. */
#ifndef SHOW_H
#define SHOW_H

#include "sample.h"

/* Rates are of the time between the two; `before` may be the same sample: then they are 0. */
void show_screen(const gmap_watch_page *before, const gmap_watch_page *now);
void show_json(const gmap_watch_page *before, const gmap_watch_page *now);

#endif
