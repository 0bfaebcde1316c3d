/* SPDX-License-Identifier: MIT
 *
 * mishap_backing.c - the kernel's tracking is refused, or goes away under our feet: the host closes the descriptor,
 * unregisters the memory, unmaps it, maps something else there. A call fails or everything counts as dirty; nothing is
 * reported as clean that may have been written, and the slot works by its tables afterwards. */
#include "mishap.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)

static fixture f;
static uint64_t backing, bitmap[MAX_WORDS];
static char told[512];
static int times_told;

static void on_log(void *user, int32_t level, const char *message) {
  (void)user, (void)level;
  snprintf(told, sizeof told, "%s", message);
  times_told++;
}

static gmap_status attach(void) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  return gmap_backing_attach(f.space, SLOT, &config, &backing);
}

static void begin(const char *name) {
  gmap_status status;
  mishap(name);
  times_told = 0;
  mishap_open(&f, SIZE, FOR_EVER, NULL, on_log, NULL);
  status = attach();
  if (status == GMAP_EOPNOTSUPP) skip("asynchronous write-protect of userfaultfd with PAGEMAP_SCAN (Linux 6.7)");
  REQUIRE_OK(status);
  memset(f.memory, 1, SIZE);
  CHECK_EQUAL(harvest(&f, bitmap), PAGES);
  f.memory[7 * PAGE] = 2;
}

static gmap_status harvest_status(void) {
  uint64_t dirty = 55;
  gmap_status status;
  memset(bitmap, 0, sizeof bitmap);
  status = gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty);
  if (status != 0) {
    CHECK_NO_PAGES(bitmap, PAGES);
    CHECK_STATUS(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, bitmap, &dirty), status);
    memset(bitmap, 0xFF, sizeof bitmap);
    CHECK_STATUS(gmap_dirty_clear(f.space, SLOT, 0, PAGES, 0, bitmap), status);
  }
  return status;
}

/* What the header tells to do: detach. Everything is dirty, once; then the tables track, and a backing fits again. */
static void everything_counts_as_dirty(void) {
  unsigned char *fresh = guest_memory(SIZE);
  uint64_t vcpu;
  gmap_view *view;
  gmap_slot moved = slot_of(SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, fresh);
  int32_t fd = -1;
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBADF);
  CHECK_STATUS(gmap_backing_fd(backing, &fd), GMAP_EBADF);
  CHECK_EQUAL(harvest(&f, bitmap), PAGES);
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  CHECK_OK(gmap_slot_set(f.space, &moved)); /* whatever became of the old memory */
  munmap(f.memory, SIZE);
  f.memory = fresh;
  REQUIRE_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  CHECK_OK(store8(view, GUEST + 5 * PAGE, 1, NULL));
  gmap_leave(view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_OK(gmap_vcpu_close(vcpu));
  REQUIRE_OK(attach());
  fresh[9 * PAGE] = 1;
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 9);
  CHECK_OK(gmap_backing_detach(backing));
}

/* As above by deleting the slot, or by turning logging off: the last bits are all of them. */
static void all_bits_are_handed_out(int delete) {
  gmap_slot change = slot_of(SLOT, 0, GUEST, delete ? 0 : SIZE, f.memory);
  uint64_t i;
  change.final_bitmap = bitmap;
  change.final_words = MAX_WORDS;
  memset(bitmap, 0, sizeof bitmap);
  CHECK_OK(gmap_slot_set(f.space, &change));
  for (i = 0; i < PAGES / 64; i++) CHECK_EQUAL(bitmap[i], ~0ull);
  if (!delete) CHECK_OK(set_slot(f.space, SLOT, 0, 0, 0, NULL));
}

static void end(int how) {
  CHECK_STATUS(harvest_status(), GMAP_EFAULT);
  CHECK_STATUS(harvest_status(), GMAP_EFAULT);
  if (how == 0) everything_counts_as_dirty();
  else all_bits_are_handed_out(how == 1);
  mishap_close(&f);
}

static int our_fd(void) {
  int32_t fd = -1;
  REQUIRE_OK(gmap_backing_fd(backing, &fd));
  return fd;
}

static void the_host_closes_it(int how) {
  begin("the host closes the descriptor");
  REQUIRE(close(our_fd()) == 0);
  f.memory[8 * PAGE] = 2; /* nobody sees that any more */
  end(how);
}

static void the_host_unregisters(int how, uint64_t first, uint64_t pages) {
  struct uffdio_range range;
  begin("the host unregisters the memory");
  range.start = (uint64_t)(uintptr_t)f.memory + first * PAGE;
  range.len = pages * PAGE;
  REQUIRE(ioctl(our_fd(), UFFDIO_UNREGISTER, &range) == 0);
  f.memory[(first + 1) * PAGE] = 2;
  end(how);
}

static void the_host_maps_something_else(int how) {
  begin("the host maps other memory there");
  REQUIRE(mmap(f.memory + MIB, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          f.memory + MIB);
  f.memory[300 * PAGE] = 2;
  end(how);
}

/* What is not there cannot be written: the rest goes on. Mapped again it is not the kernel's to see. */
static void the_host_unmaps(int how) {
  begin("the host unmaps a part");
  REQUIRE(munmap(f.memory + MIB, MIB) == 0);
  CHECK_OK(harvest_status());
  CHECK_PAGES(bitmap, PAGES, 7);
  f.memory[8 * PAGE] = 2;
  CHECK_OK(harvest_status());
  CHECK_PAGES(bitmap, PAGES, 8);
  REQUIRE(mmap(f.memory + MIB, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          f.memory + MIB);
  end(how);
}

static void all_of_it_is_unmapped(void) {
  gmap_slot gone;
  begin("all of the memory is unmapped");
  CHECK_OK(harvest_status());
  CHECK_PAGES(bitmap, PAGES, 7);
  REQUIRE(munmap(f.memory, SIZE) == 0);
  CHECK_OK(harvest_status());
  CHECK_NO_PAGES(bitmap, PAGES); /* nothing was written, nor can be */
  gone = slot_of(SLOT, 0, 0, 0, NULL);
  CHECK_OK(gmap_slot_set(f.space, &gone));
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBADF);
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
}

/* The contents go, the mapping stays, and is tracked on: what is stored there is seen. */
static void contents_that_are_given_back(void) {
  begin("MADV_DONTNEED");
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  REQUIRE(madvise(f.memory + MIB, MIB, MADV_DONTNEED) == 0);
  harvest(&f, bitmap); /* the zeros may be reported or not: no store made them */
  f.memory[300 * PAGE] = 2;
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 300);
  f.memory[300 * PAGE] = 3;
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_OK(gmap_backing_detach(backing));
  mishap_close(&f);
}

/* No descriptor is left: told as it is, and the next attempt succeeds when there is one. */
static void no_descriptor(rlim_t above, int never_asked) {
  struct rlimit old, low;
  int lowest = open("/dev/null", O_RDONLY);
  mishap("no descriptor is left");
  REQUIRE(lowest >= 0 && close(lowest) == 0 && getrlimit(RLIMIT_NOFILE, &old) == 0);
  times_told = 0;
  mishap_open(&f, SIZE, FOR_EVER, NULL, on_log, NULL);
  low = old;
  low.rlim_cur = (rlim_t)lowest + above;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  CHECK_STATUS(attach(), GMAP_ENOMEM);
  CHECK_EQUAL(times_told, 1);
  CHECK(strstr(told, "RLIMIT_NOFILE") != NULL);
  if (never_asked) CHECK_EQUAL(gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC, 0); /* a yes is remembered */
  if (above > 0) CHECK((gmap_features() & GMAP_FEATURE_USERFAULTFD_SYNC) != 0); /* which one is enough to tell */
  REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
  CHECK(open("/dev/null", O_RDONLY) == lowest && close(lowest) == 0); /* none was kept */
  CHECK((gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC) != 0);     /* asked again */
  CHECK((gmap_features() & GMAP_FEATURE_USERFAULTFD_SYNC) != 0);
  CHECK_OK(attach());
  CHECK_OK(gmap_backing_detach(backing));
  mishap_close(&f);
}

int main(void) {
  int how;
  begin("is it there?");
  CHECK_OK(gmap_backing_detach(backing));
  mishap_close(&f);
  no_descriptor(1, 1); /* there is one, and two are needed */
  no_descriptor(0, 0);
  for (how = 0; how < 3; how++) {
    the_host_closes_it(how);
    the_host_unregisters(how, 0, PAGES);
    the_host_unregisters(how, 512, 64);
    the_host_unregisters(how, PAGES - 2, 2);
    the_host_maps_something_else(how);
    the_host_unmaps(how);
  }
  all_of_it_is_unmapped();
  contents_that_are_given_back();
  return check_done("mishap_backing");
}
