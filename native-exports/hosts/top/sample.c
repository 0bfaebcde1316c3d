/* SPDX-License-Identifier: MIT
 * Finds hosts by their files in shared memory, and copies their pages. */
#include "sample.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>

#define SHARED "/dev/shm"
#define MOST_TRIES 1000

static bool complain(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("gmap-top: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  return false;
}

static bool exists(long pid) { return kill((pid_t)pid, 0) == 0 || errno == EPERM; }

long host_find(void) {
  char found[256] = "";
  long pid = -1;
  int count = 0;
  DIR *folder = opendir(SHARED);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    long candidate;
    char end;
    if (sscanf(entry->d_name, "gmap-%ld%c", &candidate, &end) != 1 || !exists(candidate)) continue;
    pid = candidate;
    count++;
    snprintf(found + strlen(found), sizeof found - strlen(found), " %ld", candidate);
  }
  if (folder) closedir(folder);
  if (count == 1) return pid;
  complain(count ? "several hosts are there, choose one: gmap-top PID;%s" : "no host publishes a page (gmap_watch.h)%s", found);
  return -1;
}

bool host_open(struct host *host, long pid) {
  char name[32];
  struct stat file;
  void *mapped = MAP_FAILED;
  snprintf(name, sizeof name, "/gmap-%ld", pid);
  int fd = shm_open(name, O_RDONLY, 0);
  if (fd < 0 && errno == ENOENT) return complain("process %ld publishes no page (gmap_watch.h)", pid);
  if (fd < 0) return complain("the page of %ld: %s", pid, strerror(errno));
  bool fits = fstat(fd, &file) == 0 && (size_t)file.st_size >= sizeof *host->page;
  if (fits) mapped = mmap(NULL, sizeof *host->page, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (!fits) return complain("the page of %ld is of another version of gmap_watch.h", pid);
  if (mapped == MAP_FAILED) return complain("the page of %ld: %s", pid, strerror(errno));
  *host = (struct host){pid, mapped};
  if (__atomic_load_n(&host->page->magic, __ATOMIC_ACQUIRE) != GMAP_WATCH_MAGIC || host->page->version != GMAP_WATCH_VERSION ||
      host->page->bytes != sizeof *host->page)
    return complain("the page of %ld is of another version of gmap_watch.h", pid);
  return true;
}

bool host_is_alive(const struct host *host) { return exists(host->pid); }

/* Counts and names come from another process: none is believed further than the struct reaches. */
static void tame(gmap_watch_page *sample) {
  if (sample->spaces > GMAP_WATCH_SPACES) sample->spaces = GMAP_WATCH_SPACES;
  if (sample->slots > GMAP_WATCH_SLOTS) sample->slots = GMAP_WATCH_SLOTS;
  if (sample->consumers > GMAP_WATCH_CONSUMERS) sample->consumers = GMAP_WATCH_CONSUMERS;
  sample->name[sizeof sample->name - 1] = sample->library[sizeof sample->library - 1] = 0;
  for (int i = 0; i < GMAP_WATCH_SPACES; i++) sample->space[i].name[GMAP_WATCH_NAME - 1] = 0;
  for (int i = 0; i < GMAP_WATCH_SLOTS; i++) sample->slot[i].name[GMAP_WATCH_NAME - 1] = 0;
  for (int i = 0; i < GMAP_WATCH_CONSUMERS; i++) sample->consumer[i].name[GMAP_WATCH_NAME - 1] = 0;
}

bool host_sample(const struct host *host, gmap_watch_page *sample) {
  for (int tries = 0; tries < MOST_TRIES; tries++) {
    uint64_t before = __atomic_load_n(&host->page->sequence, __ATOMIC_ACQUIRE);
    memcpy(sample, host->page, sizeof *sample);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(before & 1) && __atomic_load_n(&host->page->sequence, __ATOMIC_RELAXED) == before) return tame(sample), true;
    usleep(100);
  }
  return false;
}
