/* SPDX-License-Identifier: MIT
 *
 * missing.c - pages that come later (GMAP_BACKING_MISSING, GMAP_BACKING_USERFAULTFD_MISSING): nothing that has not come is mapped,
 * each page comes once and no store after it is lost, whoever waits is told of and let go, a broken connection can be mended.
 *
 *   missing          all of it
 *   missing twice    only vcpus beside threads that bring every page twice, for longer */
#include "fixture.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define SIZE (8 * MIB)
#define PAGES PAGES_OF(SIZE)
#define SECOND 1000000000ull

static fixture f;
static uint64_t backing, bitmap[MAX_WORDS];
static unsigned char page_of_ones[PAGE], source[SIZE];

static gmap_status attach(uint32_t kind, const uint64_t *missing) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = kind, .missing = missing,
                                .missing_words = missing ? PAGES / 64 : 0};
  return gmap_backing_attach(f.space, SLOT, &config, &backing);
}

static gmap_status provide(uint64_t page, uint64_t pages) {
  return gmap_backing_provide(backing, GUEST + page * PAGE, source + page * PAGE, pages * PAGE);
}

static gmap_status fault(uint64_t page, uint32_t access, gmap_fault_result *result) {
  gmap_status status;
  *result = fault_result();
  status = gmap_fault(f.vcpu, GUEST + page * PAGE, access, result);
  gmap_leave(f.view);
  return status;
}

static uint64_t left(void) {
  uint64_t missing = 0;
  CHECK_OK(gmap_backing_missing(backing, 0, PAGES, bitmap, &missing));
  return missing;
}

static void check_wanted(uint32_t flags, uint64_t expected, uint64_t first_page) {
  uint64_t wanted[8], count = 99;
  CHECK_OK(gmap_backing_wanted(backing, 0, flags, wanted, 8, &count));
  CHECK_EQUAL(count, expected);
  if (count) CHECK_EQUAL(wanted[0], GUEST + first_page * PAGE);
}

static void what_has_not_come_is_not_there(void) {
  gmap_fault_result result;
  gmap_fault_request many[2] = {{.guest_addr = GUEST + 600 * PAGE, .access = 1}, {.guest_addr = GUEST + 700 * PAGE, .access = 1}};
  uint64_t next;
  size_t done;
  char word[8];
  CHECK_EQUAL(left(), PAGES);
  CHECK_EQUAL(bitmap[0], ~0ull);
  CHECK_STATUS(fault(5, GMAP_ACCESS_READ, &result), GMAP_EAGAIN);
  CHECK_EQUAL(result.reason, GMAP_REASON_MISSING);
  CHECK_EQUAL(result.rights, 0);
  CHECK_STATUS(fault(5, GMAP_ACCESS_WRITE, &result), GMAP_EAGAIN);
  check_wanted(0, 1, 5); /* once */
  check_wanted(0, 0, 0);
  check_wanted(GMAP_WANTED_AGAIN, 1, 5);
  CHECK_STATUS(gmap_read(f.space, GUEST + 7 * PAGE - 4, word, 8), GMAP_EAGAIN);
  CHECK_STATUS(gmap_write(f.space, GUEST + 7 * PAGE - 4, word, 8), GMAP_EAGAIN);
  check_wanted(0, 2, 6);
  CHECK_OK(provide(600, 1));
  CHECK_STATUS(gmap_fault_many(f.vcpu, many, 2, sizeof many[0], &done), GMAP_EAGAIN);
  gmap_leave(f.view);
  CHECK_EQUAL(done, 1);
  CHECK_EQUAL(many[1].reason, GMAP_REASON_MISSING);
  CHECK_STATUS(gmap_populate(f.space, GUEST + 600 * PAGE, 2 * PAGE, GMAP_ACCESS_READ, 0, &next), GMAP_EAGAIN);
  CHECK_EQUAL(next, GUEST + 601 * PAGE);
  CHECK_STATUS(gmap_backing_wait(backing, GUEST + 5 * PAGE, 1000000), GMAP_ETIMEDOUT);
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBUSY);
}

static void what_has_come_is(void) {
  gmap_fault_result result;
  uint64_t value = 0;
  CHECK_OK(provide(5, 3));
  CHECK_OK(gmap_backing_wait(backing, GUEST + 5 * PAGE, 0));
  CHECK_OK(fault(5, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.leaf_size, PAGE);
  CHECK_OK(gmap_read(f.space, GUEST + 7 * PAGE - 8, &value, 8));
  CHECK(memcmp(&value, source + 7 * PAGE - 8, 8) == 0);
  CHECK_OK(gmap_write(f.space, GUEST + 5 * PAGE, "mine", 4));
  CHECK_STATUS(gmap_backing_provide(backing, GUEST + 5 * PAGE, page_of_ones, PAGE), GMAP_EEXIST);
  CHECK(memcmp(f.memory + 5 * PAGE, "mine", 4) == 0);
  CHECK_STATUS(provide(4, 5), GMAP_EEXIST); /* 5 to 7 are there: 4 and 8 come */
  CHECK(memcmp(f.memory + 5 * PAGE, "mine", 4) == 0);
  CHECK(memcmp(f.memory + 8 * PAGE, source + 8 * PAGE, PAGE) == 0);
  CHECK_EQUAL(left(), PAGES - 6);
  CHECK_OK(provide(256, 256)); /* a segment: one leaf */
  CHECK_OK(fault(300, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.leaf_size, MIB);
  check_wanted(0, 2, 601); /* the populate's, and the batch's 700 */
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBUSY);
}

static void strange_arguments(void) {
  uint64_t address, count;
  CHECK_STATUS(gmap_backing_provide(backing, GUEST + 1, source, PAGE), GMAP_EINVAL);
  CHECK_STATUS(gmap_backing_provide(backing, GUEST, source, 1), GMAP_EINVAL);
  CHECK_STATUS(gmap_backing_provide(backing, GUEST - PAGE, source, PAGE), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_provide(backing, GUEST + SIZE - PAGE, source, 2 * PAGE), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_provide(backing, GUEST + SIZE - PAGE, source, 0ull - PAGE), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_wait(backing, GUEST + SIZE, 0), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_missing(backing, 1, PAGES, NULL, NULL), GMAP_EINVAL);
  CHECK_OK(gmap_backing_missing(backing, PAGES, 0, NULL, NULL));
  CHECK_STATUS(gmap_backing_wanted(backing, 0, 2, &address, 1, &count), GMAP_EINVAL);
  CHECK_STATUS(gmap_backing_wanted(backing, 0, 0, &address, 0, &count), GMAP_EINVAL);
  CHECK_STATUS(gmap_backing_service(backing, 0, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_backing_fault(backing, 0), GMAP_EINVAL);
  gmap_enter(f.view);
  CHECK_STATUS(gmap_backing_wait(backing, GUEST, 0), GMAP_EDEADLK);
  CHECK_STATUS(gmap_backing_wanted(backing, 0, 0, &address, 1, &count), GMAP_EDEADLK);
  gmap_leave(f.view);
}

static void what_needs_every_page_is_refused(void) {
  gmap_backing_config other = {.struct_size = sizeof other, .kind = GMAP_BACKING_MISSING};
  uint64_t handle;
  CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &other, &handle), GMAP_EBUSY);
  CHECK_STATUS(gmap_protect(f.space, GUEST, PAGE, GMAP_PROT_READ, 0), GMAP_EOPNOTSUPP);
  CHECK_STATUS(gmap_snapshot_take(f.space, NULL, &handle), GMAP_EOPNOTSUPP);
  CHECK_STATUS(set_slot(f.space, SLOT, 0, GUEST + SIZE, SIZE, f.memory), GMAP_EBUSY);
}

/* Threads that wait, and those that bring. */
static volatile int ends;

static void *serve(void *unused) {
  uint64_t wanted[16], count;
  gmap_status status = 0;
  (void)unused;
  while (!ends && status == 0) {
    status = gmap_backing_wanted(backing, SECOND / 100, 0, wanted, 16, &count);
    for (uint64_t i = 0; status == 0 && i < count; i++) {
      uint64_t page = (wanted[i] - GUEST) / PAGE;
      gmap_status brought = provide(page, 1);
      if (brought != GMAP_EEXIST) CHECK_OK(brought);
    }
  }
  return (void *)(intptr_t)status;
}

static void *bring_all(void *which) {
  uint64_t step = 1 + (uintptr_t)which * 7;
  for (uint64_t i = 0; i < PAGES; i++) {
    gmap_status status = provide(i * step % PAGES, 1);
    if (status != GMAP_EEXIST) CHECK_OK(status);
    if (i % 64 == 0) usleep(200);
  }
  return NULL;
}

/* A word of each page of its own, checked before its first store and counted up: a late copy would set it back. */
static void *run_vcpu(void *which) {
  uint64_t vcpu, word = (uintptr_t)which, random = word * 0x9E3779B97F4A7C15ull + 1;
  static uint64_t counts[2][PAGES];
  gmap_view *view;
  memset(counts[word], 0, sizeof counts[word]);
  CHECK_OK(open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view));
  for (int i = 0; i < 20000 || (i < 2000000 && !ends); i++) {
    uint64_t page, address, expected, value = 0;
    gmap_status status;
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    page = random % PAGES, address = GUEST + page * PAGE + word * 8;
    memcpy(&expected, source + page * PAGE + word * 8, 8);
    expected += counts[word][page];
    while ((status = load8(view, address, &value, NULL)) == GMAP_EAGAIN) {
      gmap_leave(view);
      status = gmap_backing_wait(backing, address, 10 * SECOND);
      if (!CHECK_OK(status)) return NULL;
    }
    CHECK_OK(status);
    if (!CHECK_EQUAL(value, expected)) break;
    CHECK_OK(store8(view, address, value + 1, NULL));
    gmap_leave(view);
    counts[word][page]++;
  }
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  return NULL;
}

static pthread_t start(void *(*body)(void *), uintptr_t which) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, body, (void *)which) == 0);
  return thread;
}

static intptr_t joined(pthread_t thread) {
  void *result = NULL;
  REQUIRE(pthread_join(thread, &result) == 0);
  return (intptr_t)result;
}

static void run_beside_arrivals(uint32_t kind, unsigned rounds) {
  for (unsigned round = 0; round < rounds && !check_failures; round++) {
    pthread_t vcpus[2], bringers[2], server;
    fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
    if (attach(kind, NULL) == GMAP_EPERM) skip("userfaultfd");
    ends = 0;
    for (uintptr_t i = 0; i < 2; i++) vcpus[i] = start(run_vcpu, i);
    server = start(serve, 0);
    for (uintptr_t i = 0; i < 2; i++) bringers[i] = start(bring_all, i);
    for (uintptr_t i = 0; i < 2; i++) (void)joined(bringers[i]);
    CHECK_EQUAL(left(), 0);
    ends = 1;
    for (uintptr_t i = 0; i < 2; i++) (void)joined(vcpus[i]);
    CHECK_EQUAL(joined(server), 0);
    CHECK_OK(gmap_backing_detach(backing));
    fixture_close(&f);
  }
}

static void translating_host(void) {
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(store8(f.view, GUEST + 3 * PAGE, 1, NULL)); /* was mapped, and dirty */
  gmap_leave(f.view);
  REQUIRE_OK(attach(GMAP_BACKING_MISSING, NULL));
  what_has_not_come_is_not_there();
  what_has_come_is();
  strange_arguments();
  what_needs_every_page_is_refused();
  CHECK_OK(gmap_backing_provide(backing, GUEST, NULL, SIZE) == GMAP_EEXIST ? 0 : 1); /* the rest is zero */
  CHECK_EQUAL(f.memory[3 * PAGE], 0);
  CHECK_EQUAL(left(), 0);
  CHECK_EQUAL(harvest(&f, bitmap), 2); /* what was brought is no write */
  CHECK_PAGES(bitmap, PAGES, 3, 5);
  CHECK_OK(gmap_backing_detach(backing));
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBADF);
  fixture_close(&f);
}

/* After some rounds of pre-copy only a part is missing; then the slot goes while somebody waits. */
static void a_part_and_the_end(void) {
  uint64_t some[PAGES / 64] = {0};
  pthread_t waiter;
  gmap_fault_result result;
  fixture_open(&f, SIZE, 0, GMAP_SPLIT_LAZY);
  some[1] = 0x11;
  REQUIRE_OK(attach(GMAP_BACKING_MISSING, some));
  CHECK_EQUAL(left(), 2);
  CHECK_EQUAL(bitmap[1], 0x11);
  CHECK_OK(fault(1, GMAP_ACCESS_WRITE, &result));
  CHECK_STATUS(fault(64, GMAP_ACCESS_WRITE, &result), GMAP_EAGAIN);
  CHECK_OK(fault(65, GMAP_ACCESS_WRITE, &result));
  ends = 0;
  waiter = start(serve, 0);
  CHECK_OK(gmap_backing_wait(backing, GUEST + 64 * PAGE, 10 * SECOND)); /* the server brings it */
  CHECK_OK(set_slot(f.space, SLOT, 0, 0, 0, NULL));
  CHECK_EQUAL(joined(waiter), GMAP_EBADF);
  CHECK_STATUS(gmap_backing_missing(backing, 0, 1, NULL, NULL), GMAP_EBADF);
  CHECK_STATUS(gmap_backing_detach(backing), GMAP_EBADF);
  fixture_close(&f);
}

static void *touch(void *which) {
  volatile unsigned char *byte = f.memory + ((uintptr_t)which + 1) * 100 * PAGE;
  *byte = (unsigned char)(*byte + 1);
  return NULL;
}

/* Plain stores stop until their pages come; several at once. */
static void plain_accesses(void) {
  pthread_t threads[3], server;
  gmap_status status;
  fixture_open(&f, SIZE, 0, GMAP_SPLIT_LAZY);
  status = attach(GMAP_BACKING_USERFAULTFD_MISSING, NULL);
  if (status == GMAP_EPERM || status == GMAP_EOPNOTSUPP) skip("userfaultfd");
  REQUIRE_OK(status);
  for (uintptr_t i = 0; i < 3; i++) threads[i] = start(touch, i);
  usleep(20000);
  CHECK_EQUAL(left(), PAGES);
  ends = 0;
  server = start(serve, 0);
  for (uintptr_t i = 0; i < 3; i++) (void)joined(threads[i]);
  for (uintptr_t i = 0; i < 3; i++)
    CHECK_EQUAL(f.memory[(i + 1) * 100 * PAGE], (unsigned char)(source[(i + 1) * 100 * PAGE] + 1));
  REQUIRE(madvise(f.memory + 100 * PAGE, PAGE, MADV_DONTNEED) == 0); /* a balloon: it comes back as zeros */
  CHECK_EQUAL(*(volatile unsigned char *)(f.memory + 100 * PAGE), 0);
  CHECK_EQUAL(left(), PAGES - 3);
  CHECK_STATUS(gmap_backing_provide(backing, GUEST, NULL, 50 * PAGE), 0);
  CHECK_EQUAL(f.memory[PAGE], 0);
  CHECK_STATUS(provide(0, PAGES), GMAP_EEXIST);
  ends = 1;
  CHECK_EQUAL(joined(server), 0);
  CHECK(memcmp(f.memory + 400 * PAGE, source + 400 * PAGE, SIZE - 400 * PAGE) == 0);
  CHECK_OK(gmap_backing_detach(backing));
  f.memory[0] = 1;
  fixture_close(&f);
}

int main(int argc, char **argv) {
  for (size_t i = 0; i < SIZE; i++) source[i] = (unsigned char)(i * 2654435761u >> 13);
  memset(page_of_ones, 1, PAGE);
  if (argc > 1 && strcmp(argv[1], "twice") == 0) {
    run_beside_arrivals(GMAP_BACKING_MISSING, 20);
    return check_done("missing");
  }
  translating_host();
  a_part_and_the_end();
  run_beside_arrivals(GMAP_BACKING_MISSING, 3);
  plain_accesses();
  run_beside_arrivals(GMAP_BACKING_USERFAULTFD_MISSING, 3);
  return check_done("missing");
}
