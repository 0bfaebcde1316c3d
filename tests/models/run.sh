#!/usr/bin/env bash
# Verifies the Promela models of this folder; `./build.sh model` calls it, which sees to spin and the compiler.
#
#   run.sh [PATTERN...]          every model whose NAME or NAME/VARIANT holds one of the patterns
#   run.sh --list [PATTERN...]   what there is
#   run.sh --trail NAME TWIN     a shortest schedule by which a twin fails, step by step
#
# A model is NAME.pml. Its variants stand in its head, one comment that begins a line each, and are macros of their names:
#   /* MODEL rules 1, 2: text */            without a macro: must hold
#   /* GOOD name: text */                   must hold too
#   /* TWIN name (kind): text */            must fail, and by that kind: a promise of common.inc
# To hold is: no error, no invalid end state, the search complete, and no statement of a process unreached except those whose
# line says `unreached: why`.
set -euo pipefail

MODELS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
OUT=${GMAP_ARTIFACTS:-$MODELS/../../artifacts}/models
CC=${CC:-gcc}

# Every variant as "NAME VARIANT KIND": KIND is `holds`, or how a twin fails.
variants() {
    local model name
    for model in "$MODELS"/*.pml; do
        name=$(basename "$model" .pml)
        sed -n -e "s|^/\* MODEL rules* [^:]*: .*|$name model holds|p" \
            -e "s|^/\* GOOD \([a-z_0-9]*\): .*|$name \1 holds|p" \
            -e "s|^/\* TWIN \([a-z_0-9]*\) (\([a-z]*\)): .*|$name \1 \2|p" "$model"
    done
}

# chosen PATTERN...: those of them that a pattern names.
chosen() {
    local name variant kind pattern
    while read -r name variant kind; do
        [[ $# -gt 0 ]] || echo "$name $variant $kind"
        for pattern in "$@"; do
            if [[ $name/$variant == *"$pattern"* ]]; then echo "$name $variant $kind" && break; fi
        done
    done < <(variants)
}

# compile NAME VARIANT KIND: leaves pan and what it was made of in its own folder, and says which.
compile() {
    local folder=$OUT/$1/$2 search=(-O1)
    if [[ $3 != holds ]]; then search=(-O0 -DBFS); fi # a shortest trail
    rm -rf "$folder"
    mkdir -p "$folder"
    cd "$folder"
    ln -s "$MODELS"/*.pml "$MODELS"/*.inc .
    spin -o3 "-D$2" -a "$1.pml" >spin.log 2>&1 || return 1 # -o3: no statement is merged into another
    "$CC" -w -DSAFETY -DMEMLIM=3000 "${search[@]}" -o pan pan.c >>spin.log 2>&1
}

# What is wrong with a run that should hold, one a line; nothing if nothing is.
objections() { # NAME
    grep -e '^pan:1:' -e 'max search depth too small' -e 'Search not completed' -e '^pan: ' pan.log |
        grep -v -e 'elapsed time' -e 'pan: rate' -e 'resizing hashtable' || true
    grep -q 'errors: 0$' pan.log || echo 'errors'
    local line
    grep -E '^\s+\S+:[0-9]+, state ' pan.log | sort -u | while read -r line; do
        local file=${line%%:*} number=${line#*:}
        sed -n "${number%%,*}p" "$file" | grep -q 'unreached:' || echo "unreached: $line"
    done || true
}

# How a run failed: the name in the violated assertion, or stuck.
failure() {
    local first
    first=$(grep -m 1 '^pan:1:' pan.log || true)
    case $first in
        *'invalid end state'*) echo stuck ;;
        *'assertion violated'*) sed 's/.*assertion violated *(*\([a-z]*\)||.*/\1/' <<<"$first" ;;
        *) echo nothing ;;
    esac
}

# one NAME VARIANT KIND: verifies one variant; one line about it.
one() {
    local name=$1 variant=$2 kind=$3 begin=${EPOCHREALTIME/./} states seconds verdict=bad wrong=''
    if ! compile "$1" "$2" "$3"; then
        wrong="does not compile: $(cat "$OUT/$1/$2/spin.log")"
    else
        ./pan -m1000000 -w20 >pan.log 2>&1 || true
        if [[ $kind == holds ]]; then
            wrong=$(objections "$name")
            if [[ -z $wrong ]]; then verdict=holds; fi
        else
            wrong=$(failure)
            if [[ $wrong == "$kind" ]]; then verdict=caught; else wrong="must fail as $kind, but: $wrong"; fi
        fi
    fi
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log 2>/dev/null | head -n 1 || true)
    seconds=$(((${EPOCHREALTIME/./} - begin) / 100000))
    printf '%-7s %-34s %10s states %5s s' "$verdict" "$name/$variant" "${states:-0}" "$((seconds / 10)).$((seconds % 10))"
    case $verdict in
        caught) printf '  %s\n' "$kind" ;;
        holds) printf '\n' ;;
        *) printf '\n%s\n' "$(sed 's/^/          /' <<<"$wrong")" ;;
    esac
}

# Everything that a step changed stands behind it.
trail() { # NAME TWIN
    local kind
    kind=$(variants | sed -n "s/^$1 $2 //p")
    [[ -n $kind ]] || { echo "no such model and twin: $1 $2" >&2 && return 2; }
    [[ $kind != holds ]] || { echo "$1 $2 holds: there is no trail" >&2 && return 2; }
    compile "$1" "$2" "$kind"
    ./pan -m1000000 -w20 >pan.log 2>&1 || true
    sed -n "s|^/\* \(TWIN $2 .*\) \*/|\1|p" "$1.pml"
    spin "-D$2" -t -p -g -l "$1.pml" | grep -v -e '\[\.(goto)\]' -e '\[else\]' -e '\[break\]' -e '\[(1)\]' || true
    grep '^pan:1:' pan.log
}

all() { # sets results, which the trap reads
    local list begin=$SECONDS holds caught bad
    list=$(chosen "$@")
    [[ -n $list ]] || { echo "no model matches: $*" >&2 && return 2; }
    mkdir -p "$OUT"
    results=$(mktemp "$OUT/results.XXXXXX")
    trap 'rm -f "$results"' EXIT
    xargs -P "$(nproc)" -L 1 "$MODELS/run.sh" --one <<<"$list" | tee "$results"
    holds=$(grep -c '^holds ' "$results" || true)
    caught=$(grep -c '^caught ' "$results" || true)
    bad=$(($(wc -l <<<"$list") - holds - caught))
    printf '%d models hold, %d twins caught, %d wrong; %d s\n' "$holds" "$caught" "$bad" "$((SECONDS - begin))"
    [[ $bad -eq 0 ]]
}

case ${1:-} in
    --one) shift; one "$@" ;;
    --list) shift; chosen "$@" | awk '{ print $3 == "holds" ? "holds" : "fails", $1 "/" $2, $3 == "holds" ? "" : $3 }' ;;
    --trail)
        [[ $# -eq 3 ]] || { echo 'usage: ./build.sh model --trail NAME TWIN' >&2 && exit 2; }
        trail "$2" "$3"
        ;;
    -*) echo "no such option: $1 (there are --list and --trail)" >&2 && exit 2 ;;
    *) all "$@" ;;
esac
