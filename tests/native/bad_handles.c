/* SPDX-License-Identifier: MIT
 *
 * bad_handles.c - every function that takes a handle, with null, stale, foreign and wrong-kind handles:
 * GMAP_EBADF, and nothing changed. All other arguments are good ones. */
#include "snapshot.h"

enum kind { ENGINE, SPACE, VCPU, BACKING, CONSUMER, NOTIFIER, KINDS };

static uint64_t words[MAX_WORDS];
static unsigned char data[64];

static gmap_status engine_destroy(uint64_t h) { return gmap_engine_destroy(h); }

static gmap_status engine_get_stats(uint64_t h) {
  gmap_engine_stats stats = {.struct_size = sizeof stats};
  return gmap_engine_get_stats(h, &stats);
}

static gmap_status space_create(uint64_t h) {
  gmap_space_config config = space_config(MIB);
  uint64_t space;
  return gmap_space_create(h, &config, &space);
}

static gmap_status space_destroy(uint64_t h) { return gmap_space_destroy(h); }
static gmap_status space_set_limit(uint64_t h) { return gmap_space_set_limit(h, 512 * MIB); }

static gmap_status space_get_asce(uint64_t h) {
  uint64_t asce;
  return gmap_space_get_asce(h, &asce);
}

static gmap_status space_get_stats(uint64_t h) {
  gmap_space_stats stats = {.struct_size = sizeof stats};
  return gmap_space_get_stats(h, &stats);
}

static gmap_status image_export(uint64_t h) {
  uint64_t asce, size;
  gmap_image_sink sink = {.struct_size = sizeof sink, .size = &size};
  return gmap_image_export(h, 0, &sink, &asce);
}

static gmap_status slot_set(uint64_t h) { return set_slot(h, 99, 0, 512 * MIB, MIB, data - (uintptr_t)data % PAGE); }

static gmap_status vcpu_open(uint64_t h) {
  uint64_t vcpu;
  gmap_view *view;
  return open_vcpu(h, GMAP_INLINE_VERSION, &vcpu, &view);
}

static gmap_status vcpu_close(uint64_t h) { return gmap_vcpu_close(h); }

static gmap_status fault(uint64_t h) {
  gmap_fault_result result = fault_result();
  return gmap_fault(h, GUEST + 15 * MIB, GMAP_ACCESS_READ, &result);
}

static gmap_status fault_many(uint64_t h) {
  gmap_fault_request request = {.guest_addr = GUEST + 15 * MIB, .access = GMAP_ACCESS_READ};
  size_t done;
  return gmap_fault_many(h, &request, 1, sizeof request, &done);
}

static gmap_status translate(uint64_t h) {
  gmap_fault_result result = fault_result();
  return gmap_translate(h, GUEST, GMAP_ACCESS_READ, &result);
}

static gmap_status read_guest(uint64_t h) { return gmap_read(h, GUEST, data, sizeof data); }
static gmap_status write_guest(uint64_t h) { return gmap_write(h, GUEST, data, sizeof data); }
static gmap_status mark_dirty(uint64_t h) { return gmap_mark_dirty(h, GUEST + 8 * PAGE, PAGE); }
static gmap_status mark_dirty_bitmap(uint64_t h) { return gmap_mark_dirty_bitmap(h, SLOT, 0, 64, words); }

static gmap_status mark_dirty_batch(uint64_t h) {
  uint64_t address = GUEST + 8 * PAGE;
  return gmap_mark_dirty_batch(h, &address, 1);
}

static gmap_status unmap(uint64_t h) {
  uint64_t next;
  return gmap_unmap(h, GUEST, MIB, 0, &next);
}

static gmap_status discard(uint64_t h) { return gmap_discard(h, GUEST + 9 * MIB, MIB, 0, NULL); }
static gmap_status split(uint64_t h) { return gmap_split(h, GUEST + 9 * MIB, MIB, 0, NULL); }
static gmap_status collapse(uint64_t h) { return gmap_collapse(h, GUEST + 9 * MIB, MIB, 0, NULL); }
static gmap_status age(uint64_t h) { return gmap_age(h, GUEST + 9 * MIB, MIB, 0, NULL); }

static gmap_status populate(uint64_t h) {
  uint64_t next;
  return gmap_populate(h, GUEST + 14 * MIB, MIB, GMAP_ACCESS_READ, 0, &next);
}

/* Of a good handle they answer that the space has none: the handle was looked at before. */
static gmap_status pgste_get(uint64_t h) {
  uint64_t word;
  gmap_status status = gmap_pgste_get(h, GUEST, &word);
  return status == GMAP_EOPNOTSUPP ? 0 : status;
}

static gmap_status pgste_update(uint64_t h) {
  gmap_status status = gmap_pgste_update(h, GUEST, 1, 1, NULL);
  return status == GMAP_EOPNOTSUPP ? 0 : status;
}

static gmap_status dirty_get(uint64_t h) {
  uint64_t bits[MAX_WORDS], dirty;
  return gmap_dirty_get(h, SLOT, 0, 64, 0, bits, &dirty);
}

static gmap_status dirty_drain(uint64_t h) {
  uint64_t log[4] = {1, 2, 3, 4}, pages;
  return gmap_dirty_drain(h, GMAP_FORMAT_VHOST_LOG, 0, log, sizeof log, &pages);
}

static gmap_status dirty_rate(uint64_t h) {
  gmap_rate rate = {.struct_size = sizeof rate};
  return gmap_dirty_rate(h, SLOT, &rate);
}

static gmap_status vcpu_rate(uint64_t h) {
  gmap_rate rate = {.struct_size = sizeof rate};
  return gmap_vcpu_rate(h, &rate);
}

static gmap_status dirty_clear(uint64_t h) { return gmap_dirty_clear(h, SLOT, 0, 64, 0, words); }

static gmap_status dirty_harvest(uint64_t h) {
  uint64_t bits[MAX_WORDS], dirty;
  return gmap_dirty_harvest(h, SLOT, 0, 64, 0, bits, MAX_WORDS, &dirty);
}

static gmap_status dirty_harvest_ranges(uint64_t h) {
  gmap_range range;
  size_t n;
  uint64_t next;
  return gmap_dirty_harvest_ranges(h, SLOT, 0, 64, 0, &range, 1, &n, &next);
}

static gmap_status consumer_open(uint64_t h) {
  uint64_t consumer;
  return gmap_consumer_open(h, SLOT, 0, &consumer);
}

static gmap_status consumer_close(uint64_t h) { return gmap_consumer_close(h); }
static gmap_status consumer_begin(uint64_t h) { return gmap_consumer_begin(h, 0, NULL); }

static gmap_status consumer_read_bitmap(uint64_t h) {
  uint64_t bits;
  return gmap_consumer_read_bitmap(h, SLOT, 0, 64, 0, &bits, 1, NULL);
}

static gmap_status consumer_read_ranges(uint64_t h) {
  gmap_range range;
  size_t n;
  uint64_t resume = 0;
  return gmap_consumer_read_ranges(h, 0, &range, 1, &n, &resume);
}

static gmap_status consumer_commit(uint64_t h) { return gmap_consumer_commit(h); }
static gmap_status consumer_abort(uint64_t h) { return gmap_consumer_abort(h); }
static gmap_status consumer_redirty(uint64_t h) { return gmap_consumer_redirty(h, SLOT, 0, 64, 0, words); }

static gmap_status backing_attach(uint64_t h) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  uint64_t backing;
  return gmap_backing_attach(h, SLOT, &config, &backing);
}

static gmap_status backing_fd(uint64_t h) {
  int32_t fd;
  return gmap_backing_fd(h, &fd);
}

static gmap_status backing_fault(uint64_t h) { return gmap_backing_fault(h, 0); }
static gmap_status backing_service(uint64_t h) { return gmap_backing_service(h, 0, NULL); }
static gmap_status backing_detach(uint64_t h) { return gmap_backing_detach(h); }
static gmap_status backing_provide(uint64_t h) { return gmap_backing_provide(h, GUEST, NULL, PAGE); }
static gmap_status backing_wait(uint64_t h) { return gmap_backing_wait(h, GUEST, 0); }
static gmap_status backing_missing(uint64_t h) { return gmap_backing_missing(h, 0, 1, NULL, NULL); }

static gmap_status backing_wanted(uint64_t h) {
  uint64_t address, count;
  return gmap_backing_wanted(h, 0, 0, &address, 1, &count);
}

static gmap_status protect(uint64_t h) { return gmap_protect(h, GUEST, PAGE, GMAP_PROT_READ, GMAP_NOTIFY_CHANGE); }

static void hears(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  (void)user, (void)space, (void)first, (void)last, (void)kind;
}

static gmap_status notifier_register(uint64_t h) {
  gmap_notifier config = {.struct_size = sizeof config, .callback = hears};
  uint64_t notifier;
  return gmap_notifier_register(h, &config, &notifier);
}

static gmap_status notifier_unregister(uint64_t h) { return gmap_notifier_unregister(h); }

static const struct {
  const char *name;
  enum kind takes;
  gmap_status (*call)(uint64_t handle);
} functions[] = {
    {"gmap_engine_destroy", ENGINE, engine_destroy},
    {"gmap_engine_get_stats", ENGINE, engine_get_stats},
    {"gmap_space_create", ENGINE, space_create},
    {"gmap_space_destroy", SPACE, space_destroy},
    {"gmap_space_set_limit", SPACE, space_set_limit},
    {"gmap_space_get_asce", SPACE, space_get_asce},
    {"gmap_space_get_stats", SPACE, space_get_stats},
    {"gmap_image_export", SPACE, image_export},
    {"gmap_slot_set", SPACE, slot_set},
    {"gmap_vcpu_open", SPACE, vcpu_open},
    {"gmap_vcpu_close", VCPU, vcpu_close},
    {"gmap_fault", VCPU, fault},
    {"gmap_fault_many", VCPU, fault_many},
    {"gmap_translate", SPACE, translate},
    {"gmap_read", SPACE, read_guest},
    {"gmap_write", SPACE, write_guest},
    {"gmap_mark_dirty", SPACE, mark_dirty},
    {"gmap_mark_dirty_bitmap", SPACE, mark_dirty_bitmap},
    {"gmap_mark_dirty_batch", SPACE, mark_dirty_batch},
    {"gmap_unmap", SPACE, unmap},
    {"gmap_discard", SPACE, discard},
    {"gmap_split", SPACE, split},
    {"gmap_collapse", SPACE, collapse},
    {"gmap_age", SPACE, age},
    {"gmap_populate", SPACE, populate},
    {"gmap_pgste_get", SPACE, pgste_get},
    {"gmap_pgste_update", SPACE, pgste_update},
    {"gmap_dirty_get", SPACE, dirty_get},
    {"gmap_dirty_clear", SPACE, dirty_clear},
    {"gmap_dirty_harvest", SPACE, dirty_harvest},
    {"gmap_dirty_drain", SPACE, dirty_drain},
    {"gmap_dirty_rate", SPACE, dirty_rate},
    {"gmap_vcpu_rate", VCPU, vcpu_rate},
    {"gmap_dirty_harvest_ranges", SPACE, dirty_harvest_ranges},
    {"gmap_consumer_open", SPACE, consumer_open},
    {"gmap_consumer_close", CONSUMER, consumer_close},
    {"gmap_consumer_begin", CONSUMER, consumer_begin},
    {"gmap_consumer_read_bitmap", CONSUMER, consumer_read_bitmap},
    {"gmap_consumer_read_ranges", CONSUMER, consumer_read_ranges},
    {"gmap_consumer_commit", CONSUMER, consumer_commit},
    {"gmap_consumer_abort", CONSUMER, consumer_abort},
    {"gmap_consumer_redirty", CONSUMER, consumer_redirty},
    {"gmap_protect", SPACE, protect},
    {"gmap_notifier_register", SPACE, notifier_register},
    {"gmap_notifier_unregister", NOTIFIER, notifier_unregister},
    {"gmap_backing_attach", SPACE, backing_attach},
    {"gmap_backing_fd", BACKING, backing_fd},
    {"gmap_backing_fault", BACKING, backing_fault},
    {"gmap_backing_service", BACKING, backing_service},
    {"gmap_backing_detach", BACKING, backing_detach},
    {"gmap_backing_provide", BACKING, backing_provide},
    {"gmap_backing_wait", BACKING, backing_wait},
    {"gmap_backing_missing", BACKING, backing_missing},
    {"gmap_backing_wanted", BACKING, backing_wanted},
};

static fixture f;
static snapshot before, after;

static void refuses(size_t i, uint64_t handle, const char *what) {
  gmap_status status = functions[i].call(handle);
  check_count++;
  if (status != GMAP_EBADF)
    check_failed(__FILE__, __LINE__, "%s with a %s handle 0x%llx answers %d (%s)", functions[i].name, what,
                 (unsigned long long)handle, (int)status, gmap_strerror(status));
  snapshot_take(&f, &after);
  if (!snapshot_same(&before, &after, __FILE__, __LINE__))
    check_failed(__FILE__, __LINE__, "%s with a %s handle changed the space", functions[i].name, what);
}

static uint64_t listen_there(void) {
  gmap_notifier config = {.struct_size = sizeof config, .callback = hears};
  uint64_t notifier = 0;
  REQUIRE_OK(gmap_notifier_register(f.space, &config, &notifier));
  return notifier;
}

/* Handles that were good once, of each kind; their places are taken anew in the second half. */
static void stale_handles(uint64_t stale[KINDS]) {
  gmap_space_config config = space_config(MIB);
  stale[ENGINE] = engine_of(MIB);
  REQUIRE_OK(gmap_engine_destroy(stale[ENGINE]));
  REQUIRE_OK(gmap_space_create(f.engine, &config, &stale[SPACE]));
  REQUIRE_OK(open_vcpu(stale[SPACE], GMAP_INLINE_VERSION, &stale[VCPU], NULL));
  REQUIRE_OK(gmap_vcpu_close(stale[VCPU]));
  REQUIRE_OK(gmap_space_destroy(stale[SPACE]));
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &stale[CONSUMER]));
  REQUIRE_OK(gmap_consumer_close(stale[CONSUMER]));
  stale[NOTIFIER] = listen_there();
  REQUIRE_OK(gmap_notifier_unregister(stale[NOTIFIER]));
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
  uint64_t z = *state += 0x9E3779B97F4A7C15ull;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}

/* A backing where the kernel has one; 0 elsewhere. */
static uint64_t try_backing(unsigned char *memory) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  uint64_t backing = 0;
  REQUIRE_OK(set_slot(f.space, 21, GMAP_SLOT_LOG_DIRTY, 256 * MIB, MIB, memory));
  return gmap_backing_attach(f.space, 21, &config, &backing) == 0 ? backing : 0;
}

int main(void) {
  uint64_t stale[KINDS] = {0}, state = 0x6D61702E, live[KINDS];
  size_t i, k;
  unsigned char *memory = guest_memory(MIB);
  used_fixture(&f);
  live[BACKING] = try_backing(memory);
  if (live[BACKING]) {
    stale[BACKING] = live[BACKING];
    REQUIRE_OK(gmap_backing_detach(live[BACKING]));
    live[BACKING] = try_backing(memory);
  }
  stale_handles(stale);
  live[ENGINE] = f.engine;
  live[SPACE] = f.space;
  live[VCPU] = f.vcpu;
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &live[CONSUMER]));
  live[NOTIFIER] = listen_there();
  snapshot_take(&f, &before);
  for (i = 0; i < sizeof functions / sizeof *functions; i++) {
    refuses(i, 0, "null");
    for (k = 0; k < KINDS; k++) {
      if (stale[k]) refuses(i, stale[k], "stale");
      if (k != functions[i].takes && live[k]) refuses(i, live[k], "wrong-kind");
      if (live[k]) {
        refuses(i, live[k] ^ 1ull << 63, "foreign");
        refuses(i, live[k] + (1ull << 32), "foreign");
        refuses(i, live[k] + 0x1000, "foreign");
      }
    }
    refuses(i, ~0ull, "foreign");
    for (k = 0; k < 8; k++) refuses(i, next_random(&state), "foreign");
  }
  if (live[BACKING]) CHECK_OK(gmap_backing_detach(live[BACKING]));
  CHECK_OK(gmap_consumer_close(live[CONSUMER]));
  CHECK_OK(gmap_notifier_unregister(live[NOTIFIER]));
  fixture_close(&f);
  /* After the engine has gone its handles are stale, and so is everything below it. */
  for (i = 0; i < sizeof functions / sizeof *functions; i++)
    CHECK_STATUS(functions[i].call(live[functions[i].takes]), GMAP_EBADF);
  return check_done("bad_handles");
}
