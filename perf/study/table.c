// Tables: filled cell by cell, then shown on the terminal, as Markdown and as JSON.
#include <stdarg.h>
#include "study.h"

#define MOST_TABLES 12
#define MOST_CELLS 4096
#define MOST_COLUMNS 24

struct table {
  char name[32], title[300];
  char columns[MOST_COLUMNS][32];
  int width, cells;
  struct {
    char text[40];
    bool number;
  } of[MOST_CELLS];
};

static table *tables[MOST_TABLES];
static int count;

table *table_new(const char *name, const char *title, const char *columns) {
  table *t = calloc(1, sizeof *t);
  if (!t || count == MOST_TABLES) exit(3);
  snprintf(t->name, sizeof t->name, "%s", name);
  snprintf(t->title, sizeof t->title, "%s", title);
  for (const char *at = columns; *at && t->width < MOST_COLUMNS;) {
    size_t n = strcspn(at, "|");
    snprintf(t->columns[t->width++], sizeof t->columns[0], "%.*s", (int)n, at);
    at += n + (at[n] == '|');
  }
  return tables[count++] = t;
}

void cell(table *t, const char *format, ...) {
  va_list arguments;
  if (t->cells == MOST_CELLS) exit(3);
  va_start(arguments, format);
  vsnprintf(t->of[t->cells++].text, sizeof t->of[0].text, format, arguments);
  va_end(arguments);
}

void cell_number(table *t, double value, int decimals) {
  if (value < 0) {
    cell(t, "-");
    return;
  }
  cell(t, "%.*f", decimals, value);
  t->of[t->cells - 1].number = true;
}

static int wide(const table *t, int column) {
  int most = (int)strlen(t->columns[column]);
  for (int i = column; i < t->cells; i += t->width) {
    int n = (int)strlen(t->of[i].text);
    most = n > most ? n : most;
  }
  return most;
}

// A column is set to the right if its first row that says something is a number.
static bool to_the_right(const table *t, int column) {
  for (int i = column; i < t->cells; i += t->width)
    if (t->of[i].text[0] != '-') return t->of[i].number;
  return true;
}

static void print(const table *t) {
  printf("\n== %s: %s\n", t->name, t->title);
  for (int i = -t->width; i < t->cells; i++) {
    int column = (i + t->width) % t->width, n = wide(t, column);
    const char *text = i < 0 ? t->columns[column] : t->of[i].text;
    printf("%*s%s", to_the_right(t, column) ? n : -n, text, column + 1 == t->width ? "\n" : "  ");
  }
}

void tables_print(void) {
  for (int i = 0; i < count; i++)
    if (tables[i]->cells) print(tables[i]);
}

// Between the marks that `./build.sh study --update` looks for in STUDY.md.
static void markdown(FILE *file, const table *t) {
  fprintf(file, "<!-- table %s -->\n%s\n\n", t->name, t->title);
  for (int i = 0; i < t->width; i++) fprintf(file, "| %s ", t->columns[i]);
  fprintf(file, "|\n");
  for (int i = 0; i < t->width; i++) fprintf(file, to_the_right(t, i) ? "|---:" : "|---");
  fprintf(file, "|\n");
  for (int i = 0; i < t->cells; i++)
    fprintf(file, "| %s %s", t->of[i].text, (i + 1) % t->width == 0 ? "|\n" : "");
  fprintf(file, "<!-- end -->\n\n");
}

void tables_markdown(FILE *file) {
  for (int i = 0; i < count; i++)
    if (tables[i]->cells) markdown(file, tables[i]);
}

static void json(FILE *file, const table *t) {
  fprintf(file, "    {");
  json_text(file, "name", t->name, ", ");
  json_text(file, "title", t->title, ",\n     \"columns\": [");
  for (int i = 0; i < t->width; i++) fprintf(file, "%s\"%s\"", i ? ", " : "", t->columns[i]);
  fprintf(file, "],\n     \"rows\": [");
  for (int i = 0; i < t->cells; i++) {
    const char *before = i % t->width ? ", " : i ? ",\n       [" : "\n       [";
    if (t->of[i].number) fprintf(file, "%s%s", before, t->of[i].text);
    else if (strcmp(t->of[i].text, "-") == 0) fprintf(file, "%snull", before);
    else fprintf(file, "%s\"%s\"", before, t->of[i].text);
    if ((i + 1) % t->width == 0) fputc(']', file);
  }
  fprintf(file, "]}");
}

void tables_json(FILE *file) {
  bool first = true;
  fprintf(file, "  \"tables\": [\n");
  for (int i = 0; i < count; i++) {
    if (!tables[i]->cells) continue;
    if (!first) fprintf(file, ",\n");
    json(file, tables[i]);
    first = false;
  }
  fprintf(file, "\n  ]");
}
