/* SPDX-License-Identifier: MIT
 * One JSON object, written as it comes. */
#ifndef JSON_H
#define JSON_H

#include <stdio.h>

#include "common.h"

struct json {
  FILE *file; /* NULL: nothing is asked for, and every call does nothing */
  bool inside; /* something stands before, so a comma comes next */
};

bool json_open(struct json *json, const char *path); /* NULL: none; "-": stdout */
void json_begin(struct json *json, const char *name, char bracket); /* { or [; name may be NULL */
void json_end(struct json *json, char bracket);
void json_text(struct json *json, const char *name, const char *value); /* of ours: nothing in it needs escaping */
void json_count(struct json *json, const char *name, uint64_t value);
void json_real(struct json *json, const char *name, double value);
void json_truth(struct json *json, const char *name, bool value);
bool json_close(struct json *json, const char *path);

#endif
