/* SPDX-License-Identifier: MIT
 * gmap-top: a host that publishes its page (gmap_watch.h), live. */
#include <signal.h>

#include "sample.h"
#include "show.h"

#define HOME "\033[H"
#define CLEAR_REST "\033[J"
#define ALTERNATE "\033[?1049h\033[?25l"
#define PRIMARY "\033[?25h\033[?1049l"

static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static int usage(FILE *to, int status) {
  fputs("usage: gmap-top [PID] [--json] [--interval SECONDS (1)] [--count N]\n"
        "Shows the arena, faults, splits, dirty pages and how far consumers are behind, of a process that publishes a page by\n"
        "gmap_watch.h. Without PID: of the only one there is. On a terminal the screen is drawn anew each time; --json: a line each.\n"
        "Ends by ^C, after N samples, or when the process ends. Status: 0; 1: no such host; 2: a bad option.\n",
        to);
  return status;
}

/* False: it is to end. */
static bool wait_interval(double seconds) {
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  return !stopped && nanosleep(&time, NULL) == 0 && !stopped;
}

static int watch(const struct host *host, bool json, double interval, long count) {
  static gmap_watch_page samples[2];
  bool screen = !json && isatty(STDOUT_FILENO);
  int at = 0, status = 0;
  if (screen) fputs(ALTERNATE, stdout);
  for (long shown = 0; count == 0 || shown < count; shown++, at ^= 1) {
    if (shown && !wait_interval(interval)) break;
    bool alive = host_is_alive(host);
    if (!host_sample(host, samples + at)) {
      status = alive ? status : 1; /* it died while it wrote */
      if (!alive) break;
      continue;
    }
    const gmap_watch_page *before = shown ? samples + (at ^ 1) : samples + at;
    if (screen) fputs(HOME, stdout);
    (json ? show_json : show_screen)(before, samples + at);
    if (screen) fputs(CLEAR_REST, stdout);
    fflush(stdout);
    if (!alive || ferror(stdout)) break;
  }
  if (screen) fputs(PRIMARY, stdout);
  if (!host_is_alive(host)) fprintf(stderr, "gmap-top: process %ld has ended\n", host->pid);
  return status;
}

int main(int argc, char **argv) {
  double interval = 1;
  long pid = -1, count = 0;
  bool json = false;
  for (int i = 1; i < argc; i++) {
    char *end = "";
    if (strcmp(argv[i], "--help") == 0) return usage(stdout, 0);
    if (strcmp(argv[i], "--json") == 0) json = true;
    else if (strcmp(argv[i], "--interval") == 0 && i + 1 < argc) interval = strtod(argv[++i], &end);
    else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc) count = strtol(argv[++i], &end, 10);
    else if (pid < 0) pid = strtol(argv[i], &end, 10);
    else return usage(stderr, 2);
    if (*end || !(interval >= 0.01 && interval <= 86400) || count < 0 || pid < -1 || pid == 0) return usage(stderr, 2);
  }
  struct host host;
  struct sigaction action = {.sa_handler = stop};
  if (pid < 0 && (pid = host_find()) < 0) return 1;
  if (!host_open(&host, pid)) return 1;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  return watch(&host, json, interval, count);
}
