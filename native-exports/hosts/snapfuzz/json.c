/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <errno.h>
#include <string.h>

bool json_open(struct json *json, const char *path) {
  *json = (struct json){NULL, false};
  if (!path) return true;
  json->file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
  return json->file || complain("--json %s: %s", path, strerror(errno));
}

static bool next(struct json *json, const char *name) {
  if (!json->file) return false;
  if (json->inside) fputc(',', json->file);
  if (name) fprintf(json->file, "\"%s\":", name);
  return json->inside = true;
}

void json_begin(struct json *json, const char *name, char bracket) {
  if (!next(json, name)) return;
  fputc(bracket, json->file);
  json->inside = false;
}

void json_end(struct json *json, char bracket) {
  if (!json->file) return;
  fputc(bracket, json->file);
  json->inside = true;
}

void json_text(struct json *json, const char *name, const char *value) {
  if (next(json, name)) fprintf(json->file, "\"%s\"", value);
}

void json_count(struct json *json, const char *name, uint64_t value) {
  if (next(json, name)) fprintf(json->file, "%llu", (unsigned long long)value);
}

void json_real(struct json *json, const char *name, double value) {
  if (next(json, name)) fprintf(json->file, "%.3f", value);
}

void json_truth(struct json *json, const char *name, bool value) {
  if (next(json, name)) fputs(value ? "true" : "false", json->file);
}

bool json_close(struct json *json, const char *path) {
  if (!json->file) return true;
  fputc('\n', json->file);
  bool good = !ferror(json->file) && (json->file == stdout ? fflush(json->file) : fclose(json->file)) == 0;
  json->file = NULL;
  return good || complain("--json %s: it could not be written", path);
}
