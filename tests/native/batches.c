/* SPDX-License-Identifier: MIT
 *
 * batches.c - what the other hosts only refuse: a batch of faults with a stride, one that fails in its midst, an image
 * that is really written, an engine that demands locked memory, the level of the log. */
#include "fixture.h"

#include <sys/resource.h>
#include <unistd.h>

#define SIZE (8 * MIB)

static fixture open_host(void) {
  fixture f;
  gmap_space_config space_is = space_config(4 * 1024 * MIB - 1); /* a region-third table on top */
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is, .inline_version = GMAP_INLINE_VERSION};
  memset(&f, 0, sizeof f);
  f.engine = engine_of(16 * MIB);
  f.memory = guest_memory(SIZE);
  f.size = SIZE;
  REQUIRE_OK(gmap_space_create(f.engine, &space_is, &f.space));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  REQUIRE_OK(gmap_vcpu_open(f.space, &vcpu_is, &f.vcpu, &f.view));
  return f;
}

/* Requests of different kinds in a host's own, larger records. */
static void faults_in_records(fixture *f) {
  struct {
    gmap_fault_request request;
    uint64_t mine;
  } records[5] = {{.request = {.guest_addr = GUEST + 5, .access = GMAP_ACCESS_READ}, .mine = 1},
                  {.request = {.guest_addr = GUEST + MIB + 3 * PAGE + 9, .access = GMAP_ACCESS_WRITE}, .mine = 2},
                  {.request = {.guest_addr = GUEST + MIB + 4 * PAGE, .access = GMAP_ACCESS_WRITE}, .mine = 3},
                  {.request = {.guest_addr = GUEST - 1, .access = GMAP_ACCESS_READ, .status = 77}, .mine = 4},
                  {.request = {.guest_addr = GUEST + 2 * MIB, .access = GMAP_ACCESS_WRITE, .status = 88}, .mine = 5}};
  uint64_t bitmap[SIZE / PAGE / 64], dirty;
  size_t done = 99, i;
  CHECK_STATUS(gmap_fault_many(f->vcpu, &records[0].request, 5, sizeof *records, &done), GMAP_PIC_ADDRESSING);
  CHECK_EQUAL(done, 3);
  CHECK_EQUAL(f->view->inside & 1, 1);
  gmap_leave(f->view);
  for (i = 0; i < 5; i++) CHECK_EQUAL(records[i].mine, i + 1);
  for (i = 0; i < 3; i++) {
    CHECK_EQUAL(records[i].request.status, 0);
    CHECK_EQUAL(records[i].request.host_addr, (uintptr_t)f->memory + records[i].request.guest_addr - GUEST);
  }
  CHECK_EQUAL(records[0].request.done, GMAP_DONE_MAPPED);
  CHECK_EQUAL(records[1].request.done, GMAP_DONE_MAPPED | GMAP_DONE_SPLIT | GMAP_DONE_GRANTED);
  CHECK_EQUAL(records[2].request.done, GMAP_DONE_GRANTED);
  CHECK_EQUAL(records[3].request.status, GMAP_PIC_ADDRESSING);
  CHECK_EQUAL(records[3].request.reason, GMAP_REASON_NO_SLOT);
  CHECK_EQUAL(records[4].request.status, 88); /* not looked at */
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, SIZE / PAGE, 0, bitmap, SIZE / PAGE / 64, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_EQUAL(bitmap[4], 0x18);
  CHECK_OK(gmap_fault_many(f->vcpu, NULL, 0, sizeof *records, &done));
  CHECK_EQUAL(done, 0);
  gmap_leave(f->view);
}

static uint64_t big_endian(const unsigned char *at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | at[i];
  return value;
}

/* The tables of faults_in_records, in real storage from 2 MiB on. */
static void image(fixture *f) {
  static unsigned char bytes[128 * 1024];
  gmap_image_frame_map frames = {.slot = SLOT, .real_addr = 1024 * MIB};
  uint64_t size = 0, asce = 0, base = 2 * MIB, segment, page;
  gmap_image_sink sink = {.struct_size = sizeof sink, .flags = GMAP_IMAGE_CLEAR_SOFTWARE, .buffer = bytes,
                          .capacity = sizeof bytes, .size = &size, .frames = &frames, .frame_count = 1};
  REQUIRE_OK(gmap_image_export(f->space, base, &sink, &asce));
  CHECK_EQUAL(size, 16384 + 16384 + 2048); /* region-third, segment, page table */
  CHECK_EQUAL(asce, base | 0x1C0 | 0x4 | 0x3);
  CHECK_EQUAL(big_endian(bytes), (base + 16384) | 0x4 | 0x3);
  CHECK_EQUAL(big_endian(bytes + 8), 0x24); /* 2 GB without a slot: invalid */
  segment = 16384 + GUEST / MIB * 8;
  CHECK_EQUAL(big_endian(bytes + segment), frames.real_addr | 0x600); /* FC, P: read only so far */
  CHECK_EQUAL(big_endian(bytes + segment + 8), base + 32768);
  CHECK_EQUAL(big_endian(bytes + segment + 16), 0x20);
  page = 32768 + 3 * 8; /* harvested: armed again */
  CHECK_EQUAL(big_endian(bytes + page), (frames.real_addr + MIB + 3 * PAGE) | 0x200);
}

static int warnings, infos;

static void count_log(void *user, int32_t level, const char *message) {
  (void)user;
  CHECK(message != NULL && *message);
  if (level == GMAP_LOG_WARNING) warnings++;
  if (level == GMAP_LOG_INFO) infos++;
}

/* Without the right to lock: demanded, it is EPERM; else it is said once, at the level asked for. */
static int without_locking(void) {
  struct rlimit none = {0, 0};
  uint64_t engine = 7;
  gmap_engine_stats stats = {.struct_size = sizeof stats};
  gmap_engine_config config = {.struct_size = sizeof config, .flags = GMAP_ENGINE_REQUIRE_MLOCK};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) return SKIPPED;
  CHECK_STATUS(gmap_engine_create(&config, &engine), GMAP_EPERM);
  CHECK_EQUAL(engine, 7);
  config = (gmap_engine_config){.struct_size = sizeof config, .flags = GMAP_ENGINE_HUGE_ARENA, .log = count_log};
  CHECK_OK(gmap_engine_create(&config, &engine));
  CHECK_OK(gmap_engine_get_stats(engine, &stats));
  CHECK_EQUAL(stats.locked_bytes, 0);
  CHECK_EQUAL(stats.committed_bytes, 2 * MIB); /* HUGE_ARENA: a huge page at a time */
  CHECK_EQUAL(warnings, 1);
  CHECK_OK(gmap_engine_destroy(engine));
  config.log_level = GMAP_LOG_ERROR;
  CHECK_OK(gmap_engine_create(&config, &engine));
  CHECK_EQUAL(warnings, 1); /* a warning is not asked for */
  CHECK_OK(gmap_engine_destroy(engine));
  return check_done("batches, without locking");
}

int main(int argc, char **argv) {
  fixture f;
  if (argc > 1 && strcmp(argv[1], "unlocked") == 0) return without_locking();
  f = open_host();
  faults_in_records(&f);
  image(&f);
  CHECK_OK(gmap_vcpu_close(f.vcpu));
  CHECK_OK(gmap_space_destroy(f.space));
  CHECK_OK(gmap_engine_destroy(f.engine));
  return check_done("batches");
}
