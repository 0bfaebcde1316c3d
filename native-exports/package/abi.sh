#!/usr/bin/env bash
# The C ABI as libabigail knows it: every function of gmap.h with its types, and the layouts that gmap_inline.h walks.
#
#   abi.sh write HEADERS FILE              as XML; the last release's is abi/gmapnative-MAJOR.MINOR.abi
#   abi.sh compare BASELINE HEADERS        status 0: the same; 4: changed, and hosts that were built before go on; 12: they do not
#
# NativeAOT's debug information knows no C types, so a library is made of the headers alone: each function with its prototype, and
# nothing in it. That the real one exports just these functions is what `check_exports` and HeaderTests see to.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stub() { # HEADERS
    {
        echo '#include "gmap_inline.h"'
        # A statement from GMAP_API to its semicolon; the body ends a function of any result.
        awk '/^GMAP_API /{ open = 1 } open { print } open && /;[ \t]*$/ { open = 0 }' "$1/gmap.h" |
            sed 's/;[ \t]*$/ { for (;;) continue; }/'
    } >"$work/abi.c"
    "${CC:-gcc}" -std=c11 -w -shared -fPIC -g -O0 "-I$1" -Wl,-soname,libgmapnative.so.1 "$work/abi.c" -o "$work/libgmapnative.so.1"
}

write() { # HEADERS FILE
    stub "$1"
    (cd "$work" && abidw --no-corpus-path --no-comp-dir-path --no-show-locs libgmapnative.so.1) >"$2"
}

case ${1:-} in
    write) write "$2" "$3" ;;
    compare)
        write "$3" "$work/now.abi"
        abidiff --no-show-locs "$2" "$work/now.abi"
        ;;
    *)
        sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
