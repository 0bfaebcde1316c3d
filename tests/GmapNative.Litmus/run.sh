#!/usr/bin/env bash
# Everything that gmap-litmus can tell: the tests against the shipped library, the same against the check flavour (freed
# tables poisoned, threads held up between the library's steps), then the twins. For ./build.sh litmus, which builds
# what is needed and sets LITMUS_BIN (the programs) and LITMUS_LIB (the libraries).
set -uo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
BIN=${LITMUS_BIN:?} LIB=${LITMUS_LIB:?}
TRIES=4
TWIN_JOSTLE=4 # in the header: a mistake that takes years to show takes milliseconds

usage() {
    cat <<'END'
usage: ./build.sh litmus [OPTIONS]
  --seconds N   for each test and each twin (1)
  --only NAME   this test and the twins it has to catch, or this twin; several separated by commas
  --threads N   writers, 1 to 8
  --seed N      of the random choices
  --json        one object for each test and twin
  --tsan        the tests built with ThreadSanitizer instead, and its twin
exit status: 0 passed, 1 a violation, 2 inconclusive or a twin not caught, 3 unsupported, 64 usage
END
}

seconds=1 only='' json='' tsan='' pass=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --seconds) seconds=${2:-} pass+=(--seconds "${2:-}"); shift ;;
        --only) only=${2:-}; [[ -n $only ]] || { usage >&2; exit 64; }; shift ;;
        --threads | --seed) pass+=("$1" "${2:-}"); shift ;;
        --json) json=1 pass+=(--json) ;;
        --tsan) tsan=1 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; printf 'error: not understood: %s\n' "$1" >&2; exit 64 ;;
    esac
    shift || { usage >&2; exit 64; }
done

# What the runtime under the library needs of the sanitizers. What is not instrumented is not looked at, on purpose.
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1 ignore_noninstrumented_modules=1}

say() { if [[ -z $json ]]; then printf '%s\n' "$*"; fi; }
chosen() { [[ -z $only || ,$only, == *,$1,* ]]; }

passed=0 violations=0 inconclusive=0 unsupported=0 caught=0 missed=0

# The tests of one program, line by line as they end. Counts how they ended.
run_tests() { # TITLE PROGRAM [OPTION...]
    local title=$1 program=$2 list='' line name status
    shift 2
    while read -r name; do
        if chosen "$name"; then list+=${list:+,}$name; fi
    done < <("$program" --list)
    if [[ -z $list ]]; then return; fi
    say "==> $title"
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
            *' passed' | *'"result": "passed"'*) passed=$((passed + 1)) ;;
            *' VIOLATION' | *'"result": "VIOLATION"'*) violations=$((violations + 1)) ;;
            *' inconclusive' | *'"result": "inconclusive"'*) inconclusive=$((inconclusive + 1)) ;;
            *' unsupported' | *'"result": "unsupported"'*) unsupported=$((unsupported + 1)) ;;
        esac
    done < <("$program" --only "$list" "${pass[@]}" "$@"; echo "status $?" >"$state")
    read -r _ status <"$state"
    if [[ $status -ge 64 || $status == 127 ]]; then exit "$status"; fi
}

twin_row() { # KIND NAME TEST RESULT MILLISECONDS
    if [[ -n $json ]]; then
        printf '{"twin": "%s", "kind": "%s", "test": "%s", "result": "%s", "milliseconds": %s}\n' \
            "$2" "$1" "$3" "$4" "${5:-null}"
    else
        printf '%-8s %-28s %-20s %s\n' "$1" "$2" "$3" "$4${5:+ after $5 ms}"
    fi
}

# A twin has to end in a violation. Some need a rare order of three threads: each has as many tries as TRIES says.
run_twin() { # KIND NAME TEST PROGRAM [OPTION...]
    local kind=$1 name=$2 test=$3 try status=0 output ms again=()
    shift 3
    for ((try = 1; try <= TRIES; try++)); do
        status=0
        output=$("$@" --only "$test" "${pass[@]}" "${again[@]}" --json 2>/dev/null) || status=$?
        if [[ $status != 0 && $status != 2 ]]; then break; fi
        again=(--seed "$((try * 7919))")
    done
    ms=$(sed -n 's/.*"result": "VIOLATION".*"milliseconds": \([0-9]*\).*/\1/p' <<<"$output")
    case $status in
        1) caught=$((caught + 1)); twin_row "$kind" "$name" "$test" caught "$ms" ;;
        3) unsupported=$((unsupported + 1)); twin_row "$kind" "$name" "$test" unsupported '' ;;
        *) missed=$((missed + 1)); twin_row "$kind" "$name" "$test" missed '' ;;
    esac
}

# Equality at the end cannot see a mark that comes late: the same twin passes it.
run_weak() { # NAME TEST
    local status=0
    "$BIN/gmap-litmus" --control "$1" --oracle end --only "$2" "${pass[@]}" >/dev/null 2>&1 || status=$?
    if [[ $status == 0 ]]; then say "         $1 passes the comparison at the end, as it must: only the oracle in real time sees it"
    else
        violations=$((violations + 1))
        say "         $1 --oracle end: status $status, 0 was expected"
    fi
}

# Steps of rules 20 and 27 show only where harvests freeze or swap, the others only where they take entry by entry.
freezes() { case $1 in *Freez* | *Froz* | *Swap* | ThawBeforeEdit) echo 1 ;; esac; }

run_twins() { # KIND...
    local kind name test jostle place
    while read -r kind name test jostle place; do
        if [[ " $* " != *" $kind "* ]] || ! { chosen "$name" || chosen "$test"; }; then continue; fi
        case $kind in
            header) run_twin "$kind" "$name" "$test" "$BIN/gmap-litmus-$name" --jostle "$TWIN_JOSTLE" ;;
            library) run_twin "$kind" "$name" "$test" env LD_LIBRARY_PATH="$LIB/check" GMAP_CHECK_LEAVE_OUT="$name" \
                GMAP_CHECK_JOSTLE="$jostle" GMAP_CHECK_JOSTLE_AT="${place:-}" \
                GMAP_CHECK_FREEZE="$(freezes "$name")" "$BIN/gmap-litmus" --jostle "$TWIN_JOSTLE" ;;
            generation) run_twin "$kind" "$name" "$test" env LD_LIBRARY_PATH="$LIB/check" GMAP_CHECK_LEAVE_OUT="$name" \
                GMAP_CHECK_JOSTLE="$jostle" GMAP_CHECK_FREEZE="$(freezes "$name")" \
                "$BIN/gmap-litmus" --jostle "$TWIN_JOSTLE" --tracking generation ;;
            harness)
                run_twin "$kind" "$name" "$test" "$BIN/gmap-litmus" --control "$name"
                if [[ $name == late-mark ]]; then run_weak "$name" "$test"; fi
                ;;
            tsan) run_twin "$kind" "$name" "$test" "$BIN/gmap-litmus-tsan-$name" ;;
        esac
    done < <(grep -v '^#' "$HERE/twins.txt")
}

state=$(mktemp)
trap 'rm -f "$state"' EXIT

if [[ -n $tsan ]]; then
    if [[ ! -x $BIN/gmap-litmus-tsan ]]; then
        printf 'unsupported: this compiler has no ThreadSanitizer (libtsan)\n' >&2
        exit 3
    fi
    run_tests 'tests, under ThreadSanitizer' "$BIN/gmap-litmus-tsan"
    say '==> its twin'
    run_twins tsan
else
    run_tests 'tests, shipped library' "$BIN/gmap-litmus"
    run_tests 'tests, shipped library, tracking by generation' "$BIN/gmap-litmus" --tracking generation
    export LD_LIBRARY_PATH=$LIB/check GMAP_CHECK_JOSTLE=64
    run_tests 'tests, check flavour: page tables with PGSTEs, jostled' "$BIN/gmap-litmus" --format pgste
    run_tests 'tests, check flavour: freed tables poisoned, jostled' "$BIN/gmap-litmus"
    GMAP_CHECK_FREEZE=1 run_tests 'the same, tracking by generation, dense bits swapped' "$BIN/gmap-litmus" --tracking generation
    GMAP_CHECK_FREEZE=1 run_tests 'tests, check flavour: every dirty segment is frozen, jostled' "$BIN/gmap-litmus"
    unset LD_LIBRARY_PATH GMAP_CHECK_JOSTLE
    say '==> twins: each has one mistake, which has to be caught'
    run_twins header library generation harness
fi

if [[ $((passed + violations + inconclusive + unsupported + caught + missed)) -eq 0 ]]; then
    printf 'error: no test and no twin is called %s\n' "$only" >&2
    exit 64
fi
rest=''
if [[ $violations -gt 0 ]]; then rest+=", $violations violations"; fi
if [[ $inconclusive -gt 0 ]]; then rest+=", $inconclusive inconclusive"; fi
if [[ $unsupported -gt 0 ]]; then rest+=", $unsupported unsupported"; fi
if [[ -n $json ]]; then
    printf '{"passed": %d, "caught": %d, "missed": %d, "violations": %d, "inconclusive": %d, "unsupported": %d}\n' \
        $passed $caught $missed $violations $inconclusive $unsupported
else
    printf '%d passed, %d twins caught, %d missed%s\n' $passed $caught $missed "$rest"
fi
if [[ $violations -gt 0 ]]; then exit 1; fi
if [[ $missed -gt 0 || $inconclusive -gt 0 ]]; then exit 2; fi
if [[ $unsupported -gt 0 ]]; then exit 3; fi
exit 0
