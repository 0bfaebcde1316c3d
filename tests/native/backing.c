/* SPDX-License-Identifier: MIT
 *
 * backing.c - a slot whose truth is the kernel (asynchronous userfaultfd): plain stores and system calls of code
 * that knows nothing of the library are reported exactly, without root. What it cannot see, a kernel write
 * through an earlier pin, is not reported; marking at completion is the cure.
 *
 *   backing       everything but the pin
 *   backing pin   the pin: an io_uring fixed buffer */
#include "fixture.h"
#include "uring.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>

#define SIZE (8 * MIB)
#define PAGES PAGES_OF(SIZE)

static fixture f;
static uint64_t backing, bitmap[MAX_WORDS];
static char last_message[512];

static void on_log(void *user, int32_t level, const char *message) {
  (void)user, (void)level;
  snprintf(last_message, sizeof last_message, "%s", message);
}

/* Nobody: no capability is needed. */
static void drop_root(void) {
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) {
    fprintf(stderr, "note: root cannot be dropped here (a user namespace without nobody?)\n");
    return;
  }
  REQUIRE(geteuid() != 0);
  REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0); /* /proc/self stays ours, as for a program that nobody starts */
}

static void open_backed(void) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .arena_bytes = 16 * MIB, .log = on_log};
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_status status;
  f.size = SIZE;
  f.memory = guest_memory(SIZE);
  REQUIRE_OK(gmap_engine_create(&engine_is, &f.engine));
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &f.space));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &f.vcpu, &f.view));
  status = gmap_backing_attach(f.space, SLOT, &config, &backing);
  if (status == GMAP_EOPNOTSUPP) {
    CHECK((gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC) == 0);
    CHECK(last_message[0] != 0); /* what is missing, and the way out */
    if (check_failures == 0) skip("asynchronous write-protect of userfaultfd with PAGEMAP_SCAN (Linux 6.7)");
  }
  REQUIRE_OK(status);
  CHECK((gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC) != 0);
}

static void nothing_yet(void) {
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  CHECK_NO_PAGES(bitmap, PAGES);
  CHECK_EQUAL(f.memory[123 * PAGE], 0); /* a load is no store */
  CHECK_EQUAL(harvest(&f, bitmap), 0);
}

static void plain_stores(void) {
  unsigned round;
  for (round = 0; round < 3; round++) { /* armed again each time */
    memset(f.memory + 3 * PAGE + 8, 0x11 + (int)round, 8);
    memset(f.memory + 300 * PAGE - 1, 0x22, 2);
    f.memory[SIZE - 1] = 0x33;
    CHECK_EQUAL(harvest(&f, bitmap), 4);
    CHECK_PAGES(bitmap, PAGES, 3, 299, 300, PAGES - 1);
    CHECK_EQUAL(harvest(&f, bitmap), 0);
  }
}

static int file_of(unsigned char byte, size_t size) {
  unsigned char data[4 * PAGE];
  int file = memfd_create("source", 0);
  REQUIRE(file >= 0 && size <= sizeof data);
  memset(data, byte, size);
  REQUIRE(write(file, data, size) == (ssize_t)size && lseek(file, 0, SEEK_SET) == 0);
  return file;
}

/* read(2) and friends write by the kernel's hand, through the page table: seen. */
static void system_calls(void) {
  int file = file_of(0x44, 2 * PAGE), pipes[2];
  CHECK(read(file, f.memory + 40 * PAGE + 100, 2 * PAGE) == (ssize_t)(2 * PAGE)); /* 40, 41, 42 */
  CHECK(pread(file, f.memory + 500 * PAGE, 1, 0) == 1);
  REQUIRE(pipe(pipes) == 0);
  CHECK(write(pipes[1], "pipe", 4) == 4);
  CHECK(read(pipes[0], f.memory + 600 * PAGE + 4000, 4) == 4);
  CHECK(write(pipes[1], f.memory + 700 * PAGE, 16) == 16); /* the kernel reads: not dirty */
  CHECK_EQUAL(harvest(&f, bitmap), 5);
  CHECK_PAGES(bitmap, PAGES, 40, 41, 42, 500, 600);
  close(pipes[0]);
  close(pipes[1]);
  close(file);
}

/* The tables of such a slot keep their leaves; stores through them are the kernel's to see; marks add to it. */
static void leaves_stay(void) {
  gmap_fault_result result = fault_result();
  void *host = NULL;
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 2 * MIB + 5, GMAP_ACCESS_WRITE, &result));
  CHECK_EQUAL(result.leaf_size, MIB);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 0); /* granted is not written */
  gmap_enter(f.view);
  if (CHECK_OK(gmap_store_resolve(f.view, GUEST + 2 * MIB + 9 * PAGE, 8, &host, NULL))) memset(host, 0x55, 8);
  gmap_leave(f.view);
  CHECK_OK(gmap_mark_dirty(f.space, GUEST + 77 * PAGE, 1));
  CHECK_OK(gmap_write(f.space, GUEST + 88 * PAGE, "x", 1));
  CHECK_EQUAL(harvest(&f, bitmap), 3);
  CHECK_PAGES(bitmap, PAGES, 77, 88, 512 + 9);
  CHECK_EQUAL(space_stats(f.space).splits, 0);
  CHECK(space_stats(f.space).backing_scans > 0);
}

static void parts_and_looks(void) {
  uint64_t dirty = 0;
  f.memory[100 * PAGE] ^= 1;
  f.memory[200 * PAGE] ^= 1;
  CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, bitmap, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 64, 64, 0, bitmap, MAX_WORDS, &dirty)); /* 64 to 127 */
  CHECK_EQUAL(dirty, 1);
  CHECK_EQUAL(bitmap[0], 1ull << (100 - 64));
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 200);
}

static void refusals(void) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  unsigned char *nothing = guest_memory(256 * MIB);
  uint64_t other;
  int32_t fd = -1;
  CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &config, &other), GMAP_EBUSY);
  CHECK_STATUS(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST + SIZE, SIZE, f.memory), GMAP_EBUSY);
  REQUIRE_OK(set_slot(f.space, 9, GMAP_SLOT_LOG_DIRTY, 512 * MIB, SIZE, f.memory)); /* the same memory again */
  CHECK_STATUS(gmap_backing_attach(f.space, 9, &config, &other), GMAP_EBUSY);
  CHECK_OK(set_slot(f.space, 9, 0, 0, 0, NULL));
  munmap(nothing + 64 * PAGE, PAGE); /* one page of the slot is not mapped, then none, nor what lies around */
  REQUIRE_OK(set_slot(f.space, 9, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, nothing));
  CHECK_STATUS(gmap_backing_attach(f.space, 9, &config, &other), GMAP_EFAULT);
  munmap(nothing, 256 * MIB);
  CHECK_STATUS(gmap_backing_attach(f.space, 9, &config, &other), GMAP_EFAULT);
  CHECK_OK(set_slot(f.space, 9, 0, 0, 0, NULL));
  CHECK_OK(gmap_backing_fd(backing, &fd));
  CHECK(fd >= 0 && fcntl(fd, F_GETFD) >= 0);
  CHECK_STATUS(gmap_backing_fd(backing, NULL), GMAP_EINVAL);
}

/* A slot goes and takes its backing along; the last bits are handed out. */
static void a_backed_slot_goes(void) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_slot gone = slot_of(9, 0, 0, 0, NULL);
  unsigned char *memory = guest_memory(MIB);
  uint64_t other;
  int32_t fd;
  REQUIRE_OK(set_slot(f.space, 9, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, memory));
  REQUIRE_OK(gmap_backing_attach(f.space, 9, &config, &other));
  memory[5 * PAGE] = 1;
  gone.final_bitmap = bitmap;
  gone.final_words = MAX_WORDS;
  memset(bitmap, 0, sizeof bitmap);
  CHECK_OK(gmap_slot_set(f.space, &gone));
  CHECK_PAGES(bitmap, 256, 5);
  CHECK_STATUS(gmap_backing_fd(other, &fd), GMAP_EBADF);
  CHECK_STATUS(gmap_backing_detach(other), GMAP_EBADF);
  memory[6 * PAGE] = 1; /* an ordinary page again */
  munmap(memory, MIB);
}

/* What was dirty at the end comes with the next harvest; then the tables are the truth. */
static void detach(void) {
  f.memory[9 * PAGE] ^= 1;
  CHECK_OK(gmap_backing_detach(backing));
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBADF);
  f.memory[10 * PAGE] ^= 1; /* seen by nobody now */
  CHECK_OK(store8(f.view, GUEST + 11 * PAGE, 1, NULL));
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 2);
  CHECK_PAGES(bitmap, PAGES, 9, 11);
  CHECK_EQUAL(space_stats(f.space).splits, 1);
}

/* A pin taken before the page was armed: the write is in memory, the page not reported. Marked at completion it is. */
static void an_earlier_pin(void) {
  uring ring;
  int file = file_of(0x66, PAGE), error = uring_open(&ring);
  unsigned char *page = f.memory + 1000 * PAGE;
  char why[128];
  if (!error) {
    page[0] = 1; /* it must be a page of its own before it is pinned */
    error = uring_pin(&ring, page, PAGE);
  }
  if (error) {
    snprintf(why, sizeof why, "io_uring with a registered buffer (%s)", strerror(error));
    skip(why);
  }
  CHECK_EQUAL(harvest(&f, bitmap), 1); /* armed after the pin */
  CHECK_PAGES(bitmap, PAGES, 1000);
  REQUIRE(uring_read_fixed(&ring, file, page, PAGE) == (int)PAGE);
  CHECK(page[0] == 0x66 && page[PAGE - 1] == 0x66);
  CHECK_EQUAL(harvest(&f, bitmap), 0); /* by the kernel's design; if this fails, the header's text is too dark */
  REQUIRE(uring_read_fixed(&ring, file, page, PAGE) == (int)PAGE);
  CHECK_OK(gmap_mark_dirty(f.space, GUEST + 1000 * PAGE, PAGE)); /* the cure: at completion */
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 1000);
  page[1] = 2; /* stores of the host's own are seen as before */
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  close(ring.fd);
  close(file);
}

int main(int argc, char **argv) {
  drop_root();
  open_backed();
  if (argc > 1 && strcmp(argv[1], "pin") == 0) {
    an_earlier_pin();
    CHECK_OK(gmap_backing_detach(backing));
  } else {
    nothing_yet();
    plain_stores();
    system_calls();
    leaves_stay();
    parts_and_looks();
    refusals();
    a_backed_slot_goes();
    detach();
  }
  fixture_close(&f);
  return check_done("backing");
}
