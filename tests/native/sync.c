/* SPDX-License-Identifier: MIT
 *
 * sync.c - a slot whose first stores stop until they are answered (synchronous userfaultfd): what is written is reported,
 * nothing lost beside harvests, a notifier sees each page as it was, a host's own descriptor does as well as the library's.
 *
 *   sync          all of it
 *   sync beside   only the writers beside harvests, for longer */
#include "fixture.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE (8 * MIB)
#define PAGES PAGES_OF(SIZE)
#define SECOND 1000000000ull

static fixture f;
static uint64_t backing, bitmap[MAX_WORDS];
static int own = -1; /* the host's userfaultfd */
static volatile int ends, writers_end;

/* A thread that serves; it returns the status that ended it. */
static void *serve(void *unused) {
  gmap_status status = 0;
  (void)unused;
  while (status == 0 && !ends) status = gmap_backing_service(backing, 60 * SECOND, NULL);
  return (void *)(intptr_t)status;
}

/* A message that was read may be answered after the end: another thread's answer had let its store go. */
static int answered(gmap_status status) { return status == GMAP_EBADF || CHECK_OK(status); }

/* The same by a descriptor of the host's. */
static void *serve_own(void *unused) {
  struct uffd_msg message;
  struct pollfd wait = {.fd = own, .events = POLLIN};
  (void)unused;
  while (!ends) {
    if (poll(&wait, 1, 10) <= 0 || read(own, &message, sizeof message) != sizeof message) continue;
    if (message.event == UFFD_EVENT_PAGEFAULT && (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0)
      (void)answered(gmap_backing_fault(backing, message.arg.pagefault.address));
  }
  return NULL;
}

static pthread_t start(void *(*body)(void *)) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, body, NULL) == 0);
  return thread;
}

static intptr_t joined(pthread_t thread) {
  void *result = NULL;
  REQUIRE(pthread_join(thread, &result) == 0);
  return (intptr_t)result;
}

/* The library's descriptor, or one that the host has registered. */
static void attach(uint32_t flags) {
  gmap_backing_config config = {.struct_size = sizeof config, .flags = flags, .kind = GMAP_BACKING_USERFAULTFD_SYNC};
  gmap_status status;
  if ((flags & GMAP_BACKING_OWN_FD) != 0) {
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | (1u << 13)}; /* WP_UNPOPULATED */
    struct uffdio_register all = {.range = {(uintptr_t)f.memory, SIZE}, .mode = UFFDIO_REGISTER_MODE_WP};
    own = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (own < 0 || ioctl(own, UFFDIO_API, &api) != 0) skip("userfaultfd that protects pages that are not there (Linux 6.4)");
    config.userfaultfd = own;
    CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &config, &backing), GMAP_EFAULT); /* not registered */
    REQUIRE(ioctl(own, UFFDIO_REGISTER, &all) == 0);
  }
  status = gmap_backing_attach(f.space, SLOT, &config, &backing);
  CHECK_EQUAL((gmap_features() & GMAP_FEATURE_USERFAULTFD_SYNC) != 0, status == 0);
  if (status == GMAP_EOPNOTSUPP || status == GMAP_EPERM) skip("userfaultfd that protects pages that are not there (Linux 6.4)");
  REQUIRE_OK(status);
}

static void first_harvest_has_everything(void) {
  f.memory[5 * PAGE] = 1; /* nothing stops yet */
  CHECK_EQUAL(harvest(&f, bitmap), PAGES);
}

static void stores_are_reported(void) {
  unsigned round;
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  for (round = 0; round < 3; round++) {
    memset(f.memory + 3 * PAGE + 8, 0x11 + (int)round, 8);
    memset(f.memory + 300 * PAGE - 1, 0x22, 2); /* two pages */
    CHECK_OK(store8(f.view, GUEST + 700 * PAGE, round, NULL)); /* a vcpu, inside */
    gmap_leave(f.view);
    CHECK_OK(gmap_write(f.space, GUEST + 900 * PAGE + 4094, "abcd", 4));
    CHECK_EQUAL(harvest(&f, bitmap), 6);
    CHECK_PAGES(bitmap, PAGES, 3, 299, 300, 700, 900, 901);
    CHECK_EQUAL(harvest(&f, bitmap), 0);
  }
}

static void discarded_pages_are_seen_again(void) {
  uint64_t next;
  f.memory[42 * PAGE] = 5; /* was seen, and goes on being reported */
  REQUIRE(madvise(f.memory + 40 * PAGE, 8 * PAGE, MADV_DONTNEED) == 0);
  CHECK_OK(gmap_discard(f.space, GUEST + 40 * PAGE, 8 * PAGE, 0, &next));
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 42);
  f.memory[44 * PAGE] = 7;
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 44);
}

/* Two writers that count in their pages, and harvests beside them: what a harvest did not report has not changed. */
#define WRITERS 2u
#define COUNTERS 64u

static void *write_on(void *which) {
  uint64_t random = 88172645463325252ull + (uintptr_t)which;
  volatile uint64_t *counters = (volatile uint64_t *)(void *)f.memory;
  while (!writers_end) {
    uint64_t page;
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    page = random % COUNTERS * 16 + (uintptr_t)which; /* of several chunks of the tracking */
    counters[page * (PAGE / 8)]++;
  }
  return NULL;
}

static void nothing_is_lost_beside_harvests(unsigned rounds) {
  static uint64_t copies[COUNTERS * 16 + WRITERS];
  const volatile uint64_t *counters = (volatile uint64_t *)(void *)f.memory;
  pthread_t writers[WRITERS];
  unsigned i, round;
  memset(f.memory, 0, SIZE);
  (void)harvest(&f, bitmap);
  writers_end = 0;
  for (i = 0; i < WRITERS; i++) REQUIRE(pthread_create(&writers[i], NULL, write_on, (void *)(uintptr_t)i) == 0);
  for (round = 0; round < rounds; round++) {
    (void)harvest(&f, bitmap);
    for (i = 0; i < COUNTERS * 16 + WRITERS; i++)
      if (page_is_dirty(bitmap, i)) copies[i] = counters[(uint64_t)i * (PAGE / 8)]; /* at least what the harvest saw */
  }
  writers_end = 1;
  for (i = 0; i < WRITERS; i++) (void)joined(writers[i]);
  (void)harvest(&f, bitmap);
  for (i = 0; i < COUNTERS * 16 + WRITERS; i++) {
    if (page_is_dirty(bitmap, i)) continue;
    if (!CHECK(copies[i] == counters[(uint64_t)i * (PAGE / 8)])) break;
  }
}

static unsigned char before[PAGES];
static unsigned told[PAGES];

static void copy_before_write(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  uint64_t page = (first - GUEST) / PAGE;
  (void)user;
  if (!CHECK(space == f.space && kind == GMAP_NOTIFY_WRITE && last == first + PAGE - 1 && page < PAGES)) return;
  before[page] = f.memory[page * PAGE];
  __atomic_fetch_add(&told[page], 1, __ATOMIC_RELAXED);
  CHECK_STATUS(gmap_backing_fault(backing, (uintptr_t)f.memory), GMAP_EDEADLK);
}

/* A background snapshot: the copies are what the pages were when it began, whoever writes meanwhile. */
static void *overwrite(void *value) {
  unsigned page;
  for (page = 0; page < PAGES; page += 3) f.memory[page * PAGE] = (unsigned char)(uintptr_t)value;
  return NULL;
}

static void a_background_snapshot_is_of_its_moment(void) {
  gmap_notifier config = {.struct_size = sizeof config, .kinds = GMAP_NOTIFY_WRITE, .callback = copy_before_write};
  pthread_t writers[2];
  uint64_t notifier;
  unsigned page;
  CHECK_OK(gmap_notifier_register(f.space, &config, &notifier));
  for (page = 0; page < PAGES; page++) f.memory[page * PAGE] = (unsigned char)page;
  (void)harvest(&f, bitmap); /* its moment: everything is protected */
  memset(told, 0, sizeof told);
  REQUIRE(pthread_create(&writers[0], NULL, overwrite, (void *)0xAA) == 0);
  REQUIRE(pthread_create(&writers[1], NULL, overwrite, (void *)0xBB) == 0);
  (void)joined(writers[0]), (void)joined(writers[1]);
  for (page = 0; page < PAGES; page++) {
    if (!CHECK(told[page] == (page % 3 == 0 ? 1 : 0))) break;
    if (page % 3 == 0 && !CHECK(before[page] == (unsigned char)page)) break;
  }
  CHECK_EQUAL(harvest(&f, bitmap), (PAGES + 2) / 3);
  CHECK_OK(gmap_notifier_unregister(notifier));
}

static void refusals(uint32_t flags) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_SYNC};
  gmap_snapshot_config snapshot_is = {.struct_size = sizeof snapshot_is};
  uint64_t other = 0;
  CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &config, &other), GMAP_EBUSY);
  CHECK_STATUS(gmap_snapshot_take(f.space, &snapshot_is, &other), GMAP_EOPNOTSUPP);
  CHECK_STATUS(gmap_backing_fault(backing, (uintptr_t)f.memory - 1), GMAP_EFAULT);
  CHECK_STATUS(gmap_backing_fault(backing, (uintptr_t)f.memory + SIZE), GMAP_EFAULT);
  if ((flags & GMAP_BACKING_OWN_FD) != 0) CHECK_STATUS(gmap_backing_service(backing, 0, NULL), GMAP_EINVAL);
  gmap_enter(f.view);
  CHECK_STATUS(gmap_backing_fault(backing, (uintptr_t)f.memory), GMAP_EDEADLK);
  gmap_leave(f.view);
}

/* And, once more, pages that two threads stored to at once: the second's message was answered after a harvest. */
static void only_page_9_is_left(uint32_t flags) {
  unsigned page;
  (void)harvest(&f, bitmap);
  CHECK(page_is_dirty(bitmap, 9));
  for (page = 0; page < PAGES; page++)
    if (page != 9 && page_is_dirty(bitmap, page)) CHECK((flags & GMAP_BACKING_TELLS) != 0 && page % 3 == 0);
}

static void run(uint32_t flags) {
  int is_own = (flags & GMAP_BACKING_OWN_FD) != 0;
  pthread_t servers[2];
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  attach(flags);
  first_harvest_has_everything();
  ends = 0;
  servers[0] = start(is_own ? serve_own : serve);
  servers[1] = start(is_own ? serve_own : serve);
  stores_are_reported();
  discarded_pages_are_seen_again();
  if ((flags & GMAP_BACKING_TELLS) != 0) a_background_snapshot_is_of_its_moment();
  refusals(flags);
  f.memory[9 * PAGE] = 9; /* is collected by the end */
  CHECK_OK(gmap_backing_detach(backing));
  f.memory[10 * PAGE] = 1; /* nothing stops, nobody sees it */
  ends = is_own;
  CHECK_EQUAL(joined(servers[0]), is_own ? 0 : GMAP_EBADF);
  CHECK_EQUAL(joined(servers[1]), is_own ? 0 : GMAP_EBADF);
  CHECK_STATUS(gmap_backing_service(backing, 0, NULL), GMAP_EBADF);
  only_page_9_is_left(flags);
  fixture_close(&f);
  if (is_own) CHECK(close(own) == 0); /* it stayed the host's */
}

static void run_beside_harvests(unsigned rounds) {
  pthread_t server;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  attach(0);
  ends = 0;
  server = start(serve);
  nothing_is_lost_beside_harvests(rounds);
  CHECK_OK(set_slot(f.space, SLOT, 0, GUEST, 0, NULL)); /* the backing goes along */
  CHECK_EQUAL(joined(server), GMAP_EBADF);
  fixture_close(&f);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "beside") == 0) {
    run_beside_harvests(3000);
    return check_done("sync");
  }
  run(0);
  run(GMAP_BACKING_TELLS);
  run(GMAP_BACKING_OWN_FD | GMAP_BACKING_TELLS);
  run_beside_harvests(300);
  return check_done("sync");
}
