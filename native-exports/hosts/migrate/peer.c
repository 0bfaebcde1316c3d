/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 10000

extern char **environ;

/* posix_spawn, not fork: nothing of this process is copied, and the library is not called before the exec. */
static int spawn(struct peer *peer, const struct options *options, const char *address) {
  char retry[24], timeout[24];
  char *arguments[] = {program_invocation_short_name, "--listen", (char *)address, "--accept-s", "60", "--retry-s", retry,
                       "--timeout-s", timeout, NULL};
  posix_spawn_file_actions_t actions;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  snprintf(retry, sizeof retry, "%llu", (unsigned long long)options->retry_s);
  snprintf(timeout, sizeof timeout, "%llu", (unsigned long long)options->timeout_s);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  int error = posix_spawn(&peer->pid, "/proc/self/exe", &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error) close(ends[0]), peer->pid = 0;
  else peer->output = ends[0];
  return error;
}

/* "listening on ADDR": the address with the port it got. */
static bool read_address(struct peer *peer) {
  static const char before[] = "listening on ";
  char line[ADDRESS_TEXT];
  size_t n = 0;
  while (n + 1 < sizeof line && read(peer->output, line + n, 1) == 1 && line[n] != '\n') n++;
  line[n] = 0;
  if (strncmp(line, before, sizeof before - 1) != 0) return false;
  strcpy(peer->address, line + sizeof before - 1); /* fits: it is shorter than the line */
  return true;
}

static bool choose_address(struct peer *peer, const struct options *options, char address[ADDRESS_TEXT]) {
  const char *temporary = getenv("TMPDIR");
  snprintf(address, ADDRESS_TEXT, "tcp:127.0.0.1:0");
  if (options->tcp) return true;
  if (!temporary || strlen(temporary) > 60) temporary = "/tmp"; /* a socket path is short */
  snprintf(peer->folder, sizeof peer->folder, "%s/gmap-migrate-XXXXXX", temporary);
  if (!mkdtemp(peer->folder)) {
    complain("%s: %s; set TMPDIR to a folder that can be written", temporary, strerror(errno));
    peer->folder[0] = 0;
    return false;
  }
  snprintf(address, ADDRESS_TEXT, "unix:%s/socket", peer->folder);
  return true;
}

int peer_start(struct peer *peer, const struct options *options) {
  char address[ADDRESS_TEXT];
  *peer = (struct peer){.output = -1};
  if (!choose_address(peer, options, address)) return -1;
  int error = spawn(peer, options, address), fd = -1;
  if (error) complain("starting the destination process: %s", strerror(error));
  else if (!read_address(peer)) complain("the destination process did not come up");
  else fd = address_connect(peer->address, false, options->timeout_s * 1000);
  if (fd < 0) peer_wait(peer);
  return fd;
}

int peer_wait(struct peer *peer) {
  int status = -1;
  if (peer->pid) {
    pid_t ended = 0;
    for (unsigned i = 0; i < WAIT_MS / 5 && (ended = waitpid(peer->pid, &status, WNOHANG)) == 0; i++)
      nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (ended == 0) {
      kill(peer->pid, SIGKILL);
      waitpid(peer->pid, &status, 0);
    }
  }
  if (peer->output >= 0) close(peer->output);
  if (peer->folder[0]) {
    char path[sizeof peer->folder + 8];
    snprintf(path, sizeof path, "%s/socket", peer->folder);
    unlink(path); /* left over only if the destination was killed early */
    rmdir(peer->folder);
  }
  *peer = (struct peer){.output = -1};
  return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
