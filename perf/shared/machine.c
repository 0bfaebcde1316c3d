#include "machine.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "measure.h"

static double began, machine_busy_at_begin;
static char load_at_begin[64];

double waited_ns(void) {
  static _Thread_local int file = -2;
  char text[96];
  ssize_t got;
  unsigned long long ran, waited;
  if (file == -2) file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  got = file < 0 ? -1 : pread(file, text, sizeof text - 1, 0);
  if (got <= 0) return 0;
  text[got] = 0;
  return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? (double)waited : 0;
}

static void read_line(const char *path, const char *key, char *to, size_t size) {
  char line[256];
  FILE *file = fopen(path, "r");
  snprintf(to, size, "unknown");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    char *value = key ? strchr(line, ':') : line;
    if (key && (strncmp(line, key, strlen(key)) != 0 || !value)) continue;
    value += key ? 2 : 0;
    value[strcspn(value, "\n\"\\")] = 0;
    value[strlen(value) < size ? strlen(value) : size - 1] = 0;
    memcpy(to, value, strlen(value) + 1);
    break;
  }
  fclose(file);
}

// Seconds of processors that somebody used since the machine started.
static double machine_busy(void) {
  unsigned long long v[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (!file) return 0;
  if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6) != 7)
    v[0] = 0;
  fclose(file);
  return (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / (double)sysconf(_SC_CLK_TCK);
}

static double own_busy(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void machine_begin(void) {
  began = now_ns();
  machine_busy_at_begin = machine_busy();
  read_line("/proc/loadavg", NULL, load_at_begin, sizeof load_at_begin);
}

const char *machine_load_at_begin(void) { return load_at_begin; }

const char *machine_flavour(void) {
  uint64_t features = gmap_features();
  return features & GMAP_FEATURE_ISA_V4 ? "x86-64-v4" : features & GMAP_FEATURE_ISA_V3 ? "x86-64-v3" : "baseline";
}

machine machine_describe(void) {
  machine m;
  struct utsname names;
  uname(&names);
  snprintf(m.kernel, sizeof m.kernel, "%.60s %.60s %.20s", names.sysname, names.release, names.machine);
  read_line("/proc/cpuinfo", "model name", m.processor, sizeof m.processor);
  read_line("/proc/loadavg", NULL, m.load, sizeof m.load);
  m.seconds = (now_ns() - began) / 1e9;
  m.others = (machine_busy() - machine_busy_at_begin - own_busy()) / m.seconds;
  m.others = m.others < 0 ? 0 : m.others;
  return m;
}

void machine_print(FILE *file, const machine *m) {
  fprintf(file, "machine: %s, %ld processors; kernel %s\n", m->processor, sysconf(_SC_NPROCESSORS_ONLN), m->kernel);
  fprintf(file, "library: GmapNative %s, %s, membarrier %s\n", gmap_version_string(), machine_flavour(),
          gmap_features() & GMAP_FEATURE_MEMBARRIER ? "yes" : "no");
}

void json_text(FILE *file, const char *key, const char *text, const char *behind) {
  fprintf(file, "\"%s\": \"", key);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', file);
    fputc(*text, file);
  }
  fprintf(file, "\"%s", behind);
}

void machine_json(FILE *file, const machine *m) {
  fprintf(file, "  \"machine\": {");
  json_text(file, "processor", m->processor, ", ");
  fprintf(file, "\"processors\": %ld, ", sysconf(_SC_NPROCESSORS_ONLN));
  json_text(file, "kernel", m->kernel, "},\n  \"build\": {");
  json_text(file, "library", gmap_version_string(), ", ");
  json_text(file, "instructions", machine_flavour(), ", ");
  json_text(file, "compiler", __VERSION__, "},\n");
}
