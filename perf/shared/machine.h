// On what a run was made, and who else worked there meanwhile.
#ifndef MACHINE_H
#define MACHINE_H

#include <stdio.h>

typedef struct machine {
  char processor[128], kernel[160], load[64];
  double others, seconds; // processors that other processes took since machine_begin; seconds since then
} machine;

void machine_begin(void);
machine machine_describe(void);
const char *machine_load_at_begin(void);
// x86-64-v4, x86-64-v3 or baseline: what the loaded library was compiled for.
const char *machine_flavour(void);
void machine_print(FILE *file, const machine *m);
// "key": "text", with the quotes and backslashes of the text escaped; behind is written after it.
void json_text(FILE *file, const char *key, const char *text, const char *behind);
// "machine": {...}, "build": {...},
void machine_json(FILE *file, const machine *m);

#endif
