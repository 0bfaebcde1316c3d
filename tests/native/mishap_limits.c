/* SPDX-License-Identifier: MIT
 *
 * mishap_limits.c - memory that is refused: a documented status, nothing changed, and the same call succeeds when
 * memory came back.
 *
 *   mishap_limits arena   the arena is exhausted at every call that takes from it; those that take nothing go on
 *   mishap_limits lock    RLIMIT_MEMLOCK without CAP_IPC_LOCK, at creation and later, required and not
 *   mishap_limits space   RLIMIT_AS: no address space for an engine or a log
 *   mishap_limits start   RLIMIT_AS is too low for the runtime itself: SIGABRT */
#include "mishap.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SEGMENTS 96u
#define SIZE (SEGMENTS * MIB)
#define HIGH 6144u * MIB

static uint64_t bitmap[MAX_WORDS];
static uint64_t engine, space, vcpu;
static gmap_view *view;
static unsigned char *memory;

static char told[512];
static int times_told;

static void on_log(void *user, int32_t level, const char *message) {
  (void)user, (void)level;
  snprintf(told, sizeof told, "%s", message);
  times_told++;
}

static gmap_status make_engine(uint64_t arena, uint32_t flags, uint64_t *made) {
  gmap_engine_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.flags = flags;
  config.arena_bytes = arena;
  config.log = on_log;
  times_told = 0;
  return gmap_engine_create(&config, made);
}

static void make_world(uint64_t arena, uint32_t flags) {
  gmap_space_config config = space_config(1024 * MIB - 1);
  memory = guest_memory(SIZE);
  REQUIRE_OK(make_engine(arena, flags, &engine));
  REQUIRE_OK(gmap_space_create(engine, &config, &space));
  REQUIRE_OK(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, memory));
  REQUIRE_OK(open_vcpu(space, GMAP_INLINE_VERSION, &vcpu, &view));
}

static void end_world(void) {
  CHECK_OK(gmap_vcpu_close(vcpu));
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(engine));
  munmap(memory, SIZE);
}

static gmap_status write_at(uint64_t guest_addr) {
  gmap_status status = gmap_fault(vcpu, guest_addr, GMAP_ACCESS_WRITE, NULL);
  gmap_leave(view);
  return status;
}

static uint64_t dirty_now(void) {
  uint64_t dirty = 0;
  CHECK_OK(gmap_dirty_get(space, SLOT, 0, PAGES_OF(SIZE), 0, NULL, &dirty));
  return dirty;
}

/* ---- An exhausted arena ----------------------------------------------------------------------------------------- */

static uint64_t full_until; /* the first segment that could not be split */
static uint64_t spare[600];
static unsigned spares;

/* Logs that leave less than a block beside the blocks, and less than the logs below take. Clean leaves everywhere, then
 * splits until the arena is empty, then views until its last page is. */
static void exhaust(void) {
  gmap_status status;
  CHECK_OK(set_slot(space, 10, GMAP_SLOT_LOG_DIRTY, 192 * MIB, 320 * MIB, memory));
  CHECK_OK(gmap_populate(space, GUEST, SIZE, GMAP_ACCESS_READ, 0, NULL));
  status = gmap_populate(space, GUEST, SIZE, GMAP_ACCESS_WRITE, 0, &full_until);
  CHECK_STATUS(status, GMAP_ENOMEM);
  CHECK(full_until > GUEST && full_until < GUEST + SIZE && full_until % MIB == 0);
  CHECK_EQUAL(dirty_now(), PAGES_OF(full_until - GUEST)); /* what was mapped before stays */
  do
    status = open_vcpu(space, 0, &spare[spares], NULL);
  while (status == 0 && ++spares < 600);
  CHECK_STATUS(status, GMAP_ENOMEM);
}

/* A collapse takes nothing and gives tables back. */
static void relieve(void) {
  uint64_t collapsed = 0;
  CHECK_OK(gmap_collapse(space, GUEST, SIZE, 0, &collapsed));
  CHECK_EQUAL(collapsed, (full_until - GUEST) / MIB);
  while (spares > 0) CHECK_OK(gmap_vcpu_close(spare[--spares]));
  CHECK_OK(set_slot(space, 10, 0, 0, 0, NULL));
}

/* Each is made twice: refused, then done. The second argument is 0 to do, 1 to undo. */
typedef gmap_status (*step)(int undo);

static gmap_status split_by_write(int undo) { return undo ? 0 : write_at(full_until + 5 * PAGE); }

static gmap_status split_by_batch(int undo) {
  gmap_fault_request requests[3] = {{.guest_addr = GUEST, .access = GMAP_ACCESS_WRITE},
                                    {.guest_addr = full_until, .access = GMAP_ACCESS_WRITE},
                                    {.guest_addr = GUEST + PAGE, .access = GMAP_ACCESS_READ}};
  size_t done = 99;
  gmap_status status = undo ? 0 : gmap_fault_many(vcpu, requests, 3, sizeof *requests, &done);
  gmap_leave(view);
  if (!undo) CHECK_EQUAL(done, status == 0 ? 3 : 1);
  return status;
}

static uint64_t next; /* of the range calls: how far they came */

static gmap_status reached(gmap_status status, uint64_t stopped, uint64_t end) {
  CHECK_EQUAL(next, status == 0 ? end : stopped);
  return status;
}

static gmap_status split(int undo) {
  uint64_t end = full_until + 2 * MIB;
  return undo ? 0 : reached(gmap_split(space, full_until - MIB, 3 * MIB, 0, &next), full_until, end);
}

static gmap_status populate(int undo) {
  uint64_t from = full_until - MIB, end = full_until + 3 * PAGE;
  return undo ? 0 : reached(gmap_populate(space, from, end - from, 2, 0, &next), full_until, end);
}

static gmap_status unmap_a_part(int undo) {
  uint64_t from = full_until + 4 * PAGE;
  if (undo) return gmap_populate(space, from, PAGE, GMAP_ACCESS_READ, 0, NULL);
  return reached(gmap_unmap(space, from, PAGE, 0, &next), from, from + PAGE);
}

static gmap_status discard_a_part(int undo) {
  uint64_t from = full_until + 4 * PAGE;
  if (undo) return gmap_populate(space, from, PAGE, GMAP_ACCESS_READ, 0, NULL);
  return reached(gmap_discard(space, from, PAGE, 0, &next), from, from + PAGE);
}

/* Logs of 40 KiB. */
static gmap_status slot_that_logs(int undo) {
  gmap_status status = set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, undo ? 0 : 512 * MIB, memory);
  if (status == GMAP_ENOMEM)
    CHECK_STATUS(gmap_translate(space, 512 * MIB, GMAP_ACCESS_READ, NULL), GMAP_PIC_ADDRESSING); /* not there */
  return status;
}

static gmap_status logging_on(int undo) {
  gmap_status status;
  if (undo) return set_slot(space, 8, 0, 512 * MIB, 0, memory);
  if (gmap_translate(space, 512 * MIB, GMAP_ACCESS_READ, NULL) == GMAP_PIC_ADDRESSING)
    CHECK_OK(set_slot(space, 8, 0, 512 * MIB, 512 * MIB, memory)); /* without a log: takes nothing */
  status = set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, 512 * MIB, memory);
  if (status != 0) CHECK_STATUS(gmap_dirty_get(space, 8, 0, 1, 0, NULL, NULL), GMAP_ENOENT); /* as before: no log */
  return status;
}

static gmap_status resize(int undo) {
  gmap_status status;
  if (undo) return set_slot(space, 8, 0, 512 * MIB, 0, memory);
  if (gmap_translate(space, 512 * MIB, GMAP_ACCESS_READ, NULL) == GMAP_PIC_ADDRESSING)
    CHECK_OK(set_slot(space, 8, 0, 512 * MIB, MIB, memory));
  status = set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, 512 * MIB, memory);
  CHECK_STATUS(gmap_translate(space, 513 * MIB, GMAP_ACCESS_READ, NULL),
               status == 0 ? GMAP_PIC_SEGMENT_TRANSLATION : GMAP_PIC_ADDRESSING);
  return status;
}

static gmap_status another_view(int undo) {
  static uint64_t opened = 77;
  gmap_status status = undo ? gmap_vcpu_close(opened) : open_vcpu(space, 0, &opened, NULL);
  if (status != 0) CHECK_EQUAL(opened, 77);
  if (undo) opened = 77;
  return status;
}

static gmap_status another_space(int undo) {
  static uint64_t made = 77;
  gmap_space_config config = space_config(HIGH);
  gmap_status status = undo ? gmap_space_destroy(made) : gmap_space_create(engine, &config, &made);
  if (status != 0) CHECK_EQUAL(made, 77);
  if (undo) made = 77;
  return status;
}

static gmap_status limit(int undo) {
  uint64_t before = 0, after = 0;
  gmap_status status;
  CHECK_OK(gmap_space_get_asce(space, &before));
  status = gmap_space_set_limit(space, undo ? 1024 * MIB - 1 : HIGH);
  CHECK_OK(gmap_space_get_asce(space, &after));
  CHECK_EQUAL(before == after, status != 0);
  if (status != 0) CHECK_STATUS(write_at(HIGH - MIB), GMAP_PIC_ASCE_TYPE);
  return status;
}

/* What takes nothing from the arena goes on. */
static void the_rest_works(void) {
  uint64_t dirty = 0, value = 1, size = 0, asce, before = dirty_now(), page = PAGES_OF(full_until - GUEST);
  gmap_image_sink sink = {.struct_size = sizeof sink, .size = &size};
  CHECK_STATUS(gmap_translate(space, full_until, GMAP_ACCESS_WRITE, NULL), GMAP_PIC_PROTECTION); /* a clean leaf */
  CHECK_OK(gmap_mark_dirty(space, full_until, PAGE));
  CHECK_OK(gmap_write(space, full_until + PAGE, &value, sizeof value));
  CHECK_OK(gmap_read(space, full_until + PAGE, &value, sizeof value));
  CHECK_EQUAL(dirty_now(), before + 2);
  CHECK_OK(gmap_dirty_harvest(space, SLOT, page, 2, 0, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_OK(gmap_age(space, GUEST, SIZE, 0, &dirty));
  CHECK_STATUS(gmap_image_export(space, 0, &sink, &asce), GMAP_ENOBUFS); /* says the size */
  CHECK(size > 0);
  CHECK_OK(set_slot(space, 9, 0, 1000 * MIB, MIB, memory));
  CHECK_OK(set_slot(space, 9, 0, 0, 0, NULL));
}

static void an_exhausted_arena(void) {
  static const struct {
    const char *name;
    step run;
  } steps[] = {{"split by a write", split_by_write},   {"split by a batch", split_by_batch},
               {"gmap_split", split},                  {"gmap_populate", populate},
               {"split by gmap_unmap", unmap_a_part},  {"split by gmap_discard", discard_a_part},
               {"slot that logs", slot_that_logs},     {"logging on", logging_on},
               {"resize of a slot", resize},           {"gmap_vcpu_open", another_view},
               {"gmap_space_create", another_space},   {"gmap_space_set_limit", limit}};
  unsigned i;
  for (i = 0; i < sizeof steps / sizeof *steps; i++) {
    gmap_space_stats before, after;
    uint64_t dirty;
    mishap(steps[i].name);
    make_world(320 * 1024, 0);
    exhaust();
    the_rest_works();
    before = space_stats(space);
    dirty = dirty_now();
    if (steps[i].run(0) != GMAP_ENOMEM) check_failed(__FILE__, __LINE__, "%s is not refused", steps[i].name);
    after = space_stats(space);
    CHECK_EQUAL(after.table_bytes, before.table_bytes);
    CHECK_EQUAL(after.splits, before.splits);
    CHECK_EQUAL(after.pages_unmapped, before.pages_unmapped);
    CHECK_EQUAL(after.vcpus, before.vcpus);
    CHECK_EQUAL(after.armings, before.armings);
    CHECK_EQUAL(dirty_now(), dirty);
    if (steps[i].run(0) != GMAP_ENOMEM) check_failed(__FILE__, __LINE__, "%s is refused once only", steps[i].name);
    relieve();
    if (steps[i].run(0) != 0)
      check_failed(__FILE__, __LINE__, "%s fails after memory came back", steps[i].name);
    if (steps[i].run(1) != 0) check_failed(__FILE__, __LINE__, "%s cannot be undone", steps[i].name);
    end_world();
  }
}

/* ---- Memory that cannot be locked ------------------------------------------------------------------------------- */

static void lockable(rlim_t bytes) {
  struct rlimit limit;
  REQUIRE(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
  REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

static void drop_lock_capability(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  REQUIRE(syscall(SYS_capget, &header, data) == 0);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  REQUIRE(syscall(SYS_capset, &header, data) == 0);
}

static void locks(void) {
  uint64_t made = 77, segment, refused = GUEST;
  gmap_engine_stats s;
  gmap_status status = 0;
  struct rlimit now;
  REQUIRE(getrlimit(RLIMIT_MEMLOCK, &now) == 0);
  if (now.rlim_max < 8 * MIB) skip("a hard RLIMIT_MEMLOCK of 8 MiB");
  drop_lock_capability();
  mishap("an engine that must be locked and cannot be");
  lockable(0);
  CHECK_STATUS(make_engine(MIB, GMAP_ENGINE_REQUIRE_MLOCK, &made), GMAP_EPERM);
  CHECK_EQUAL(made, 77);
  CHECK_EQUAL(times_told, 1);
  CHECK(strstr(told, "RLIMIT_MEMLOCK") != NULL);

  mishap("an engine that need not be");
  make_world(16 * MIB, 0);
  CHECK_EQUAL(times_told, 1);
  CHECK_OK(write_at(GUEST));
  s = engine_stats(engine);
  CHECK(s.locked_bytes == 0 && s.committed_bytes > 0);
  end_world();
  CHECK_EQUAL(times_told, 1); /* once an engine */

  mishap("refused later, when the arena grows");
  lockable(256 * 1024);
  make_world(16 * MIB, 0);
  CHECK_EQUAL(times_told, 0);
  for (segment = 0; segment < SEGMENTS; segment++) CHECK_OK(write_at(GUEST + segment * MIB));
  s = engine_stats(engine);
  CHECK(s.locked_bytes > 0 && s.locked_bytes < s.committed_bytes);
  CHECK_EQUAL(times_told, 0); /* no callback out of a fault: */
  CHECK_OK(set_slot(space, 8, 0, 512 * MIB, MIB, memory));
  CHECK_EQUAL(times_told, 1); /* the next call that configures tells */
  end_world();

  mishap("refused later, and required");
  make_world(16 * MIB, GMAP_ENGINE_REQUIRE_MLOCK);
  for (segment = 0; status == 0 && segment < SEGMENTS; segment++) {
    refused = GUEST + segment * MIB;
    status = write_at(refused);
  }
  CHECK_STATUS(status, GMAP_ENOMEM);
  s = engine_stats(engine);
  CHECK_EQUAL(s.locked_bytes, s.committed_bytes);
  CHECK_EQUAL(dirty_now(), (refused - GUEST) / MIB); /* the last is clean */
  CHECK_STATUS(write_at(refused), GMAP_ENOMEM);
  lockable(0);
  CHECK_STATUS(set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, 512 * MIB, memory), GMAP_ENOMEM);
  CHECK_EQUAL(times_told, 1);
  CHECK(strstr(told, "RLIMIT_MEMLOCK") != NULL);
  lockable(8 * MIB);
  CHECK_OK(write_at(refused));
  CHECK_OK(set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, 512 * MIB, memory));
  s = engine_stats(engine);
  CHECK_EQUAL(s.locked_bytes, s.committed_bytes);
  end_world();
}

/* ---- No address space ------------------------------------------------------------------------------------------- */

static rlim_t address_space(void) {
  unsigned long long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  REQUIRE(file != NULL && fscanf(file, "%llu", &pages) == 1);
  fclose(file);
  return pages * PAGE;
}

static struct rlimit unlimited;

static void spare_address_space(rlim_t bytes) {
  struct rlimit low = unlimited;
  low.rlim_cur = address_space() + bytes;
  REQUIRE(setrlimit(RLIMIT_AS, &low) == 0);
}

static int limited, done;

static void *first_call_under_the_limit(void *argument) {
  uint64_t opened;
  gmap_view *mine;
  (void)argument;
  await(&limited, 1);
  CHECK_OK(open_vcpu(space, GMAP_INLINE_VERSION, &opened, &mine));
  CHECK_OK(store8(mine, GUEST + 20 * MIB, 1, NULL));
  gmap_leave(mine);
  CHECK_OK(gmap_vcpu_close(opened));
  reach(&done, 1);
  return NULL;
}

static void no_address_space(void) {
  uint64_t made = 77, segment;
  pthread_t thread;
  REQUIRE(getrlimit(RLIMIT_AS, &unlimited) == 0);
  mishap("no address space");
  make_world(16 * MIB, 0);
  REQUIRE(pthread_create(&thread, NULL, first_call_under_the_limit, NULL) == 0);
  spare_address_space(1 * MIB);
  CHECK_STATUS(make_engine(64 * MIB, 0, &made), GMAP_ENOMEM);
  CHECK_EQUAL(made, 77);
  CHECK_EQUAL(times_told, 1);
  CHECK_STATUS(set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, memory), GMAP_ENOMEM);
  CHECK_STATUS(gmap_translate(space, 512 * MIB, GMAP_ACCESS_READ, NULL), GMAP_PIC_ADDRESSING);
  for (segment = 0; segment < 16; segment++) CHECK_OK(write_at(GUEST + segment * MIB)); /* reserved at the creation */
  CHECK_EQUAL(dirty_now(), 16);
  reach(&limited, 1);
  pthread_join(thread, NULL);
  CHECK_EQUAL(done, 1);
  CHECK_EQUAL(dirty_now(), 17);
  REQUIRE(setrlimit(RLIMIT_AS, &unlimited) == 0);
  CHECK_OK(make_engine(64 * MIB, 0, &made));
  CHECK_OK(gmap_engine_destroy(made));
  CHECK_OK(set_slot(space, 8, GMAP_SLOT_LOG_DIRTY, 512 * MIB, MIB, memory));
  end_world();
}

/* The runtime cannot start: the process ends, it is not left half started. With what the header asks for it does, each
 * time: the C library's arena for the new thread takes 128 MiB before it is trimmed to 64, and may be there at the moment
 * when the collector asks for its range. */
static void too_little_for_the_runtime(void) {
  static const unsigned spares_mib[] = {1, 16, 64, 150, 272, 272, 272};
  unsigned i;
  REQUIRE(getrlimit(RLIMIT_AS, &unlimited) == 0);
  for (i = 0; i < sizeof spares_mib / sizeof *spares_mib; i++) {
    int status = -1;
    pid_t child;
    mishap("too little for the runtime");
    fflush(stdout);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      REQUIRE(freopen("/dev/null", "w", stderr) != NULL);
      spare_address_space(spares_mib[i] * MIB);
      _exit(gmap_runtime_init() == 0 ? 0 : 1);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    printf("%u MiB to spare: %s %d\n", spares_mib[i], WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (spares_mib[i] <= 16) CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (spares_mib[i] >= 272) CHECK_EQUAL(status, 0);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "arena") == 0) an_exhausted_arena();
  else if (strcmp(what, "lock") == 0) locks();
  else if (strcmp(what, "space") == 0) no_address_space();
  else if (strcmp(what, "start") == 0) too_little_for_the_runtime();
  else REQUIRE(!"usage: mishap_limits arena|lock|space|start");
  return check_done("mishap_limits");
}
