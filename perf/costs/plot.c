// A picture as SVG: panels side by side, curves over a few labelled places, microseconds on a scale of powers of ten.
// Its colours follow the reader's light or dark background; a curve is known by its mark too.
#include <math.h>
#include "costs.h"

#define LEFT 76.0
#define TOP 86.0
#define GAP 40.0
#define HEIGHT 320.0
#define LEGEND 72.0 // from the axis to its first line

typedef struct scale {
  double low, high; // powers of ten
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

static double panel_left(const picture *p, int panel) { return LEFT + panel * (wide(p) + GAP); }

static double across(const picture *p, int panel, int point) {
  double first = p->x[0], last = p->x[p->points - 1];
  double share = last > first ? (p->x[point] - first) / (last - first) : 0.5;
  return panel_left(p, panel) + wide(p) * (0.06 + 0.88 * share);
}

static double up(const scale *s, double value) {
  return TOP + HEIGHT * (1 - (log10(value) - s->low) / (s->high - s->low));
}

static scale scale_of(const picture *p, const curve *curves, int n) {
  double least = 1e300, most = 0;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < p->panels * p->points; i++) {
      double y = curves[c].y[i / p->points][i % p->points];
      if (y <= 0) continue;
      least = y < least ? y : least;
      most = y > most ? y : most;
    }
  if (most == 0) return (scale){0, 1};
  return (scale){floor(log10(least)), fmax(ceil(log10(most)), floor(log10(least)) + 1)};
}

static void print_text(FILE *file, double x, double y, const char *how, const char *text) {
  fprintf(file, "<text x='%.1f' y='%.1f' %s>%s</text>\n", x, y, how, text);
}

// Microseconds, in the unit that suits them.
static void print_value(FILE *file, double x, double y, double us) {
  char text[32];
  const char *unit = us < 1 ? "ns" : us < 1e3 ? "µs" : us < 1e6 ? "ms" : "s";
  double shown = us < 1 ? us * 1e3 : us < 1e3 ? us : us < 1e6 ? us / 1e3 : us / 1e6;
  snprintf(text, sizeof text, "%g %s", shown, unit);
  print_text(file, x, y, "text-anchor='end'", text);
}

static void grid(FILE *file, const picture *p, const scale *s, int panel) {
  double left = panel_left(p, panel);
  print_text(file, left, TOP - 12, "font-weight='bold'", p->names[panel]);
  for (int power = (int)s->low; power <= (int)s->high; power++) {
    double y = up(s, pow(10, power));
    fprintf(file, "<line class='g' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>\n", left, y, left + wide(p), y);
    if (panel == 0) print_value(file, left - 8, y + 4, pow(10, power));
  }
  for (int i = 0; i < p->points; i++) {
    double x = across(p, panel, i);
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

static void draw(FILE *file, const picture *p, const scale *s, const curve *c, int index, int panel) {
  const double *values = c->y[panel];
  fprintf(file, "<polyline class='c%d' points='", index);
  for (int i = 0; i < p->points; i++)
    if (values[i] > 0) fprintf(file, "%.1f,%.1f ", across(p, panel, i), up(s, values[i]));
  fprintf(file, "'/>\n");
  for (int i = 0; i < p->points; i++) {
    if (values[i] <= 0) continue;
    fprintf(file, "<g><title>%s, %s, %s: %.4g us</title>", c->name, p->names[panel], p->labels[i], values[i]);
    mark(file, index, across(p, panel, i), up(s, values[i]));
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
  scale s = scale_of(p, curves, n);
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  fprintf(file,
          "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' font-size='13'>\n",
          (int)(panel_left(p, p->panels) - GAP + 24), (int)(TOP + HEIGHT + LEGEND) + 20 * n);
  fputs(style, file);
  fprintf(file, "<rect class='b' width='100%%' height='100%%'/>\n");
  print_text(file, LEFT, 28, "font-size='17'", p->title);
  print_text(file, LEFT, 50, "class='m'", p->about);
  for (int panel = 0; panel < p->panels; panel++) {
    grid(file, p, &s, panel);
    for (int c = n - 1; c >= 0; c--) draw(file, p, &s, curves + c, c, panel); // the first on top
  }
  for (int c = 0; c < n; c++) legend(file, curves + c, c);
  fprintf(file, "</svg>\n");
  return fclose(file);
}
