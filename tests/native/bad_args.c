/* SPDX-License-Identifier: MIT
 *
 * bad_args.c - every function with null pointers, unknown flags, misaligned, out-of-range and wrapped addresses,
 * ranges, bitmaps: the code that gmap.h names, and nothing changed. Handles and structs have hosts of their own. */
#include "snapshot.h"

#define SIZE (16 * MIB)
#define PAGES PAGES_OF(SIZE)
#define END (GUEST + SIZE)
#define TOP (1024 * MIB) /* the first address beyond the fixture's limit */
#define PIC_ADDRESSING GMAP_PIC_ADDRESSING

static fixture f;
static snapshot before, after;
static unsigned char *elsewhere;
static uint64_t bits[MAX_WORDS], number, consumer;

static void refuses(gmap_status actual, gmap_status expected, int line, const char *call) {
  check_status(actual, expected, __FILE__, line, call);
  snapshot_take(&f, &after);
  if (!snapshot_same(&before, &after, __FILE__, line)) {
    check_failed(__FILE__, line, "%s changed something", call);
    snapshot_take(&f, &before);
  }
}

#define REFUSES(call, expected) refuses((call), (expected), __LINE__, #call)

static void null_pointers(void) {
  gmap_space_config space_is = space_config(MIB);
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is};
  gmap_image_sink sink = {.struct_size = sizeof sink, .size = &number};
  gmap_fault_request request = {.guest_addr = GUEST, .access = GMAP_ACCESS_READ};
  gmap_backing_config backing_is = {.struct_size = sizeof backing_is, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_range range;
  uint64_t asce;
  size_t done;
  REFUSES(gmap_engine_create(NULL, NULL), GMAP_EINVAL);
  REFUSES(gmap_engine_get_stats(f.engine, NULL), GMAP_EINVAL);
  REFUSES(gmap_space_create(f.engine, NULL, &number), GMAP_EINVAL);
  REFUSES(gmap_space_create(f.engine, &space_is, NULL), GMAP_EINVAL);
  REFUSES(gmap_space_get_asce(f.space, NULL), GMAP_EINVAL);
  REFUSES(gmap_space_get_stats(f.space, NULL), GMAP_EINVAL);
  REFUSES(gmap_image_export(f.space, 0, NULL, &asce), GMAP_EINVAL);
  REFUSES(gmap_image_export(f.space, 0, &sink, NULL), GMAP_EINVAL);
  sink.size = NULL;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  sink.size = &number;
  sink.capacity = 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  sink.capacity = 0;
  sink.frame_count = 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  REFUSES(gmap_slot_set(f.space, NULL), GMAP_EINVAL);
  REFUSES(gmap_vcpu_open(f.space, NULL, &number, NULL), GMAP_EINVAL);
  REFUSES(gmap_vcpu_open(f.space, &vcpu_is, NULL, NULL), GMAP_EINVAL);
  REFUSES(gmap_fault_many(f.vcpu, NULL, 1, sizeof request, &done), GMAP_EINVAL);
  REFUSES(gmap_fault_many(f.vcpu, &request, 1, sizeof request, NULL), GMAP_EINVAL);
  REFUSES(gmap_read(f.space, GUEST, NULL, 8), GMAP_EINVAL);
  REFUSES(gmap_write(f.space, GUEST, NULL, 8), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, 0, 64, NULL), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_batch(f.space, NULL, 1), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, 0, 64, 0, NULL), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, 0, 64, 0, NULL, 1, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, 0, 64, 0, NULL, 1, &done, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, 0, 64, 0, &range, 1, NULL, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, 0, 64, 0, &range, 1, &done, NULL), GMAP_EINVAL);
  REFUSES(gmap_consumer_open(f.space, SLOT, 0, NULL), GMAP_EINVAL);
  REFUSES(gmap_consumer_read_bitmap(consumer, SLOT, 0, 64, 0, NULL, 1, &number), GMAP_EINVAL);
  REFUSES(gmap_consumer_read_ranges(consumer, 0, NULL, 1, &done, &number), GMAP_EINVAL);
  REFUSES(gmap_consumer_read_ranges(consumer, 0, &range, 1, NULL, &number), GMAP_EINVAL);
  REFUSES(gmap_consumer_read_ranges(consumer, 0, &range, 1, &done, NULL), GMAP_EINVAL);
  REFUSES(gmap_consumer_redirty(consumer, SLOT, 0, 64, 0, NULL), GMAP_EINVAL);
  REFUSES(gmap_backing_attach(f.space, SLOT, NULL, &number), GMAP_EINVAL);
  REFUSES(gmap_backing_attach(f.space, SLOT, &backing_is, NULL), GMAP_EINVAL);
}

static void engine_and_space(void) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is};
  engine_is.arena_bytes = MIB / 4 - 1;
  REFUSES(gmap_engine_create(&engine_is, &number), GMAP_EINVAL);
  engine_is.arena_bytes = (1ull << 40) + 1;
  REFUSES(gmap_engine_create(&engine_is, &number), GMAP_EINVAL);
  engine_is.arena_bytes = ~0ull;
  REFUSES(gmap_engine_create(&engine_is, &number), GMAP_EINVAL);
  REFUSES(gmap_engine_destroy(f.engine), GMAP_EBUSY);
  REFUSES(gmap_space_destroy(f.space), GMAP_EBUSY);
  REFUSES(gmap_space_set_limit(f.space, END - PAGE - 1), GMAP_EBUSY);
  REFUSES(gmap_space_set_limit(f.space, 0), GMAP_EBUSY);
}

static gmap_status slot(uint32_t id, uint64_t guest_addr, uint64_t size, uint64_t host_addr) {
  gmap_slot s = slot_of(id, 0, guest_addr, size, NULL);
  s.host_addr = host_addr;
  return gmap_slot_set(f.space, &s);
}

static void slots(void) {
  uint64_t host = (uintptr_t)elsewhere;
  gmap_slot gone = slot_of(SLOT, 0, 0, 0, NULL);
  REFUSES(slot(9, 512 * MIB + 1, MIB, host), GMAP_EINVAL);
  REFUSES(slot(9, 512 * MIB + PAGE / 2, MIB, host), GMAP_EINVAL);
  REFUSES(slot(9, 512 * MIB, MIB - 1, host), GMAP_EINVAL);
  REFUSES(slot(9, 512 * MIB, 1, host), GMAP_EINVAL);
  REFUSES(slot(9, 512 * MIB, MIB, host + 8), GMAP_EINVAL);
  REFUSES(slot(9, ~(PAGE - 1), 2 * PAGE, host), GMAP_EINVAL);          /* the guest range wraps */
  REFUSES(slot(9, 512 * MIB, ~(PAGE - 1), host), GMAP_EINVAL);         /* the size does */
  REFUSES(slot(9, 512 * MIB, 2 * PAGE, ~(PAGE - 1)), GMAP_EINVAL);     /* the host range does */
  REFUSES(slot(9, TOP, MIB, host), GMAP_EINVAL);                       /* beyond the limit */
  REFUSES(slot(9, TOP - PAGE, 2 * PAGE, host), GMAP_EINVAL);           /* its last page is */
  REFUSES(slot(9, 0, 0, 0), GMAP_ENOENT);
  REFUSES(slot(9, GUEST, PAGE, host), GMAP_EEXIST);
  REFUSES(slot(9, END - PAGE, MIB, host), GMAP_EEXIST);
  REFUSES(slot(9, GUEST - PAGE, 2 * PAGE, host), GMAP_EEXIST);
  REFUSES(slot(9, GUEST - MIB, SIZE + 2 * MIB, host), GMAP_EEXIST);
  gone.final_bitmap = bits;
  gone.final_words = PAGES / 64 - 1;
  REFUSES(gmap_slot_set(f.space, &gone), GMAP_ENOBUFS);
  gone.flags = GMAP_SLOT_LOG_DIRTY; /* a move that hands out the last bits */
  gone.guest_addr = 512 * MIB;
  gone.size = SIZE;
  gone.host_addr = (uintptr_t)f.memory;
  REFUSES(gmap_slot_set(f.space, &gone), GMAP_ENOBUFS);
}

static void faults(void) {
  gmap_fault_result result;
  uint32_t access;
  uint64_t at;
  static const uint64_t nowhere[] = {0, GUEST - 1, END, TOP - 1, TOP, 1ull << 42, 1ull << 63, ~0ull};
  static const uint32_t bad_access[] = {0, 4, 5, 8, 0x80000001u, ~0u};
  gmap_status code;
  size_t i;
  for (i = 0; i < sizeof bad_access / sizeof *bad_access; i++) {
    REFUSES(gmap_fault(f.vcpu, GUEST, bad_access[i], NULL), GMAP_EINVAL);
    result = fault_result();
    REFUSES(gmap_translate(f.space, GUEST, bad_access[i], &result), GMAP_EINVAL);
    REFUSES(gmap_populate(f.space, GUEST, MIB, bad_access[i], 0, &number), GMAP_EINVAL);
  }
  for (i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
    for (access = 1; access <= 3; access++) {
      at = nowhere[i];
      code = at >> 31 ? GMAP_PIC_ASCE_TYPE : PIC_ADDRESSING; /* a segment table reaches 2 GiB */
      result = fault_result();
      REFUSES(gmap_fault(f.vcpu, at, access, &result), code);
      gmap_leave(f.view);
      CHECK_EQUAL(result.reason, at >= TOP ? GMAP_REASON_BEYOND_LIMIT : GMAP_REASON_NO_SLOT);
      CHECK_EQUAL(result.flags, 0);
      result = fault_result();
      REFUSES(gmap_translate(f.space, at, access, &result), code);
      CHECK_EQUAL(result.reason, at >= TOP ? GMAP_REASON_BEYOND_LIMIT : GMAP_REASON_NO_SLOT);
      REFUSES(gmap_translate(f.space, at, access, NULL), code);
      REFUSES(gmap_fault(f.vcpu, at, access, NULL), code);
      gmap_leave(f.view);
    }
  }
}

static void many_faults(void) {
  gmap_fault_request requests[4];
  size_t done = 77, i;
  memset(requests, 0, sizeof requests);
  for (i = 0; i < 4; i++) {
    requests[i].guest_addr = GUEST + 3 * PAGE; /* mapped and dirty: resolving it changes nothing but a counter */
    requests[i].access = GMAP_ACCESS_READ;
  }
  REFUSES(gmap_fault_many(f.vcpu, requests, 4, sizeof *requests - 1, &done), GMAP_EINVAL);
  REFUSES(gmap_fault_many(f.vcpu, requests, 4, 0, &done), GMAP_EINVAL);
  REFUSES(gmap_fault_many(f.vcpu, requests, 0, sizeof *requests, &done), 0);
  CHECK_EQUAL(done, 0);
  gmap_leave(f.view);
  requests[0].access = 0;
  REFUSES(gmap_fault_many(f.vcpu, requests, 4, sizeof *requests, &done), GMAP_EINVAL);
  CHECK_EQUAL(done, 0);
  gmap_leave(f.view);
  requests[0].guest_addr = TOP;
  requests[0].access = GMAP_ACCESS_READ;
  REFUSES(gmap_fault_many(f.vcpu, requests, 4, sizeof *requests, &done), PIC_ADDRESSING);
  gmap_leave(f.view);
  CHECK_EQUAL(done, 0);
  CHECK_EQUAL(requests[0].status, PIC_ADDRESSING);
  CHECK_EQUAL(requests[0].reason, GMAP_REASON_BEYOND_LIMIT);
}

static void host_access(void) {
  unsigned char data[32];
  memset(data, 0x3C, sizeof data);
  REFUSES(gmap_read(f.space, 0, data, 8), PIC_ADDRESSING);
  REFUSES(gmap_read(f.space, END - 8, data, 9), PIC_ADDRESSING);
  REFUSES(gmap_read(f.space, GUEST - 1, data, 2), PIC_ADDRESSING);
  REFUSES(gmap_read(f.space, ~0ull - 3, data, 8), GMAP_PIC_ASCE_TYPE); /* wraps: its first bytes have no slot */
  REFUSES(gmap_read(f.space, GUEST, data, (size_t)-1), PIC_ADDRESSING);
  CHECK(data[0] == 0x3C && memcmp(data, data + 1, sizeof data - 1) == 0);
  REFUSES(gmap_write(f.space, END - 8, data, 9), PIC_ADDRESSING);
  REFUSES(gmap_write(f.space, GUEST - 1, data, 2), PIC_ADDRESSING);
  REFUSES(gmap_write(f.space, TOP, data, 1), PIC_ADDRESSING);
  REFUSES(gmap_write(f.space, ~0ull, data, 2), GMAP_PIC_ASCE_TYPE);
  CHECK_EQUAL(f.memory[0], 0);
  CHECK_EQUAL(f.memory[SIZE - 1], 0);
  REFUSES(gmap_read(f.space, GUEST, data, 0), 0);
  REFUSES(gmap_write(f.space, GUEST, data, 0), 0);
}

static void marks(void) {
  uint64_t mmio[2] = {0, TOP};
  memset(bits, 0xFF, sizeof bits);
  REFUSES(gmap_mark_dirty(f.space, GUEST - PAGE, PAGE), GMAP_EFAULT);
  REFUSES(gmap_mark_dirty(f.space, GUEST - 1, 2), GMAP_EFAULT);
  REFUSES(gmap_mark_dirty(f.space, END - 1, 2), GMAP_EFAULT);
  REFUSES(gmap_mark_dirty(f.space, TOP, 1), GMAP_EFAULT);
  REFUSES(gmap_mark_dirty(f.space, ~0ull - 7, 16), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty(f.space, GUEST, ~0ull), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty(f.space, GUEST, 0), 0);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT + 1, 0, 64, bits), GMAP_ENOENT);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, PAGES, 1, bits), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, 0, PAGES + 1, bits), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, PAGES - 1, 2, bits), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, ~0ull, 2, bits), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, 1, ~0ull, bits), GMAP_EINVAL);
  REFUSES(gmap_mark_dirty_bitmap(f.space, SLOT, 0, 0, bits), 0);
  REFUSES(gmap_mark_dirty_batch(f.space, mmio, 2), 0);
  REFUSES(gmap_mark_dirty_batch(f.space, mmio, 0), 0);
}

static void unmap_and_populate(void) {
  uint32_t flag;
  REFUSES(gmap_unmap(f.space, GUEST + 1, MIB, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_unmap(f.space, GUEST, MIB + 1, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_unmap(f.space, ~(PAGE - 1), 2 * PAGE, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_unmap(f.space, GUEST, ~(PAGE - 1), 0, &number), GMAP_EINVAL);
  REFUSES(gmap_unmap(f.space, TOP - PAGE, 2 * PAGE, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_unmap(f.space, TOP, PAGE, 0, NULL), GMAP_EINVAL);
  for (flag = 1; flag; flag <<= 1) {
    REFUSES(gmap_unmap(f.space, GUEST, MIB, flag, &number), GMAP_EINVAL);
    REFUSES(gmap_populate(f.space, GUEST, MIB, GMAP_ACCESS_READ, flag, &number), GMAP_EINVAL);
    REFUSES(gmap_dirty_get(f.space, SLOT, 0, PAGES, flag, bits, &number), GMAP_EINVAL);
    REFUSES(gmap_dirty_clear(f.space, SLOT, 0, PAGES, flag, bits), GMAP_EINVAL);
    if (flag > GMAP_HARVEST_NO_REARM)
      REFUSES(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, flag, bits, MAX_WORDS, &number), GMAP_EINVAL);
  }
  REFUSES(gmap_populate(f.space, GUEST + 1, MIB, GMAP_ACCESS_READ, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_populate(f.space, GUEST, MIB + 1, GMAP_ACCESS_READ, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_populate(f.space, GUEST, ~(PAGE - 1), GMAP_ACCESS_READ, 0, &number), GMAP_EINVAL);
  REFUSES(gmap_populate(f.space, GUEST - MIB, MIB, GMAP_ACCESS_READ, 0, &number), PIC_ADDRESSING);
  CHECK_EQUAL(number, GUEST - MIB);
}

static void ranges(void) {
  typedef gmap_status (*range_call)(uint64_t, uint64_t, uint64_t, uint32_t, uint64_t *);
  static const range_call calls[] = {gmap_unmap, gmap_discard, gmap_split, gmap_collapse, gmap_age};
  size_t i;
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    REFUSES(calls[i](f.space, GUEST + 1, MIB, 0, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, GUEST, MIB + 1, 0, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, ~(PAGE - 1), 2 * PAGE, 0, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, GUEST, ~(PAGE - 1), 0, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, TOP - PAGE, 2 * PAGE, 0, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, GUEST, MIB, 1, &number), GMAP_EINVAL);
    REFUSES(calls[i](f.space, GUEST, MIB, 0x80000000u, NULL), GMAP_EINVAL);
    REFUSES(calls[i](f.space, GUEST, 0, 0, NULL), 0);
  }
}

static void dirty(void) {
  REFUSES(gmap_dirty_get(f.space, SLOT + 1, 0, 64, 0, bits, &number), GMAP_ENOENT);
  REFUSES(gmap_dirty_get(f.space, SLOT, PAGES, 1, 0, bits, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_get(f.space, SLOT, 0, PAGES + 1, 0, bits, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_get(f.space, SLOT, ~0ull, 2, 0, bits, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_get(f.space, SLOT, 64, ~0ull - 63, 0, bits, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, NULL, &number), 0);
  CHECK_EQUAL(number, 4);
  REFUSES(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, NULL, NULL), 0);
  REFUSES(gmap_dirty_clear(f.space, SLOT + 1, 0, 64, 0, bits), GMAP_ENOENT);
  REFUSES(gmap_dirty_clear(f.space, SLOT, 1, 64, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, 32, 64, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, 0, 63, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, 0, PAGES + 64, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, PAGES, 64, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_clear(f.space, SLOT, ~(uint64_t)63, 128, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest(f.space, SLOT + 1, 0, 64, 0, bits, MAX_WORDS, &number), GMAP_ENOENT);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, PAGES, 1, 0, bits, MAX_WORDS, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, 1, PAGES, 0, bits, MAX_WORDS, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, ~0ull, 2, 0, bits, MAX_WORDS, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, 0, bits, PAGES / 64 - 1, &number), GMAP_ENOBUFS);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, 0, 65, 0, bits, 1, &number), GMAP_ENOBUFS);
  REFUSES(gmap_dirty_harvest(f.space, SLOT, 0, 64, 0, bits, 0, NULL), GMAP_ENOBUFS);
}

/* A slot that does not log has no dirty pages to give; marks on it do nothing. */
static void slot_without_log(void) {
  REQUIRE_OK(set_slot(f.space, 11, 0, 512 * MIB, MIB, elsewhere));
  snapshot_take(&f, &before);
  REFUSES(gmap_dirty_get(f.space, 11, 0, 64, 0, bits, &number), GMAP_ENOENT);
  REFUSES(gmap_dirty_clear(f.space, 11, 0, 64, 0, bits), GMAP_ENOENT);
  REFUSES(gmap_dirty_harvest(f.space, 11, 0, 64, 0, bits, MAX_WORDS, &number), GMAP_ENOENT);
  REFUSES(gmap_mark_dirty(f.space, 512 * MIB, PAGE), 0);
}

/* The snapshot's own look is a part of it: nothing may be consumed, and no epoch begun. */
static void consumers(void) {
  gmap_range range;
  uint64_t resume = 0;
  uint32_t flag;
  size_t done;
  for (flag = 1; flag; flag <<= 1) {
    if (flag > GMAP_CONSUMER_INITIALLY_DIRTY) REFUSES(gmap_consumer_open(f.space, SLOT, flag, &number), GMAP_EINVAL);
    if (flag != GMAP_HARVEST_NO_REARM) {
      REFUSES(gmap_consumer_begin(consumer, flag, NULL), GMAP_EINVAL);
      REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, 0, PAGES, flag, &range, 1, &done, &number), GMAP_EINVAL);
    }
    if (flag > GMAP_HARVEST_OR)
      REFUSES(gmap_consumer_read_bitmap(consumer, SLOT, 0, PAGES, flag, bits, MAX_WORDS, &number), GMAP_EINVAL);
    REFUSES(gmap_consumer_read_ranges(consumer, flag, &range, 1, &done, &resume), GMAP_EINVAL);
    REFUSES(gmap_consumer_redirty(consumer, SLOT, 0, PAGES, flag, bits), GMAP_EINVAL);
  }
  REFUSES(gmap_consumer_open(f.space, SLOT + 1, 0, &number), GMAP_ENOENT);
  REFUSES(gmap_consumer_redirty(consumer, SLOT, PAGES, 1, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_consumer_redirty(consumer, SLOT, ~0ull, 2, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_consumer_redirty(consumer, SLOT, 1, ~0ull, 0, bits), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT + 1, 0, 64, 0, &range, 1, &done, &number), GMAP_ENOENT);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, 1, PAGES, 0, &range, 1, &done, &number), GMAP_EINVAL);
  REFUSES(gmap_dirty_harvest_ranges(f.space, SLOT, ~0ull, 2, 0, &range, 1, &done, &number), GMAP_EINVAL);
}

static void images(void) {
  gmap_image_sink sink = {.struct_size = sizeof sink, .size = &number};
  gmap_image_frame_map frames[1] = {{.slot = SLOT, .real_addr = 64 * MIB}};
  uint64_t asce;
  unsigned char *bytes;
  REFUSES(gmap_image_export(f.space, 0x4000 / 2, &sink, &asce), GMAP_EINVAL);
  REFUSES(gmap_image_export(f.space, 1, &sink, &asce), GMAP_EINVAL);
  REFUSES(gmap_image_export(f.space, ~(uint64_t)0x3FFF, &sink, &asce), GMAP_EINVAL); /* the image would wrap */
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_ENOBUFS);
  CHECK(number >= 0x4000);
  bytes = (unsigned char *)guarded((size_t)number);
  memset(bytes, 0x3C, (size_t)number);
  sink.buffer = bytes;
  sink.capacity = number - 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_ENOBUFS);
  CHECK(bytes[0] == 0x3C && memcmp(bytes, bytes + 1, (size_t)number - 1) == 0);
  sink.capacity = number;
  sink.frames = frames;
  sink.frame_count = 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), 0);
  frames[0].real_addr = 64 * MIB + PAGE; /* leaves would lose their alignment */
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  frames[0].real_addr = 64 * MIB + 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  frames[0].real_addr = 64 * MIB;
  frames[0].reserved = 1;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_EINVAL);
  frames[0].reserved = 0;
  frames[0].slot = SLOT + 50;
  REFUSES(gmap_image_export(f.space, 0, &sink, &asce), GMAP_ENOENT);
}

static void backings(void) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  REFUSES(gmap_backing_attach(f.space, SLOT + 50, &config, &number), GMAP_ENOENT);
  config.kind = 0;
  REFUSES(gmap_backing_attach(f.space, SLOT, &config, &number), GMAP_EINVAL);
  config.kind = 99;
  REFUSES(gmap_backing_attach(f.space, SLOT, &config, &number), GMAP_EINVAL);
}

int main(void) {
  elsewhere = guest_memory(2 * MIB);
  used_fixture(&f);
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  snapshot_take(&f, &before);
  null_pointers();
  engine_and_space();
  slots();
  faults();
  many_faults();
  host_access();
  marks();
  unmap_and_populate();
  ranges();
  dirty();
  consumers();
  images();
  backings();
  slot_without_log();
  CHECK_OK(gmap_consumer_close(consumer));
  fixture_close(&f);
  return check_done("bad_args");
}
