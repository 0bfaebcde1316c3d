// A picture as SVG: panels side by side, curves over a few labelled places or over points of their own.
#ifndef PLOT_H
#define PLOT_H

#define MOST_POINTS 8
#define MOST_PANELS 3

enum quantity { MICROSECONDS, BYTES, NUMBER };

typedef struct picture {
  const char *title, *about, *axis;
  int panels, points;
  const char *names[MOST_PANELS], *labels[MOST_POINTS];
  double x[MOST_POINTS];               // where the labels stand, rising
  enum quantity quantity[MOST_PANELS]; // what y is; panels with different ones have scales of their own
  int linear;                          // y from 0 on evenly, not by powers of ten
  int alone;                           // every panel has a scale of its own
} picture;

// Points of a curve's own, x in the labels' terms, rising.
typedef struct trail {
  const double *x, *y;
  int n;
} trail;

typedef struct curve {
  const char *name;
  double y[MOST_PANELS][MOST_POINTS]; // at the labels; 0: not measured
  trail trails[MOST_PANELS];          // n > 0: instead of y
} curve;

// At most six curves. 0, or -1 and errno.
int plot(const char *path, const picture *p, const curve *curves, int n);

#endif
