/* SPDX-License-Identifier: MIT
 * What a host published, read whole. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* The page's layout without the library's functions: gmap-top calls none. */
#include "gmap_watch.h"

struct host {
  long pid;
  const gmap_watch_page *page; /* mapped for reading */
};

/* Opens a host's page. False after one line on stderr. */
bool host_open(struct host *host, long pid);
/* The only host there is; -1 after one line: none, or several, which are named. */
long host_find(void);
bool host_is_alive(const struct host *host);
/* A copy that nobody wrote meanwhile. False: the host did not come to an end of writing. */
bool host_sample(const struct host *host, gmap_watch_page *sample);

#endif
