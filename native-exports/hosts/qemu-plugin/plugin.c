/* SPDX-License-Identifier: GPL-2.0-or-later
 * libgmap-qemu-plugin: libgmapnative inside qemu-system-*, told of every store of the guest. README.md has the
 * arguments. */
#include <qemu-plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reporter.h"
#include "vcpus.h"

/* The default visibility is what QEMU looks the two symbols up by. */
QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct settings settings = {.interval_ms = 500, .remember = 1, .live = 1};
static struct tracker tracker;

static bool is_s390x;
static struct qemu_plugin_register *prefix_register; /* s390x: where real 0 to 8191 are in absolute storage */

/* QEMU forgets at once where pages with protected low addresses are, so that it looks at each store there; asked for
 * them, it has no answer, and says so on stderr. They are the lowcore if the guest has mapped virtual 0 to real 0, as
 * without DAT and as Linux does. */
#define LOWCORE_SIZE 8192u

static uint64_t lowcore(struct vcpu *vcpu, uint64_t address) {
  uint64_t prefix = 0;
  if (!vcpu->bytes) vcpu->bytes = g_byte_array_new();
  g_byte_array_set_size(vcpu->bytes, 0);
  if (qemu_plugin_read_register(prefix_register, vcpu->bytes) != 8) return UINT64_MAX;
  for (int i = 0; i < 8; i++) prefix = prefix << 8 | ((GByteArray *)vcpu->bytes)->data[i];
  return prefix + address;
}

static void store_to(struct vcpu *vcpu, qemu_plugin_meminfo_t info, uint64_t address) {
  if (is_s390x && address < LOWCORE_SIZE) {
    uint64_t absolute = lowcore(vcpu, address);
    if (absolute >= tracker.bytes)
      count_one(&vcpu->own.lost);
    else
      vcpu_store(vcpu, &tracker, absolute, settings.remember);
    count_one(&vcpu->own.lowcore);
    return;
  }
  struct qemu_plugin_hwaddr *found = qemu_plugin_get_hwaddr(info, address);
  if (!found) {
    count_one(&vcpu->own.lost);
    return;
  }
  if (qemu_plugin_hwaddr_is_io(found)) {
    count_one(&vcpu->own.io);
    return;
  }
  uint64_t physical = qemu_plugin_hwaddr_phys_addr(found);
  if (physical >= tracker.bytes)
    count_one(&vcpu->own.outside);
  else
    vcpu_store(vcpu, &tracker, physical, settings.remember);
}

/* After the store. An instruction that reads and writes comes twice, whatever was asked for. */
static void on_memory(unsigned int index, qemu_plugin_meminfo_t info, uint64_t address, void *unused) {
  (void)unused;
  if (!qemu_plugin_mem_is_store(info) || index >= MAX_VCPUS) return;
  struct vcpu *vcpu = &vcpus[index];
  uint64_t last = address + (1ull << qemu_plugin_mem_size_shift(info)) - 1;
  count_one(&vcpu->own.stores);
  store_to(vcpu, info, address);
  if ((address ^ last) < GMAP_PAGE_SIZE) return;
  count_one(&vcpu->own.across); /* told once, but two pages, which need not be neighbours in memory */
  store_to(vcpu, info, last);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  enum qemu_plugin_cb_flags flags = is_s390x ? QEMU_PLUGIN_CB_R_REGS : QEMU_PLUGIN_CB_NO_REGS; /* the prefix */
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++)
    qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, i), on_memory, flags, QEMU_PLUGIN_MEM_W, NULL);
}

static void on_vcpu(qemu_plugin_id_t id, unsigned int index) {
  (void)id;
  (void)index;
  GArray *registers = qemu_plugin_get_registers();
  for (unsigned i = 0; i < registers->len; i++) {
    qemu_plugin_reg_descriptor *one = &g_array_index(registers, qemu_plugin_reg_descriptor, i);
    if (!strcmp(one->name, "prefix")) prefix_register = one->handle; /* the same for each vcpu */
  }
  g_array_free(registers, TRUE);
}

static void on_exit_(qemu_plugin_id_t id, void *unused) {
  (void)id;
  (void)unused;
  reporter_stop();
}

static int one_of(const char *value, const char *const *names) {
  for (int i = 0; names[i]; i++)
    if (!strcmp(value, names[i])) return i;
  return -1;
}

/* A number, K, M or G behind it. 0: none. */
static uint64_t number(const char *text) {
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  const char *unit = *end ? strchr("KMG", *end) : NULL;
  if (*end && (!unit || end[1])) return 0;
  return unit ? value << (10 * (unit - "KMG" + 1)) : value;
}

/* Returns whether it is one, with a value that can be. */
static bool argument(char *word) {
  static const char *const feeds[] = {"fault", "mark", "inline", "none", NULL};
  static const char *const policies[] = {"lazy", "never", "eager", NULL};
  char *value = strchr(word, '=');
  int chosen = 0;
  bool yes = true;
  if (!value) return false;
  *value++ = 0;
  if (!strcmp(word, "ram")) return (settings.ram = number(value)) % GMAP_SEGMENT_SIZE == 0 && settings.ram;
  if (!strcmp(word, "interval")) return (settings.interval_ms = number(value)) > 0 && settings.interval_ms <= 3600000;
  if (!strcmp(word, "drop")) return (settings.drop = number(value)) > 0;
  if (!strcmp(word, "memory")) settings.memory = value;
  else if (!strcmp(word, "out")) settings.out = value;
  else if (!strcmp(word, "control")) settings.control = value;
  else if (!strcmp(word, "picture")) settings.picture = value;
  else if (!strcmp(word, "feed")) settings.feed = (enum feed)(chosen = one_of(value, feeds));
  else if (!strcmp(word, "policy")) settings.policy = (uint32_t)(chosen = one_of(value, policies));
  else if (!strcmp(word, "remember") && qemu_plugin_bool_parse(word, value, &yes)) settings.remember = yes;
  else if (!strcmp(word, "live") && qemu_plugin_bool_parse(word, value, &yes)) settings.live = yes;
  else return false;
  return chosen >= 0;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  for (int i = 0; i < argc; i++) {
    char *word = strdup(argv[i]); /* QEMU frees its own when this returns */
    if (!word || argument(word)) continue;
    fprintf(stderr, "gmap-qemu-plugin: %s: no such argument, or not such a value\n", argv[i]);
    return -1;
  }
  if (!info->system_emulation || info->system.max_vcpus > MAX_VCPUS || !settings.ram) {
    fprintf(stderr, "gmap-qemu-plugin: for qemu-system-*, up to %d vcpus; ram= says how much memory the guest has\n",
            MAX_VCPUS);
    return -1;
  }
  settings.target = strdup(info->target_name);
  gmap_runtime_init(); /* its signal handlers go in before QEMU's, which start later */
  vcpus_prepare();
  if (tracker_open(&tracker, settings.ram, settings.memory, settings.feed, settings.policy)) return -1;
  if (reporter_start(&settings, &tracker)) return -1;
  is_s390x = !strcmp(info->target_name, "s390x");
  if (is_s390x) qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
  return 0;
}
