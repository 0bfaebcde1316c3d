// A picture as SVG: curves over a few labelled places, microseconds on a scale of powers of ten.
#include <math.h>
#include "costs.h"

#define LEFT 84.0
#define TOP 60.0
#define WIDTH 620.0
#define HEIGHT 320.0

static double across(int point, int points) {
  return LEFT + WIDTH * (point + 0.5) / points;
}

typedef struct scale {
  double low, high; // powers of ten
} scale;

static double up(const scale *s, double value) {
  return TOP + HEIGHT * (1 - (log10(value) - s->low) / (s->high - s->low));
}

static scale scale_of(const curve *curves, int n, int points) {
  double least = 1e300, most = 0;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < points; i++) {
      double y = curves[c].y[i];
      if (y <= 0) continue;
      least = y < least ? y : least;
      most = y > most ? y : most;
    }
  if (most == 0) return (scale){0, 1};
  return (scale){floor(log10(least)), fmax(ceil(log10(most)), floor(log10(least)) + 1)};
}

// Microseconds, in the unit that suits them.
static void print_value(FILE *file, double x, double y, double us) {
  const char *unit = us < 1e3 ? "µs" : us < 1e6 ? "ms" : "s";
  double shown = us < 1e3 ? us : us < 1e6 ? us / 1e3 : us / 1e6;
  fprintf(file, "<text x='%.1f' y='%.1f' text-anchor='end'>%g %s</text>\n", x, y, shown, unit);
}

static void grid(FILE *file, const scale *s, const char *const *labels, int points) {
  for (int power = (int)s->low; power <= (int)s->high; power++) {
    double y = up(s, pow(10, power));
    fprintf(file, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#d5d9de'/>\n", LEFT, y, LEFT + WIDTH, y);
    print_value(file, LEFT - 8, y + 4, pow(10, power));
  }
  for (int i = 0; i < points; i++)
    fprintf(file, "<text x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n", across(i, points), TOP + HEIGHT + 20,
            labels[i]);
}

static void draw(FILE *file, const scale *s, const curve *c, int points, int index) {
  double y = TOP + HEIGHT + 48 + 20 * index;
  fprintf(file, "<polyline fill='none' stroke='%s' stroke-width='2' points='", c->colour);
  for (int i = 0; i < points; i++)
    if (c->y[i] > 0) fprintf(file, "%.1f,%.1f ", across(i, points), up(s, c->y[i]));
  fprintf(file, "'/>\n");
  for (int i = 0; i < points; i++) {
    if (c->y[i] <= 0) continue;
    fprintf(file, "<circle cx='%.1f' cy='%.1f' r='3.5' fill='%s'><title>%s: %.4g</title></circle>\n", across(i, points),
            up(s, c->y[i]), c->colour, c->name, c->y[i]);
  }
  fprintf(file, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='3'/>", LEFT, y - 4, LEFT + 24,
          y - 4, c->colour);
  fprintf(file, "<text x='%.1f' y='%.1f'>%s</text>\n", LEFT + 32, y, c->name);
}

int plot(const char *path, const char *title, const char *const *labels, int points, const curve *curves, int n) {
  scale s = scale_of(curves, n, points);
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  fprintf(file, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 760 %d' ", (int)(TOP + HEIGHT) + 60 + 20 * n);
  fprintf(file, "font-family='sans-serif' font-size='12'>\n");
  fprintf(file, "<rect width='100%%' height='100%%' fill='#ffffff'/>\n");
  fprintf(file, "<text x='%.1f' y='30' font-size='16'>%s</text>\n", LEFT, title);
  grid(file, &s, labels, points);
  for (int c = 0; c < n; c++) draw(file, &s, curves + c, points, c);
  fprintf(file, "</svg>\n");
  return fclose(file);
}
