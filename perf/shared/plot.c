// See plot.h. Colours follow the reader's light or dark background; a curve is known by its mark too.
#include "plot.h"
#include <math.h>
#include <stdio.h>

#define LEFT 76.0
#define TOP 86.0
#define GAP 40.0
#define HEIGHT 320.0
#define LEGEND 72.0 // from the axis to its first line

typedef struct scale {
  double low, high, step; // of the powers of ten, or of the values where it is linear
  int linear;
} scale;

static const char style[] =
    "<style>text{fill:#24292f}.b{fill:#ffffff}.g{stroke:#d5d9de}.m{fill:#57606a}"
    ".c0{stroke:#1f5fa8;fill:#1f5fa8}.c1{stroke:#c2570c;fill:#c2570c}.c2{stroke:#7a8a2b;fill:#7a8a2b}"
    ".c3{stroke:#1f7a4d;fill:#1f7a4d}.c4{stroke:#8a3fa0;fill:#8a3fa0}.c5{stroke:#6e7781;fill:#6e7781}"
    "polyline{fill:none!important;stroke-width:2}.c0{stroke-width:3}.c5{stroke-dasharray:5 4}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.b{fill:#0d1117}.g{stroke:#30363d}.m{fill:#9198a1}"
    ".c0{stroke:#6cb2ff;fill:#6cb2ff}.c1{stroke:#ff9a4d;fill:#ff9a4d}.c2{stroke:#c5d65a;fill:#c5d65a}"
    ".c3{stroke:#56d39b;fill:#56d39b}.c4{stroke:#d79bef;fill:#d79bef}.c5{stroke:#9198a1;fill:#9198a1}}</style>\n";

static double wide(const picture *p) { return p->panels == 1 ? 700 : 360; }

static double gap(const picture *p) { return p->alone ? GAP + 44 : GAP; }

static double panel_left(const picture *p, int panel) { return LEFT + panel * (wide(p) + gap(p)); }

static double across(const picture *p, int panel, double x) {
  double first = p->x[0], last = p->x[p->points - 1];
  double share = last > first ? (x - first) / (last - first) : 0.5;
  return panel_left(p, panel) + wide(p) * (0.06 + 0.88 * share);
}

static double up(const scale *s, double value) {
  double at = s->linear ? value : log10(value);
  return TOP + HEIGHT * (1 - (at - s->low) / (s->high - s->low));
}

static int points_of(const picture *p, const curve *c, int panel) {
  return c->trails[panel].n ? c->trails[panel].n : p->points;
}

static double x_of(const picture *p, const curve *c, int panel, int i) {
  return c->trails[panel].n ? c->trails[panel].x[i] : p->x[i];
}

static double y_of(const curve *c, int panel, int i) {
  return c->trails[panel].n ? c->trails[panel].y[i] : c->y[panel][i];
}

static int shown(const scale *s, double y) { return y > 0 || s->linear; }

// Even steps of 1, 2 or 5 (of bytes: powers of two) of which four to ten reach the top.
static scale linear_scale(double most, enum quantity quantity) {
  double step = quantity == BYTES ? 1024 : pow(10, floor(log10(most > 0 ? most : 1)) - 1);
  for (int i = 0; most > step * 8; i++) step *= quantity == BYTES || i % 3 != 1 ? 2 : 2.5;
  return (scale){0, step * fmax(ceil(most / step), 1), step, 1};
}

// Of panels first to last - 1.
static scale scale_of(const picture *p, const curve *curves, int n, int first, int last) {
  double least = 1e300, most = 0;
  for (int c = 0; c < n; c++)
    for (int panel = first; panel < last; panel++)
      for (int i = 0; i < points_of(p, curves + c, panel); i++) {
        double y = y_of(curves + c, panel, i);
        if (y <= 0) continue;
        least = y < least ? y : least;
        most = y > most ? y : most;
      }
  if (p->linear) return linear_scale(most, p->quantity[first]);
  if (most == 0) return (scale){0, 1, 1, 0};
  return (scale){floor(log10(least)), fmax(ceil(log10(most)), floor(log10(least)) + 1), 1, 0};
}

static void print_text(FILE *file, double x, double y, const char *how, const char *text) {
  fprintf(file, "<text x='%.1f' y='%.1f' %s>%s</text>\n", x, y, how, text);
}

// A value in the unit that suits it; powers of ten of bytes in decimal ones.
static void print_value(FILE *file, double x, double y, double value, enum quantity quantity, int linear) {
  static const struct {
    double one[4]; // of each unit
    const char *names[4];
  } units[] = {{{1e-3, 1, 1e3, 1e6}, {"ns", "µs", "ms", "s"}},
               {{1, 1 << 10, 1 << 20, 1 << 30}, {"B", "KiB", "MiB", "GiB"}},
               {{1, 1e3, 1e6, 1e9}, {"", "k", "M", "G"}},
               {{1, 1e3, 1e6, 1e9}, {"B", "kB", "MB", "GB"}}};
  char text[32];
  int of = quantity == BYTES && !linear ? 3 : (int)quantity, unit = 0;
  while (unit < 3 && value >= units[of].one[unit + 1]) unit++;
  snprintf(text, sizeof text, "%.4g %s", value / units[of].one[unit], units[of].names[unit]);
  print_text(file, x, y, "text-anchor='end'", text);
}

static void grid(FILE *file, const picture *p, const scale *s, int panel) {
  double left = panel_left(p, panel);
  print_text(file, left, TOP - 12, "font-weight='bold'", p->names[panel]);
  for (double at = s->low; at <= s->high + s->step / 2; at += s->step) {
    double value = s->linear ? at : pow(10, at), y = up(s, value);
    fprintf(file, "<line class='g' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>\n", left, y, left + wide(p), y);
    if (panel == 0 || p->alone) print_value(file, left - 8, y + 4, value, p->quantity[panel], s->linear);
  }
  for (int i = 0; i < p->points; i++) {
    double x = across(p, panel, p->x[i]);
    fprintf(file, "<line class='g' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>\n", x, TOP + HEIGHT, x, TOP + HEIGHT + 5);
    print_text(file, x, TOP + HEIGHT + 20, "text-anchor='middle'", p->labels[i]);
  }
  print_text(file, left + wide(p) / 2, TOP + HEIGHT + 40, "class='m' text-anchor='middle'", p->axis);
}

// Disc, square, triangle, diamond, in turn.
static void mark(FILE *file, int c, double x, double y) {
  static const char *const shapes[] = {"M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-3.5,-3.5h7v7h-7z", "M0,-4.5l4.5,8h-9z",
                                       "M0,-5l5,5l-5,5l-5,-5z"};
  fprintf(file, "<path class='c%d' transform='translate(%.1f %.1f)' stroke='none' d='%s'/>", c, x, y, shapes[c % 4]);
}

static const char *const unit_names[] = {"us", "bytes", ""};

static void draw(FILE *file, const picture *p, const scale *s, const curve *c, int index, int panel) {
  int n = points_of(p, c, panel);
  fprintf(file, "<polyline class='c%d' points='", index);
  for (int i = 0; i < n; i++)
    if (shown(s, y_of(c, panel, i)))
      fprintf(file, "%.1f,%.1f ", across(p, panel, x_of(p, c, panel, i)), up(s, y_of(c, panel, i)));
  fprintf(file, "'/>\n");
  if (c->trails[panel].n > 2 * MOST_POINTS) return; // marks would hide it
  for (int i = 0; i < n; i++) {
    double x = x_of(p, c, panel, i), y = y_of(c, panel, i);
    if (!shown(s, y)) continue;
    fprintf(file, "<g><title>%s, %s, ", c->name, p->names[panel]);
    if (c->trails[panel].n) fprintf(file, "%.4g", x);
    else fputs(p->labels[i], file);
    fprintf(file, ": %.4g %s</title>", y, unit_names[p->quantity[panel]]);
    mark(file, index, across(p, panel, x), up(s, y));
    fprintf(file, "</g>\n");
  }
}

static void legend(FILE *file, const curve *c, int index) {
  double y = TOP + HEIGHT + LEGEND + 20 * index;
  fprintf(file, "<line class='c%d' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke-width='3'/>", index, LEFT, y - 4,
          LEFT + 32, y - 4);
  mark(file, index, LEFT + 16, y - 4);
  print_text(file, LEFT + 42, y, "", c->name);
}

int plot(const char *path, const picture *p, const curve *curves, int n) {
  scale all = scale_of(p, curves, n, 0, p->panels);
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  fprintf(file,
          "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' font-size='13'>\n",
          (int)(panel_left(p, p->panels) - gap(p) + 24), (int)(TOP + HEIGHT + LEGEND) + 20 * n);
  fputs(style, file);
  fprintf(file, "<rect class='b' width='100%%' height='100%%'/>\n");
  print_text(file, LEFT, 28, "font-size='17'", p->title);
  print_text(file, LEFT, 50, "class='m'", p->about);
  for (int panel = 0; panel < p->panels; panel++) {
    scale s = p->alone ? scale_of(p, curves, n, panel, panel + 1) : all;
    grid(file, p, &s, panel);
    for (int c = n - 1; c >= 0; c--) draw(file, p, &s, curves + c, c, panel); // the first on top
  }
  for (int c = 0; c < n; c++) legend(file, curves + c, c);
  fprintf(file, "</svg>\n");
  return fclose(file);
}
