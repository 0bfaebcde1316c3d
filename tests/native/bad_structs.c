/* SPDX-License-Identifier: MIT
 *
 * bad_structs.c - every struct that carries struct_size, in every size: under 8 GMAP_EINVAL, shorter means zero,
 * longer with a zero tail is fine, with a non-zero tail GMAP_E2BIG, unknown flags and reserved fields
 * GMAP_EINVAL; output structs are filled as far as both know. The structs stand before an inaccessible page, so
 * that nobody reads or writes past struct_size. */
#include "snapshot.h"

#include <stddef.h>

static fixture f;
static unsigned char *elsewhere;
static uint64_t consumer;

/* ---- Input structs ----------------------------------------------------------------------------------------------- */

typedef struct input {
  const char *name;
  size_t size, shorter; /* sizeof, and a prefix that is enough for a good call */
  uint32_t known_flags;
  size_t reserved[2]; /* offsets of reserved 32-bit fields; 0: none */
  void (*fill)(unsigned char *struct_bytes);
  gmap_status (*call)(const void *config); /* undoes what it did */
} input;

static void fill_nothing(unsigned char *bytes) { (void)bytes; }

static gmap_status call_engine_create(const void *config) {
  uint64_t engine;
  gmap_status status = gmap_engine_create((const gmap_engine_config *)config, &engine);
  if (status == 0) CHECK_OK(gmap_engine_destroy(engine));
  return status;
}

static void fill_engine(unsigned char *bytes) { ((gmap_engine_config *)(void *)bytes)->arena_bytes = 2 * MIB; }
static void fill_space(unsigned char *bytes) { ((gmap_space_config *)(void *)bytes)->limit = 2 * MIB; }

static gmap_status call_space_create(const void *config) {
  uint64_t space;
  gmap_status status = gmap_space_create(f.engine, (const gmap_space_config *)config, &space);
  if (status == 0) CHECK_OK(gmap_space_destroy(space));
  return status;
}

static void fill_slot(unsigned char *bytes) {
  gmap_slot *slot = (gmap_slot *)(void *)bytes;
  slot->id = 30;
  slot->guest_addr = 512 * MIB;
  slot->size = MIB;
  slot->host_addr = (uintptr_t)elsewhere;
}

static gmap_status call_slot_set(const void *slot) {
  gmap_status status = gmap_slot_set(f.space, (const gmap_slot *)slot);
  if (status == 0) CHECK_OK(set_slot(f.space, 30, 0, 0, 0, NULL));
  return status;
}

static gmap_status call_vcpu_open(const void *config) {
  uint64_t vcpu;
  gmap_status status = gmap_vcpu_open(f.space, (const gmap_vcpu_config *)config, &vcpu, NULL);
  if (status == 0) CHECK_OK(gmap_vcpu_close(vcpu));
  return status;
}

static uint64_t image_size;
static unsigned char image[256 * 1024];

static void fill_sink(unsigned char *bytes) {
  gmap_image_sink *sink = (gmap_image_sink *)(void *)bytes;
  sink->buffer = image;
  sink->capacity = sizeof image;
  sink->size = &image_size;
}

static gmap_status call_image_export(const void *sink) {
  uint64_t asce;
  return gmap_image_export(f.space, 0, (const gmap_image_sink *)sink, &asce);
}

static void fill_backing(unsigned char *bytes) {
  ((gmap_backing_config *)(void *)bytes)->kind = GMAP_BACKING_USERFAULTFD_ASYNC;
}

static gmap_status call_backing_attach(const void *config) {
  uint64_t backing;
  gmap_status status;
  REQUIRE_OK(set_slot(f.space, 31, GMAP_SLOT_LOG_DIRTY, 600 * MIB, MIB, elsewhere + MIB));
  status = gmap_backing_attach(f.space, 31, (const gmap_backing_config *)config, &backing);
  if (status == 0) CHECK_OK(gmap_backing_detach(backing));
  CHECK_OK(set_slot(f.space, 31, 0, 0, 0, NULL));
  return status == GMAP_EOPNOTSUPP ? 0 : status; /* a kernel that has none of it refuses last */
}

static void hear_nothing(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  (void)user, (void)space, (void)first, (void)last, (void)kind;
}

static void fill_notifier(unsigned char *bytes) { ((gmap_notifier *)(void *)bytes)->callback = hear_nothing; }

static gmap_status call_notifier_register(const void *config) {
  uint64_t notifier;
  gmap_status status = gmap_notifier_register(f.space, (const gmap_notifier *)config, &notifier);
  if (status == 0) CHECK_OK(gmap_notifier_unregister(notifier));
  return status;
}

static const input inputs[] = {
    {"gmap_engine_config", sizeof(gmap_engine_config), offsetof(gmap_engine_config, grace_timeout_ns), 0x3,
     {offsetof(gmap_engine_config, reserved), 0}, fill_engine, call_engine_create},
    {"gmap_space_config", sizeof(gmap_space_config), offsetof(gmap_space_config, table_format), 0,
     {0, 0}, fill_space, call_space_create},
    {"gmap_slot", sizeof(gmap_slot), offsetof(gmap_slot, final_bitmap), 0x7,
     {offsetof(gmap_slot, reserved), 0}, fill_slot, call_slot_set},
    {"gmap_vcpu_config", sizeof(gmap_vcpu_config), 8, 0,
     {offsetof(gmap_vcpu_config, reserved), 0}, fill_nothing, call_vcpu_open},
    {"gmap_image_sink", sizeof(gmap_image_sink), offsetof(gmap_image_sink, frames), 0x1,
     {0, 0}, fill_sink, call_image_export},
    {"gmap_backing_config", sizeof(gmap_backing_config), offsetof(gmap_backing_config, userfaultfd), 0,
     {offsetof(gmap_backing_config, userfaultfd), 0}, fill_backing, call_backing_attach},
    {"gmap_notifier", sizeof(gmap_notifier), offsetof(gmap_notifier, user), 0,
     {offsetof(gmap_notifier, reserved), 0}, fill_notifier, call_notifier_register},
};

/* A copy of the good struct in `room` bytes, told to be `struct_size` long. */
static unsigned char *copy_of(const input *in, size_t room, uint32_t struct_size) {
  unsigned char whole[256] = {0};
  unsigned char *bytes = (unsigned char *)guarded(room);
  in->fill(whole);
  memcpy(whole, &struct_size, 4);
  memset(bytes, 0, room);
  memcpy(bytes, whole, room < in->size ? room : in->size);
  return bytes;
}

static void answers(const input *in, const unsigned char *bytes, gmap_status expected, const char *what) {
  snapshot before, after;
  gmap_status status;
  snapshot_take(&f, &before);
  status = in->call(bytes);
  check_count++;
  if (status != expected)
    check_failed(__FILE__, __LINE__, "%s %s: %d (%s), expected %d", in->name, what, (int)status, gmap_strerror(status),
                 (int)expected);
  if (expected == 0) return;
  snapshot_take(&f, &after);
  /* The slot that the backing's case is about comes and goes: counters of the engine may show it. */
  if (in->call != call_backing_attach && !snapshot_same(&before, &after, __FILE__, __LINE__))
    check_failed(__FILE__, __LINE__, "%s %s changed the space", in->name, what);
}

static void input_in_every_size(const input *in) {
  static const uint32_t too_short[] = {0, 1, 4, 7};
  unsigned char *bytes;
  size_t i;
  for (i = 0; i < 4; i++) answers(in, copy_of(in, 8, too_short[i]), GMAP_EINVAL, "under 8 bytes");
  answers(in, copy_of(in, in->size, 4097), GMAP_E2BIG, "over 4096 bytes"); /* nothing behind the struct is read */
  answers(in, copy_of(in, in->size, ~(uint32_t)0), GMAP_E2BIG, "never set");
  answers(in, copy_of(in, in->shorter, (uint32_t)in->shorter), 0, "shorter");
  answers(in, copy_of(in, in->size, (uint32_t)in->size), 0, "exact");
  answers(in, copy_of(in, in->size + 8, (uint32_t)in->size + 8), 0, "longer with a zero tail");
  answers(in, copy_of(in, in->size + 2048, (uint32_t)in->size + 2048), 0, "much longer with a zero tail");
  for (i = in->size; i < in->size + 24; i++) {
    bytes = copy_of(in, in->size + 24, (uint32_t)in->size + 24);
    bytes[i] = 1;
    answers(in, bytes, GMAP_E2BIG, "longer with a non-zero tail");
  }
  bytes = copy_of(in, in->size + 2048, (uint32_t)in->size + 2048);
  bytes[in->size + 2047] = 0x80;
  answers(in, bytes, GMAP_E2BIG, "much longer with a non-zero last byte");
}

static void input_flags_and_reserved(const input *in) {
  size_t i;
  uint32_t bit;
  for (i = 0; i < 32; i++) {
    unsigned char *bytes = copy_of(in, in->size, (uint32_t)in->size);
    bit = (uint32_t)1 << i;
    if (in->known_flags & bit) continue;
    memcpy(bytes + 4, &bit, 4);
    answers(in, bytes, GMAP_EINVAL, "with an unknown flag");
  }
  for (i = 0; i < 2 && in->reserved[i]; i++) {
    for (bit = 1; bit; bit <<= 31) { /* the first bit and the last */
      unsigned char *bytes = copy_of(in, in->size, (uint32_t)in->size);
      memcpy(bytes + in->reserved[i], &bit, 4);
      answers(in, bytes, GMAP_EINVAL, "with a non-zero reserved field");
      if (bit >> 31) break;
    }
  }
}

/* ---- Output structs ---------------------------------------------------------------------------------------------- */

typedef struct output {
  const char *name;
  size_t size;
  gmap_status (*call)(void *result);
} output;

static gmap_status get_engine_stats(void *out) { return gmap_engine_get_stats(f.engine, (gmap_engine_stats *)out); }
static gmap_status get_space_stats(void *out) { return gmap_space_get_stats(f.space, (gmap_space_stats *)out); }

static gmap_status get_slot_rate(void *out) { return gmap_dirty_rate(f.space, SLOT, (gmap_rate *)out); }
static gmap_status get_vcpu_rate(void *out) { return gmap_vcpu_rate(f.vcpu, (gmap_rate *)out); }

static gmap_status get_fault(void *out) {
  gmap_status status = gmap_fault(f.vcpu, GUEST + 3 * PAGE, GMAP_ACCESS_WRITE, (gmap_fault_result *)out);
  gmap_leave(f.view);
  return status;
}

static gmap_status get_translation(void *out) {
  return gmap_translate(f.space, GUEST + 3 * PAGE, GMAP_ACCESS_WRITE, (gmap_fault_result *)out);
}

static gmap_status get_epoch(void *out) {
  gmap_status status = gmap_consumer_begin(consumer, 0, (gmap_epoch_info *)out);
  if (status == 0) CHECK_OK(gmap_consumer_abort(consumer));
  return status;
}

static const output outputs[] = {
    {"gmap_engine_stats", sizeof(gmap_engine_stats), get_engine_stats},
    {"gmap_space_stats", sizeof(gmap_space_stats), get_space_stats},
    {"gmap_rate of gmap_dirty_rate", sizeof(gmap_rate), get_slot_rate},
    {"gmap_rate of gmap_vcpu_rate", sizeof(gmap_rate), get_vcpu_rate},
    {"gmap_fault_result of gmap_fault", sizeof(gmap_fault_result), get_fault},
    {"gmap_fault_result of gmap_translate", sizeof(gmap_fault_result), get_translation},
    {"gmap_epoch_info", sizeof(gmap_epoch_info), get_epoch},
};

/* The library reads nothing but struct_size: the rest is garbage. */
static unsigned char *room_for(size_t room, uint32_t struct_size) {
  unsigned char *bytes = (unsigned char *)guarded(room);
  memset(bytes, 0xA5, room);
  memcpy(bytes, &struct_size, 4);
  return bytes;
}

static void output_in_every_size(const output *out) {
  unsigned char *exact = room_for(out->size, (uint32_t)out->size), *bytes;
  uint32_t size;
  size_t i;
  check_status(out->call(exact), 0, __FILE__, __LINE__, out->name);
  for (size = 0; size < 8; size++)
    check_status(out->call(room_for(8, size)), GMAP_EINVAL, __FILE__, __LINE__, out->name);
  check_status(out->call(room_for(out->size, 0x10001)), GMAP_EINVAL, __FILE__, __LINE__, out->name);
  check_status(out->call(room_for(out->size, ~(uint32_t)0)), GMAP_EINVAL, __FILE__, __LINE__, out->name);
  for (size = 8; size <= out->size; size += 8) {
    bytes = room_for(out->size + 8, size);
    check_status(out->call(bytes), 0, __FILE__, __LINE__, out->name);
    check_true(memcmp(bytes + 4, exact + 4, 4) == 0, __FILE__, __LINE__, out->name);
    /* Times may have moved on; everything else is the exact struct's prefix. */
    if (out->call != get_space_stats && out->call != get_slot_rate && out->call != get_vcpu_rate &&
        out->call != get_epoch) /* which counts */
      check_true(memcmp(bytes + 8, exact + 8, size - 8) == 0, __FILE__, __LINE__, out->name);
    for (i = size; i < out->size + 8; i++) check_equal(bytes[i], 0xA5, __FILE__, __LINE__, "a byte past struct_size");
    if (size > 8) check_status(out->call(room_for(size, size)), 0, __FILE__, __LINE__, out->name); /* at the guard */
  }
  bytes = room_for(out->size + 64, (uint32_t)out->size + 64);
  check_status(out->call(bytes), 0, __FILE__, __LINE__, out->name);
  for (i = out->size; i < out->size + 64; i++)
    check_equal(bytes[i], 0, __FILE__, __LINE__, "a byte that the library does not know");
}

/* Every value of the enumerations: known, unknown. */
static void enumerations(void) {
  static const struct {
    size_t offset;
    uint32_t good; /* values below it are fine */
  } fields[] = {
      {offsetof(gmap_space_config, table_format), 2}, {offsetof(gmap_space_config, split_policy), 3},
      {offsetof(gmap_space_config, huge), 3},         {offsetof(gmap_space_config, dirty_scope), 2},
      {offsetof(gmap_space_config, tracking), 2},
  };
  size_t i;
  uint32_t value;
  for (i = 0; i < sizeof fields / sizeof *fields; i++) {
    for (value = 0; value < 40; value++) {
      uint32_t set = value < 8 ? value : (uint32_t)1 << (value - 8);
      unsigned char *bytes = copy_of(&inputs[1], sizeof(gmap_space_config), sizeof(gmap_space_config));
      memcpy(bytes + fields[i].offset, &set, 4);
      answers(&inputs[1], bytes, set < fields[i].good ? 0 : GMAP_EINVAL, "with a value of an enumeration");
    }
  }
}

int main(void) {
  size_t i;
  elsewhere = guest_memory(2 * MIB);
  used_fixture(&f);
  for (i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    input_in_every_size(&inputs[i]);
    input_flags_and_reserved(&inputs[i]);
  }
  REQUIRE_OK(gmap_consumer_open(f.space, SLOT, 0, &consumer));
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 3 * PAGE, GMAP_ACCESS_WRITE, NULL)); /* as it was before it was taken */
  gmap_leave(f.view);
  for (i = 0; i < sizeof outputs / sizeof *outputs; i++) output_in_every_size(&outputs[i]);
  CHECK_OK(gmap_consumer_close(consumer));
  enumerations();
  fixture_close(&f);
  return check_done("bad_structs");
}
