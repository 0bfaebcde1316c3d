/* SPDX-License-Identifier: MIT
 *
 * mishap_pointer.c - a pointer of the host's that is none. Where a call may allocate it is answered by GMAP_EIO and
 * nothing changed; a hot call has no guard and ends the process, after words that say whose fault it may be and where. */
#include "mishap.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE (2 * MIB)

static fixture f;

static void *in_the_first_page(void) { return (void *)(uintptr_t)128; }

static void a_call_that_is_guarded(void) {
  uint64_t made = 77;
  mishap("a guarded call");
  CHECK_STATUS(gmap_engine_create((const gmap_engine_config *)in_the_first_page(), &made), GMAP_EIO);
  CHECK_EQUAL(made, 77);
  CHECK_OK(gmap_engine_create(NULL, &made));
  CHECK_OK(gmap_engine_destroy(made));
}

static void fault_into(void *result) { /* with a library of its own: a fork's child may not use its parent's */
  mishap_open(&f, SIZE, 0, NULL, NULL, NULL);
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &f.vcpu, &f.view));
  gmap_fault(f.vcpu, GUEST, GMAP_ACCESS_WRITE, (gmap_fault_result *)result);
  _exit(0);
}

/* The child's status; what it said is in `said`. */
static int end_of_a_child(void *result, char *said, size_t room) {
  int ends[2], status = -1;
  size_t length = 0;
  ssize_t more;
  pid_t child;
  REQUIRE(pipe(ends) == 0);
  fflush(stdout);
  child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    REQUIRE(dup2(ends[1], 2) == 2);
    fault_into(result);
  }
  close(ends[1]);
  while (length + 1 < room && (more = read(ends[0], said + length, room - 1 - length)) > 0) length += (size_t)more;
  said[length] = 0;
  close(ends[0]);
  REQUIRE(waitpid(child, &status, 0) == child);
  printf("%s", said);
  return status;
}

static int words_in(const char *said, const char *words) {
  int count = 0;
  for (; (said = strstr(said, words)) != NULL; said += strlen(words)) count++;
  return count;
}

static void hot_calls(void) {
  static char said[16384];
  void *closed = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int status;
  REQUIRE(closed != MAP_FAILED);
  mishap("a pointer into the first page");
  status = end_of_a_child(in_the_first_page(), said, sizeof said);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  CHECK_EQUAL(words_in(said, "libgmapnative"), words_in(said, "at libgmapnative") + 1);
  CHECK(words_in(said, "NullReference") == 1 && words_in(said, "report it") == 1);
  CHECK(words_in(said, "at libgmapnative.so!<BaseAddress>+0x") >= 2);

  mishap("a pointer to memory that is closed");
  status = end_of_a_child(closed, said, sizeof said);
  CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV));
  munmap(closed, PAGE);
}

int main(void) {
  hot_calls(); /* first: the parent of a fork has no library yet */
  a_call_that_is_guarded();
  return check_done("mishap_pointer");
}
