/* SPDX-License-Identifier: MIT
 *
 * shadow.c - a nested guest as a host runs it: the outer guest's tables in its memory, the inner one's accesses by the inline
 * header and by calls, what each side sees of the other, and the errors that gmap.h names. */
#include "fixture.h"

#define SIZE (8 * MIB)
#define SEGMENTS (GUEST + 0x10000) /* the outer guest's segment table, 512 entries */
#define TABLE (GUEST + 0x20000)    /* its page table for the inner segment 1 */
#define FRAMES (GUEST + 4 * MIB)

static void plant(const fixture *f, uint64_t at, uint64_t entry) {
  int i;
  for (i = 0; i < 8; i++) f->memory[at - GUEST + i] = (unsigned char)(entry >> (56 - 8 * i));
}

/* As the outer guest stores it: through its vcpu. */
static void store(const fixture *f, uint64_t at, uint64_t entry) {
  void *host;
  int i;
  gmap_enter(f->view);
  REQUIRE_OK(gmap_store_resolve(f->view, at, 8, &host, NULL));
  for (i = 0; i < 8; i++) ((unsigned char *)host)[i] = (unsigned char)(entry >> (56 - 8 * i));
  gmap_leave(f->view);
}

static void plant_tables(const fixture *f) {
  uint64_t i;
  for (i = 0; i < 512; i++) plant(f, SEGMENTS + 8 * i, i == 1 ? TABLE : 0x20);
  for (i = 0; i < 256; i++) plant(f, TABLE + 8 * i, i < 128 ? FRAMES + i * PAGE : 0x400);
}

static gmap_status inner(gmap_view *view, uint64_t at, uint32_t access, void **host, gmap_fault_result *result) {
  gmap_status status;
  memset(result, 0, sizeof *result);
  result->struct_size = sizeof *result;
  gmap_enter(view);
  status = access == GMAP_ACCESS_WRITE ? gmap_store_resolve(view, at, 8, host, result)
                                       : gmap_load_resolve(view, at, 8, host, result);
  gmap_leave(view);
  return status;
}

static int dirty_pages(const fixture *f) {
  uint64_t bitmap[PAGES_OF(SIZE) / 64], dirty = 0;
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, PAGES_OF(SIZE), 0, bitmap, PAGES_OF(SIZE) / 64, &dirty));
  return (int)dirty;
}

static void one_guest(const fixture *f) {
  uint64_t shadow = 0, again = 0, vcpu;
  gmap_view *view;
  gmap_fault_result result;
  void *host;
  CHECK_OK(gmap_shadow_open(f->space, SEGMENTS, GMAP_EDAT_1, &shadow));
  CHECK_OK(gmap_shadow_open(f->space, SEGMENTS | 0x40, GMAP_EDAT_1, &again)); /* X means nothing to a translation */
  CHECK_EQUAL(shadow, again);
  CHECK_OK(gmap_shadow_is_valid(shadow, SEGMENTS, GMAP_EDAT_1));
  CHECK_EQUAL(gmap_shadow_is_valid(shadow, SEGMENTS, GMAP_EDAT_2), GMAP_EAGAIN);
  CHECK_OK(open_vcpu(shadow, GMAP_INLINE_VERSION, &vcpu, &view));

  CHECK_EQUAL(dirty_pages(f), 0);
  CHECK_OK(inner(view, MIB + 5 * PAGE + 8, GMAP_ACCESS_READ, &host, &result));
  CHECK(host == f->memory + (FRAMES - GUEST) + 5 * PAGE + 8);
  CHECK_EQUAL(dirty_pages(f), 0);
  CHECK_OK(inner(view, MIB + 5 * PAGE + 8, GMAP_ACCESS_WRITE, &host, &result));
  CHECK_OK(inner(view, MIB + 5 * PAGE + 16, GMAP_ACCESS_WRITE, &host, &result));
  CHECK_EQUAL(dirty_pages(f), 1);
  gmap_enter(view); /* what the harvest took is asked for again */
  CHECK_EQUAL(gmap_store_ptr(view, MIB + 5 * PAGE, 8, &host), GMAP_INLINE_ASK);
  gmap_leave(view);

  CHECK_EQUAL(inner(view, MIB + 200 * PAGE, GMAP_ACCESS_READ, &host, &result), GMAP_PIC_PAGE_TRANSLATION);
  CHECK_EQUAL(result.reason, GMAP_REASON_GUEST_TABLES);
  CHECK_EQUAL(result.depth, 0);
  CHECK_EQUAL(result.table_addr, TABLE + 8 * 200);
  store(f, TABLE + 8 * 200, FRAMES + 7 * PAGE);
  CHECK_OK(inner(view, MIB + 200 * PAGE, GMAP_ACCESS_READ, &host, &result));
  CHECK(host == f->memory + (FRAMES - GUEST) + 7 * PAGE);
  store(f, TABLE + 8 * 5, 0x400);
  CHECK_EQUAL(inner(view, MIB + 5 * PAGE, GMAP_ACCESS_READ, &host, &result), GMAP_PIC_PAGE_TRANSLATION);
  CHECK_EQUAL(dirty_pages(f), 1); /* the table's page, once */

  CHECK_OK(gmap_shadow_close(shadow));
  CHECK_EQUAL(gmap_shadow_close(shadow), GMAP_EBUSY); /* a vcpu is open */
  CHECK_EQUAL(gmap_space_destroy(f->space), GMAP_EBUSY);
  CHECK_OK(gmap_vcpu_close(vcpu));
  CHECK_OK(gmap_shadow_close(shadow));
  CHECK_EQUAL(gmap_shadow_close(shadow), GMAP_EBADF);
}

static void batches(const fixture *f) {
  gmap_fault_request requests[8];
  uint64_t shadow, vcpu;
  gmap_view *view;
  size_t done = 0;
  int i;
  plant_tables(f);
  CHECK_OK(gmap_shadow_open(f->space, SEGMENTS, GMAP_EDAT_1, &shadow));
  CHECK_OK(open_vcpu(shadow, GMAP_INLINE_VERSION, &vcpu, &view));
  memset(requests, 0, sizeof requests);
  for (i = 0; i < 8; i++) {
    requests[i].guest_addr = MIB + (uint64_t)(32 * i) * PAGE;
    requests[i].access = i & 1 ? GMAP_ACCESS_WRITE : GMAP_ACCESS_READ;
  }
  CHECK_EQUAL(gmap_fault_many(vcpu, requests, 8, sizeof *requests, &done), GMAP_PIC_PAGE_TRANSLATION);
  CHECK_EQUAL(done, 4); /* pages 128 and on are not there */
  for (i = 0; i < 4; i++) {
    CHECK_EQUAL(requests[i].status, 0);
    CHECK_EQUAL(requests[i].host_addr, (uint64_t)(uintptr_t)f->memory + (FRAMES - GUEST) + (uint64_t)(32 * i) * PAGE);
  }
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  CHECK_OK(gmap_shadow_close(shadow));
}

static void errors(const fixture *f) {
  uint64_t shadow = 0, second = 0, third = 0, fourth = 0, asce;
  gmap_fault_result result = {.struct_size = sizeof result};
  CHECK_EQUAL(gmap_shadow_open(f->space, SEGMENTS, 3, &shadow), GMAP_EINVAL);
  CHECK_EQUAL(gmap_shadow_open(f->space, SEGMENTS, GMAP_EDAT_1, NULL), GMAP_EINVAL);
  CHECK_OK(gmap_shadow_open(f->space, SEGMENTS, GMAP_EDAT_1, &shadow));
  CHECK_EQUAL(gmap_space_destroy(shadow), GMAP_EBADF);
  CHECK_EQUAL(set_slot(shadow, 1, 0, 0, PAGE, f->memory), GMAP_EBADF);
  CHECK_EQUAL(gmap_unmap(shadow, 0, PAGE, 0, &asce), GMAP_EBADF);
  CHECK_OK(gmap_space_get_asce(shadow, &asce));
  CHECK_EQUAL(gmap_translate(shadow, 1ull << 40, GMAP_ACCESS_READ, &result), GMAP_PIC_ASCE_TYPE);
  CHECK_OK(gmap_shadow_open(shadow, 0x20, GMAP_EDAT_NONE, &second));
  CHECK_OK(gmap_shadow_open(second, 0x20, GMAP_EDAT_NONE, &third));
  CHECK_EQUAL(gmap_shadow_open(third, 0x20, GMAP_EDAT_NONE, &fourth), GMAP_EOPNOTSUPP);
  CHECK_OK(gmap_shadow_close(shadow)); /* those above keep it */
  CHECK_OK(gmap_translate(third, MIB, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.host_addr, (uint64_t)(uintptr_t)f->memory + (FRAMES - GUEST));
  CHECK_OK(gmap_shadow_close(third));
  CHECK_OK(gmap_shadow_close(second));
}

int main(void) {
  fixture f;
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  plant_tables(&f);
  one_guest(&f);
  batches(&f);
  errors(&f);
  CHECK(space_stats(f.space).shadows > 0);
  fixture_close(&f);
  return check_done("shadow");
}
