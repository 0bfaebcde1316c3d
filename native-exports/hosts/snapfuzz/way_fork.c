/* SPDX-License-Identifier: MIT
 * A fork server: a process with the warmed-up parser forks a child for each input. It is a process without the library, and is
 * asked once a turn, not once an input: what it costs here is fork, copy on write, exit and waitpid, and nothing else. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ways.h"

struct shared { /* among the three: us, the server, its child of the moment */
  struct turn turn;
  uint64_t parse_ns;
  struct result results[];
};

struct server {
  pid_t process;
  int ask, answer;
  size_t bytes;
  struct shared *shared;
};

_Noreturn static void child(struct target *target, const struct input *input, struct shared *shared, struct result *result) {
  uint64_t begun = now_ns();
  target_run(target, input, result, NULL);
  shared->parse_ns = now_ns() - begun;
  _exit(EXIT_SUCCESS);
}

static bool serve_turn(struct target *target, const struct plan *plan, struct shared *shared) {
  struct turn turn = {.cpu_ns = cpu_ns()};
  for (uint32_t i = 0; i < plan->count; i++) {
    int status;
    uint64_t begun = now_ns();
    pid_t process = fork();
    if (process == 0) child(target, &plan->inputs[i], shared, &shared->results[i]);
    if (process < 0 || waitpid(process, &status, 0) != process) return complain("fork server: %s", strerror(errno));
    turn.total_ns += now_ns() - begun;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) return complain("fork server: the child of input %u died", i);
    turn.parse_ns += shared->parse_ns;
    turn.runs++;
  }
  turn.cpu_ns = cpu_ns() - turn.cpu_ns;
  shared->turn = turn;
  return true;
}

/* One byte asks for a turn, one says that it was made; the pipe's end is ours. */
_Noreturn static void serve(const struct plan *plan, struct shared *shared, int asked, int answer) {
  char byte;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void *memory = map_memory(plan->memory);
  struct target *target = memory ? target_create(memory, plan->memory) : NULL;
  while (target && read(asked, &byte, 1) == 1)
    if (!serve_turn(target, plan, shared) || write(answer, &byte, 1) != 1) break;
  _exit(EXIT_SUCCESS);
}

enum opened fork_open(struct way *way, const struct plan *plan) {
  struct server *server = way->own = calloc(1, sizeof *server);
  int ask[2], answer[2];
  if (!server || pipe(ask) != 0 || pipe(answer) != 0) return complain("fork server: %s", strerror(errno)), OPENED_NOT;
  server->bytes = sizeof *server->shared + plan->count * sizeof server->shared->results[0];
  server->shared = mmap(NULL, server->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (server->shared == MAP_FAILED) return complain("fork server: %s", strerror(errno)), OPENED_NOT;
  server->process = fork();
  if (server->process < 0) return complain("fork server: %s", strerror(errno)), OPENED_NOT;
  if (server->process == 0) {
    close(ask[1]);
    close(answer[0]);
    serve(plan, server->shared, ask[0], answer[1]);
  }
  close(ask[0]);
  close(answer[1]);
  server->ask = ask[1];
  server->answer = answer[0];
  return OPENED;
}

bool fork_turn(struct way *way, struct plan *plan, struct turn *turn) {
  struct server *server = way->own;
  char byte = 0;
  if (write(server->ask, &byte, 1) != 1 || read(server->answer, &byte, 1) != 1) return complain("the fork server is gone");
  *turn = server->shared->turn;
  for (uint32_t i = 0; i < plan->count; i++)
    if (!result_is_right(way, plan, i, &server->shared->results[i])) return false;
  return true;
}

void fork_close(struct way *way) {
  struct server *server = way->own;
  if (server && server->process > 0) {
    close(server->ask);
    close(server->answer);
    waitpid(server->process, NULL, 0);
    munmap(server->shared, server->bytes);
  }
  free(server);
}
