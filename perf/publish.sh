#!/usr/bin/env bash
# Puts the last run of ./build.sh perf (perf/results) into PERF.md: the table between its two marks, and the pictures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[[ -s results/latest.md ]] || { echo 'no perf/results/latest.md: run ./build.sh perf first' >&2; exit 1; }
awk '
  /^<!-- the table begins/ { print; while ((getline line < "results/latest.md") > 0) print line; hidden = 1; next }
  /^<!-- the table ends -->$/ { hidden = 0 }
  !hidden { print }
' PERF.md >results/PERF.md
mv results/PERF.md PERF.md
cp results/harvest-by-*.svg .
