#!/usr/bin/env bash
# GmapNative: set up, build, test, show. `./build.sh help` lists the verbs; each does first what it needs.
#
# A C host is a folder of native-exports/hosts/ with a Makefile. build.sh calls `make -C <folder>` with
#   INC      native-exports/include: gmap.h, gmap_inline.h
#   LIB      artifacts/lib: libgmapnative.so.1, and the link libgmapnative.so that -lgmapnative finds; a program that runs with it
#            takes the one in glibc-hwcaps/x86-64-v3/ where the processor can
#   OUT      artifacts/bin: where the program goes, as $(OUT)/gmap-<folder>
#   OBJ      artifacts/obj/hosts/<folder>: where object files go
#   CC CXX CFLAGS CXXFLAGS LDFLAGS   in the environment; what is not set there is set below. LDFLAGS holds -L$(LIB) and a
#            run path, so that the program finds the library without LD_LIBRARY_PATH.
# The one in Rust, vm-memory, is made the same way, and left out with a line where cargo or the crate is missing; so is snapfuzz where
# libexpat1-dev is, and the plugin for QEMU, qemu-plugin, where QEMU's plugin header is: `./build.sh qemu` gets it.
# tests/GmapNative.Litmus is made the same way by `test` and `litmus`, and tests/judge by `judge`, with OUT = artifacts/bin/tests.
#
# The tests get GMAP_ROOT (this folder) and GMAP_ARTIFACTS (artifacts/), and the same variables of the C compiler.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"

ARTIFACTS=$ROOT/artifacts
INC=$ROOT/native-exports/include
LIB=$ARTIFACTS/lib
OUT=$ARTIFACTS/bin
SONAME=libgmapnative.so.1
V3=glibc-hwcaps/x86-64-v3
CRATES=/usr/share/cargo/registry # Debian's librust-*-dev
CONFIGURATION=Release
TESTS=$ARTIFACTS/dotnet/bin/GmapNative.Tests/release/GmapNative.Tests

export CC=${CC:-gcc} CXX=${CXX:-g++}
WARNINGS='-Wall -Wextra -Wpedantic -Werror'
export CFLAGS=${CFLAGS:-"-std=c11 -O2 -g $WARNINGS"}
export CXXFLAGS=${CXXFLAGS:-"-std=c++17 -O2 -g $WARNINGS"}
export LDFLAGS=${LDFLAGS:-"-L$LIB -Wl,-rpath,'\$\$ORIGIN/../lib' -Wl,-rpath,'\$\$ORIGIN/../../lib'"}
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE=1
# A compiler node that lives on would hold the pipe of `./build.sh test | tee log` open.
export MSBUILDDISABLENODEREUSE=1

# ---- saying things -----------------------------------------------------------------------------------------------------

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    BOLD=$'\e[1m' RED=$'\e[31m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
    BOLD='' RED='' YELLOW='' PLAIN=''
fi

say()  { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
warn() { printf '%swarning: %s%s\n' "$YELLOW" "$*" "$PLAIN" >&2; }
fail() { printf '%serror: %s%s\n' "$RED" "$*" "$PLAIN" >&2; exit 1; }

usage() {
    cat <<'EOF'
usage: ./build.sh VERB [OPTIONS]

  setup     check the .NET SDK, install the Debian packages that are missing, restore the NuGet packages
  build     artifacts/lib/libgmapnative.so (NativeAOT), the same for x86-64-v3 in glibc-hwcaps/ beside it, which the loader takes where
            it can, their exports checked, and the hosts in artifacts/bin
  v4        also artifacts/lib/x86-64-v4/libgmapnative.so.1 (AVX-512), where no loader looks
  trace     also artifacts/lib/libgmapnative-trace.so: the same ABI with events for dotnet-trace and readable stack traces
  test      every test; OPTIONS go to the test runner: --filter 'FullyQualifiedName~Dirty'
  model     verify the Promela models of tests/models with spin; OPTIONS: parts of names (all), --list, --trail NAME TWIN
  fuzz      random programs over every export against the reference model; OPTIONS: --seconds 600 --operations N --seed N
            --corpus DIR --replay FILE --minimize FILE --threads (two threads, no model) --check (the library with probes)
            --tables (a guest's tables for its own guest, walked by the engine and by the book)
  judge     tables of spaces of all kinds, exported and walked by QEMU and by Hercules, which must find what the engine says, and must
            find every flipped bit; minutes. Installs both. OPTIONS: --quick; tests/judge/README.md
  qemu      the library as a plugin in QEMU: Debian's Linux for s390x and x86_64 boots, works and shuts down, told of store by store; what changed
            in the guest's memory file between two stops must have been reported; the slowdown. Minutes, and 130 MB of packages,
            unpacked into artifacts/qemu, not installed. OPTIONS: prepare, tiny, s390x, x86_64, control, slowdown (all of them),
            --json --live --feed mark --help; native-exports/hosts/qemu-plugin/README.md
  package   a tarball and a Debian package in artifacts/packages: both libraries and the tracing one, headers, pkg-config and CMake
            files, examples, the Python tool; --reproduce: everything is built twice, and must come out the same byte for byte
  abi       is the C ABI the last release's (libabigail)? --accept: it is meant, and becomes what is compared with
  arm64     [SECONDS (0.5)] the library for linux-arm64, hosts of the tests and the litmus tests with it under QEMU's user mode: a hint, not
            a proof. Installs the compiler and QEMU
  windows   [SECONDS (0.5)] gmapnative.dll linked here, its C and C++ hosts, the litmus tests, managed tests and the zip, by build.ps1 and
            under Wine: a hint, too. Installs LLVM's linker, MinGW and Wine; tests/windows/README.md
  demo      live-migrate a running guest; OPTIONS go to gmap-migrate: --memory 512M --json
  litmus    real threads against the library: every page on time, none invented; OPTIONS: --seconds N --only NAME --threads N
            --seed N --json --tsan; tests/GmapNative.Litmus/README.md
  perf      the engine's paths beside the peers', in one table; OPTIONS: --quick (under 90 s) --gib N (64) --only SECTION
            (startup, accesses, kvm, scan, faults, marks, building, memory, generation, snapshot, consumers, beside, held, arming, harvests,
            scaling); perf/results: latest.json and pictures; perf/README.md. --baseline first: of the library for any
            processor, not of the one that the loader takes here
  study     live migrations of all kinds of guests, by policy, table format and link, in one table: the questions of perf/STUDY.md;
            about 15 minutes. perf/results: study.json, study.md, study-*.svg. OPTIONS: --quick (under 60 s) --only SECTION
            (migrations, rates, border, locality, memory, arming, formats, notifiers) --all (every policy and format over every link)
            --repeats N (3) --mib N; --update first: the tables and pictures of the run go into perf/STUDY.md
  bench     BenchmarkDotNet over the managed parts, JIT and NativeAOT; OPTIONS: --quick (JIT, less) --jit --aot, and its own:
            --filter '*Scan*'; artifacts/bench/results. Minutes, most of them compiling
  compare   what became faster or slower, by ratios: compare [--threshold PERCENT] BASELINE.json... NEW.json; status 1 if
            something is slower beyond the noise
  reclaim   [COUNT (100000000) [pgste]] splits, unmaps and remaps while two vcpus write: the arena ends as it began, or it fails
  format    lay out the C# sources; --check only tells whether they are
  clean     remove everything that a build made
  help      this text

Each verb does first what it needs: test and demo build, build sets up.
EOF
}

# ---- what is out of date -----------------------------------------------------------------------------------------------

# stale NAME PATH...: has anything under the paths changed since `fresh NAME` was last said?
stale() {
    local stamp=$ARTIFACTS/stamps/$1
    shift
    mkdir -p "$ARTIFACTS/stamps"
    touch "$stamp.begun" # what changes while the step runs is newer than this, and so is done again
    [[ ! -e $stamp || -n $(find "$@" -newer "$stamp" -print -quit) ]]
}

fresh() { mv -f "$ARTIFACTS/stamps/$1.begun" "$ARTIFACTS/stamps/$1"; }

# ---- setup -------------------------------------------------------------------------------------------------------------

has_header() { printf '#include <%s>\n' "$1" | "$CC" -E -x c - >/dev/null 2>&1; }

# The Debian packages of which something is missing, one a line.
missing_packages() {
    command -v "$CC" >/dev/null || echo "$CC"
    command -v "$CXX" >/dev/null || echo "$CXX"
    command -v make >/dev/null || echo make
    { command -v nm && command -v objcopy && command -v readelf; } >/dev/null || echo binutils
    has_header stdio.h || echo libc6-dev
    has_header sqlite3.h || echo libsqlite3-dev
}

# What native-exports/hosts/vm-memory and its row of `perf` are compiled with.
rust_packages() {
    command -v cargo >/dev/null || echo cargo
    compgen -G "$CRATES/vm-memory-0.10*" >/dev/null || echo librust-vm-memory-dev
}

# Those without which only a part is left out: native-exports/hosts/vm-memory, and snapfuzz, which fuzzes libexpat.
optional_packages() {
    rust_packages
    has_header expat.h || echo libexpat1-dev
    command -v abidiff >/dev/null || echo abigail-tools # and without this one the comparison of the ABI is
}

install_packages() {
    local as_root=()
    command -v apt-get >/dev/null || { warn 'no apt-get here, so nothing can be installed'; return 1; }
    if [[ $(id -u) != 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            warn "not root, and no sudo without a password; run: sudo apt-get install $*"
            return 1
        fi
        as_root=(sudo -n)
    fi
    say "installing Debian packages: $*"
    if ! "${as_root[@]}" apt-get update -qq; then warn 'apt-get update failed; going on with the package lists that are here'; fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

check_sdk() {
    command -v dotnet >/dev/null ||
        fail 'the .NET SDK 10 is missing (https://dotnet.microsoft.com/download/dotnet/10.0); put dotnet on the PATH'
    local version
    version=$(dotnet --version 2>/dev/null) ||
        fail "global.json asks for the .NET SDK 10; here is: $(cd / && dotnet --list-sdks | tr '\n' ' ')"
    [[ ${version%%.*} -ge 10 ]] || fail "the .NET SDK 10 is needed; here is $version"
}

setup() {
    local missing=() projects=()
    check_sdk
    mapfile -t missing < <(missing_packages)
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_packages "${missing[@]}" || warn 'the packages could not be installed'
        mapfile -t missing < <(missing_packages)
        [[ ${#missing[@]} -eq 0 ]] || fail "still missing, and needed: ${missing[*]}"
    fi
    mapfile -t missing < <(optional_packages)
    # Once for the same ones: `clean` makes it try again.
    if [[ ${#missing[@]} -gt 0 && ${missing[*]} != "$(cat "$ARTIFACTS/stamps/optional" 2>/dev/null)" ]]; then
        install_packages "${missing[@]}" || warn "without ${missing[*]} what needs it is left out"
        mkdir -p "$ARTIFACTS/stamps"
        printf '%s\n' "${missing[*]}" >"$ARTIFACTS/stamps/optional"
    fi
    mapfile -t projects < <(find src native-exports tests perf -name '*.csproj')
    if stale restore Directory.Build.props Directory.Packages.props global.json GmapNative.sln "${projects[@]}"; then
        say 'restoring NuGet packages: ILCompiler (NativeAOT) and'
        sed -n 's/.*PackageVersion Include="\([^"]*\)" Version="\([^"]*\)".*/      \1 \2/p' Directory.Packages.props
        dotnet restore GmapNative.sln -v quiet
        dotnet tool restore -v quiet >/dev/null || warn 'PowerShell (.config/dotnet-tools.json) is not there: build.ps1 is not tried'
        fresh restore
    fi
}

# What the managed builds read: the settings, the engine, the exports without the C parts.
managed_inputs() {
    printf '%s\n' Directory.Build.props Directory.Packages.props global.json .editorconfig src native-exports/*.csproj \
        native-exports/*.xml
    find native-exports -mindepth 1 -maxdepth 1 -type d ! -name hosts ! -name include
}

# ---- build -------------------------------------------------------------------------------------------------------------

# publish NAME FOLDER [OPTION...]: artifacts/lib/FOLDER/NAME.so.1, NAME.so and NAME.so.dbg. The real file bears the soname; the linker's
# -lNAME finds it by the plain name. The debug symbols keep the plain name, because the library's .gnu_debuglink says so.
publish() {
    local name=$1 folder=$2 step=$1${2:+-${2##*/}} published into=$LIB/$2 inputs=()
    shift 2
    mapfile -t inputs < <(managed_inputs)
    stale "$step" "${inputs[@]}" || [[ ! -e $into/$name.so.1 || $# -gt 2 ]] || return 0
    say "building ${folder:+$folder/}$name.so"
    dotnet publish native-exports/GmapNative.Exports.csproj -c "$CONFIGURATION" -v quiet --no-restore "$@"
    published=$ARTIFACTS/dotnet/publish/GmapNative.Exports/release_linux-x64${folder:+_${folder##*/}}
    case $name in *-trace) published+=_trace ;; *-check) published+=_check ;; esac
    mkdir -p "$into"
    install -m 755 "$published/$name.so" "$into/$name.so.1.new"
    mv -f "$into/$name.so.1.new" "$into/$name.so.1" # a program that runs keeps the library it started with
    ln -sf "$name.so.1" "$into/$name.so"
    install -m 644 "$published/$name.so.dbg" "$into/$name.so.dbg"
    link_build_id "$name" "${folder:+$folder/}"
    fresh "$step"
}

# perf finds the debug symbols by the library's .gnu_debuglink; gdb and others also by build id, with artifacts/lib as a debug folder.
link_build_id() { # NAME FOLDER/
    local id link file=../../$2$1.so.dbg
    id=$(readelf -n "$LIB/$2$1.so.1" | sed -n 's/.*Build ID: \([0-9a-f]*\)$/\1/p')
    [[ -n $id ]] || fail "$LIB/$2$1.so.1 has no build id: the linker was not asked for one"
    for link in "$LIB"/.build-id/*/*.debug; do # of an older build
        if [[ -L $link && $(readlink "$link") == "$file" ]]; then rm "$link"; fi
    done
    mkdir -p "$LIB/.build-id/${id:0:2}"
    ln -sf "$file" "$LIB/.build-id/${id:0:2}/${id:2}.debug"
}

# What is shipped: the baseline build, and one for processors with AVX2 and BMI where glibc's loader looks first on such a machine.
publish_library() {
    publish libgmapnative '' -p:Flavour=shipped -p:Isa= "$@"
    publish libgmapnative "$V3" -p:Flavour=shipped -p:Isa=x86-64-v3 "$@"
    check_exports "$LIB/$SONAME"
    check_exports "$LIB/$V3/$SONAME"
}

# Only to see that it compiles: no machine of ours has run its tests.
publish_v4() {
    publish libgmapnative x86-64-v4 -p:Flavour=shipped -p:Isa=x86-64-v4
    check_exports "$LIB/x86-64-v4/$SONAME"
}

# The diagnostic flavour. Under the shipped library's soname too, in a folder of its own: with that in LD_LIBRARY_PATH a host that
# was linked with the shipped library runs with this one.
publish_trace() {
    publish libgmapnative-trace '' -p:Flavour=trace -p:Isa= "$@"
    mkdir -p "$LIB/trace"
    ln -sf ../libgmapnative-trace.so.1 "$LIB/trace/$SONAME"
    check_exports "$LIB/libgmapnative-trace.so.1"
}

# The check flavour, for the litmus tests; in a folder of its own under the shipped soname, as above.
publish_check() {
    publish libgmapnative-check '' -p:Flavour=check -p:Isa= "$@"
    mkdir -p "$LIB/check"
    ln -sf ../libgmapnative-check.so.1 "$LIB/check/$SONAME"
    check_exports "$LIB/libgmapnative-check.so.1"
}

check_exports() { # LIBRARY
    local list=native-exports/exports.txt difference
    [[ -f $list ]] || fail "$list is missing: it lists the functions that the library exports, one a line"
    difference=$(diff <(grep -v -e '^#' -e '^$' "$list" | sort) \
        <(nm -D --defined-only "$1" | awk '{ print $NF }' | sort)) || {
        printf '%s\n' "$difference" | sed -n 's/^< /  listed but not exported:  /p; s/^> /  exported but not listed:  /p' >&2
        fail "the exports of $1 are not those of $list. Meant? Change the list, the header and CHANGELOG.md with it." \
            'Not meant? Look at the EntryPoint of the [UnmanagedCallersOnly] method.'
    }
}

make_in() { # FOLDER OUT OBJ
    local run=(make --no-print-directory -s -j"$(nproc)" -C "$1" INC="$INC" LIB="$LIB" OUT="$2" OBJ="$3")
    mkdir -p "$2" "$3"
    if "${run[@]}" -q 2>/dev/null; then return 0; fi
    say "building $1"
    "${run[@]}"
}

build() {
    setup
    publish_library "$@"
    local host
    for host in native-exports/hosts/*/Makefile; do
        [[ -f $host ]] || continue
        host=$(dirname "$host")
        make_in "$host" "$OUT" "$ARTIFACTS/obj/hosts/$(basename "$host")"
    done
}

# ---- test --------------------------------------------------------------------------------------------------------------

make_litmus() { make_in tests/GmapNative.Litmus "$OUT/tests" "$ARTIFACTS/obj/litmus"; }

build_tests() {
    make_litmus
    make_study
    local inputs=()
    mapfile -t inputs < <(managed_inputs)
    inputs+=(tests/GmapNative.Tests tests/GmapNative.Fuzz tests/trace-player perf/trace-report perf/compare)
    stale tests "${inputs[@]}" || [[ ! -e $TESTS ]] || return 0
    say 'building the tests'
    dotnet msbuild tests/GmapNative.Tests -p:Configuration="$CONFIGURATION" -v:quiet -nologo # `dotnet build` says too much
    fresh tests
}

# attribute NAME: one number of the runner's own report (NUnit's result file), from its first element.
attribute() { sed -n "s/.*<test-run [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$ARTIFACTS/tests/GmapNative.Tests.xml" | head -n 1; }

# failed_tests REPORT: the full names of the tests that failed, and below each the first lines of what it said.
failed_tests() {
    awk '
        /<test-case / { said = 0; known = 0 }
        /<test-case .* result="Failed"/ {
            name = $0
            sub(/.* fullname="/, "", name); sub(/".*/, "", name)
            gsub(/&quot;/, "\"", name); gsub(/&lt;/, "<", name); gsub(/&gt;/, ">", name); gsub(/&amp;/, "\\&", name)
            print name
            known = 1
        }
        known && sub(/.*<message><!\[CDATA\[/, "") { said = 6 }
        said { end = sub(/\]\]>.*/, ""); print "  | " $0; said = end ? 0 : said - 1; known = 0 }' "$1"
}

run_tests() {
    local report=$ARTIFACTS/tests/GmapNative.Tests.xml settings=$ARTIFACTS/tests/runsettings.xml
    local status=0 total=0 passed=0 failed=0 skipped=0
    rm -rf "$ARTIFACTS/tests"
    mkdir -p "$ARTIFACTS/tests"
    printf '<RunSettings><NUnit><TestOutputXml>%s</TestOutputXml></NUnit></RunSettings>\n' "$ARTIFACTS/tests" >"$settings"
    say 'running the tests'
    GMAP_ROOT=$ROOT GMAP_ARTIFACTS=$ARTIFACTS "$TESTS" --settings "$settings" --show-stdout Failed \
        --results-directory "$ARTIFACTS/tests" "$@" || status=$?

    if [[ -s $report ]]; then
        total=$(attribute total) passed=$(attribute passed) failed=$(attribute failed)
        passed=$((passed + $(attribute warnings)))
        skipped=$((total - passed - failed))
    fi
    if [[ $total -eq 0 && $status -eq 0 ]]; then status=8; fi
    if [[ $status -ne 0 && $failed -eq 0 ]]; then
        warn "the runner ended with status $status and no failed test ($total tests reported): counted as one failure"
        failed=1
    fi
    # Once more, for those who see only the end of a log.
    if [[ -s $report ]]; then failed_tests "$report" | sed '/^  |/!s/^/failed: /'; fi
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [[ $failed -eq 0 ]]
}

# ---- fuzz --------------------------------------------------------------------------------------------------------------

run_fuzz() {
    local fuzz=$ARTIFACTS/dotnet/bin/GmapNative.Fuzz/release/GmapNative.Fuzz library=$LIB/$SONAME option
    local options=() corpus=(--corpus tests/GmapNative.Fuzz/corpus)
    for option in "$@"; do
        case $option in
            --check)
                publish_check
                library=$LIB/check/$SONAME
                ;;
            *)
                if [[ $option == --corpus || $option == --tables ]]; then corpus=(); fi
                options+=("$option")
                ;;
        esac
    done
    dotnet msbuild tests/GmapNative.Fuzz -p:Configuration="$CONFIGURATION" -v:quiet -nologo
    "$fuzz" --library "$library" --out "$ARTIFACTS/fuzz" "${corpus[@]}" "${options[@]}"
}

# ---- verbs -------------------------------------------------------------------------------------------------------------

run_demo() {
    local migrate=$OUT/gmap-migrate
    [[ -x $migrate ]] || fail "$migrate was not built: native-exports/hosts/migrate is missing"
    exec "$migrate" demo "$@"
}

run_litmus() { LITMUS_BIN=$OUT/tests LITMUS_LIB=$LIB tests/GmapNative.Litmus/run.sh "$@"; }

# rust-vmm's vm-memory beside the engine, where Debian's librust-vm-memory-dev and cargo are there. Prints the library's path.
build_vm_memory() {
    local target=$ARTIFACTS/obj/vm-memory
    [[ -z $(rust_packages) ]] || return 0
    mkdir -p "$target"
    cp -ru perf/peers/vm-memory/. "$target" # cargo writes a lock file beside Cargo.toml
    if (cd "$target" && cargo build --release --offline --quiet --target-dir "$target/target" \
        --config 'source.crates-io.replace-with="debian"' --config "source.debian.directory=\"$CRATES\"") >&2; then
        printf '%s\n' "$target/target/release/libvm_memory_peer.so"
    else
        warn 'vm-memory did not build: its rows are left out'
    fi
}

# The engine's scan in a loop, for the row of one page table. INSTRUCTIONS: empty for the build that every processor runs.
build_scan_loop() { # INSTRUCTIONS
    local name=scan-loop${1:+-$1} inputs=()
    mapfile -t inputs < <(managed_inputs)
    stale "$name" "${inputs[@]}" perf/scan-loop || return 0
    say "building $name"
    dotnet publish perf/scan-loop/scan-loop.csproj -c "$CONFIGURATION" -v quiet --no-restore ${1:+"-p:Instructions=$1"}
    fresh "$name"
}

run_perf() {
    local results=$ARTIFACTS/perf vm_memory loops=$ARTIFACTS/dotnet/publish/scan-loop/release_linux-x64
    mkdir -p "$OUT" "$results" perf/results
    build_scan_loop ''
    build_scan_loop x86-64-v3
    # shellcheck disable=SC2086 # flags are words
    $CC ${CFLAGS/-O2/-O3} -D_GNU_SOURCE -march=native -pthread "-I$INC" -Iperf/shared perf/shared/*.c perf/costs/*.c \
        perf/peers/*.c -o "$OUT/gmap-costs" "-L$LIB" -lgmapnative -lm -ldl "-Wl,-rpath,$LIB"
    vm_memory=$(build_vm_memory)
    if [[ ${1:-} == --baseline ]]; then # the build for any processor, which the loader would pass over
        shift
        mkdir -p "$LIB/baseline"
        ln -sf "../$SONAME" "$LIB/baseline/$SONAME"
        export LD_LIBRARY_PATH=$LIB/baseline
    fi
    rm -f "$results"/*.json "$results"/*.svg "$results"/*.md
    GMAP_PERF_VM_MEMORY=$vm_memory GMAP_PERF_SCAN=$loops/gmap-scan-loop.so \
        GMAP_PERF_SCAN_V3=${loops}_x86-64-v3/gmap-scan-loop.so "$OUT/gmap-costs" --out "$results" "$@"
    if [[ -f $results/latest.json ]]; then cp "$results"/*.json "$results"/*.svg "$results"/*.md perf/results/; fi
}

make_study() { make_in perf/study "$OUT" "$ARTIFACTS/obj/study"; }

# Each table of STUDY.md stands between two marks; those that the run has are put in their places.
update_study() { # RESULTS
    awk '
        NR == FNR { if (/^<!-- table /) name = $3
                    if (name) new[name] = new[name] $0 "\n"
                    if (/^<!-- end/) name = ""
                    next }
        /^<!-- table / && $3 in new { printf "%s", new[$3]; skip = 1 }
        !skip
        /^<!-- end/ { skip = 0 }' "$1/study.md" perf/STUDY.md >"$1/STUDY.md"
    cp "$1/STUDY.md" perf/STUDY.md
    cp "$1"/study-*.svg perf/
}

run_study() {
    local results=$ARTIFACTS/study update=''
    if [[ ${1:-} == --update ]]; then
        update=yes
        shift
    fi
    make_study
    rm -rf "$results"
    mkdir -p "$results" perf/results
    "$OUT/gmap-study" --out "$results" "$@"
    cp "$results"/* perf/results/
    if [[ $update ]]; then update_study "$results"; fi
}

build_project() { dotnet msbuild "$1" -p:Configuration="$CONFIGURATION" -v:quiet -nologo; }

# The JIT's tiers come at once: a measurement must not begin in the lowest.
run_bench() {
    build_project perf/GmapNative.Benchmarks
    local options=("$@")
    if ! printf '%s\n' "$@" | grep -q -x -e '--filter' -e '-f' -e '--list'; then options+=(--filter '*'); fi
    mkdir -p "$ARTIFACTS/bench"
    DOTNET_TC_CallCountingDelayMs=0 timeout --foreground 4000 \
        "$ARTIFACTS/dotnet/bin/GmapNative.Benchmarks/release/GmapNative.Benchmarks" \
        --artifacts "$ARTIFACTS/bench" "${options[@]}"
}

run_compare() {
    build_project perf/compare
    "$ARTIFACTS/dotnet/bin/perf-compare/release/perf-compare" "$@"
}

run_reclaim() {
    mkdir -p "$OUT"
    # shellcheck disable=SC2086 # flags are words
    $CC $CFLAGS -D_GNU_SOURCE -pthread "-I$INC" perf/reclaim/reclaim.c -o "$OUT/gmap-reclaim" "-L$LIB" -lgmapnative \
        "-Wl,-rpath,$LIB"
    "$OUT/gmap-reclaim" "$@"
}

# The models need spin and a C compiler, and nothing of a build.
run_models() {
    if ! { command -v spin && command -v "$CC"; } >/dev/null; then
        install_packages spin gcc libc6-dev || fail 'spin is missing: install the Debian package spin'
    fi
    GMAP_ARTIFACTS=$ARTIFACTS tests/models/run.sh "$@"
}

# What judges, and the compiler of its guest program: Debian packages, one a line, of which something is missing.
judge_packages() {
    command -v python3 >/dev/null || echo python3
    command -v qemu-system-s390x >/dev/null || echo qemu-system-misc
    command -v hercules >/dev/null || echo hercules
    command -v s390x-linux-gnu-gcc >/dev/null || echo gcc-s390x-linux-gnu
}

run_judge() {
    local missing=()
    mapfile -t missing < <(judge_packages)
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_packages "${missing[@]}" || warn 'the packages could not be installed'
        mapfile -t missing < <(judge_packages)
        [[ ${#missing[@]} -eq 0 ]] || fail "still missing, and needed: ${missing[*]}"
    fi
    make_in tests/judge "$OUT/tests" "$ARTIFACTS/obj/judge"
    tests/judge/run.py --bin "$OUT" --out "$ARTIFACTS/judge" "$@"
}

# What gets, unpacks and drives QEMU: Debian packages, one a line, of which something is missing.
qemu_packages() {
    command -v python3 >/dev/null || echo python3
    command -v dpkg-deb >/dev/null || echo dpkg
    [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || echo debian-archive-keyring
}

run_qemu() {
    local missing=() host=native-exports/hosts/qemu-plugin status=0
    local run=("$host/run.py" --bin "$OUT" --prepared "$ARTIFACTS/qemu" --out "$ARTIFACTS/qemu/runs")
    mapfile -t missing < <(qemu_packages)
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_packages "${missing[@]}" || warn 'the packages could not be installed'
        mapfile -t missing < <(qemu_packages)
        [[ ${#missing[@]} -eq 0 ]] || { echo "skipped: still missing, and needed: ${missing[*]}"; return 77; }
    fi
    "${run[@]}" prepare || return # the header that the plugin is compiled with, and QEMU
    make_in "$host" "$OUT" "$ARTIFACTS/obj/hosts/qemu-plugin"
    "${run[@]}" "$@"
}

version() { sed -n 's/.*<Version>\(.*\)<\/Version>.*/\1/p' Directory.Build.props; }

# The time that all files of a package get: the last commit's, so that the same sources make the same bytes.
package() {
    local epoch
    epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
    VERSION=$(version) LIB=$LIB PACKAGES=$ARTIFACTS/packages SOURCE_DATE_EPOCH=$epoch native-exports/package/package.sh
}

# Builds everything once more elsewhere, from what git knows, and compares.
reproduce() {
    local elsewhere
    elsewhere=$(mktemp -d)
    say "building once more, in $elsewhere"
    git stash create >"$elsewhere/commit" 2>/dev/null || true
    git worktree add -q --detach "$elsewhere/sources" "$(grep . "$elsewhere/commit" || echo HEAD)"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) "$elsewhere/sources/build.sh" package
    local status=0
    diff "$ARTIFACTS/packages/SHA256SUMS" "$elsewhere/sources/artifacts/packages/SHA256SUMS" || status=1
    git worktree remove --force "$elsewhere/sources"
    rm -rf "$elsewhere"
    [[ $status -eq 0 ]] || fail 'the second build made other bytes'
    say 'both builds made the same bytes'
}

run_abi() {
    local baseline
    if ! { command -v abidw && command -v abidiff; } >/dev/null; then
        install_packages abigail-tools || fail 'abidiff is missing: install the Debian package abigail-tools'
    fi
    baseline=native-exports/package/abi/gmapnative-$(version | cut -d. -f1,2).abi
    if [[ ${1:-} == --accept ]]; then
        mkdir -p "$(dirname "$baseline")"
        native-exports/package/abi.sh write "$INC" "$baseline"
        say "$baseline is what is compared with from now on; CHANGELOG.md says what changed"
        return
    fi
    native-exports/package/abi.sh compare "$baseline" "$INC" ||
        fail 'the C ABI changed, as above. Meant? CHANGELOG.md, then ./build.sh abi --accept'
    say "the C ABI is that of $baseline"
}

# What compiles for AArch64 and runs that here: Debian packages, one a line, of which something is missing.
arm64_packages() {
    command -v aarch64-linux-gnu-gcc >/dev/null || echo gcc-aarch64-linux-gnu
    [[ -e /usr/aarch64-linux-gnu/include/stdio.h ]] || echo libc6-dev-arm64-cross
    command -v qemu-aarch64 >/dev/null || echo qemu-user
}

# The library for linux-arm64, and hosts of the tests with it, by QEMU's translator: a hint, not a proof. QEMU runs a store of an Arm guest as
# a store of this machine, which orders them more strictly.
run_arm64() {
    local missing=() out=$ARTIFACTS/arm64 host failed=0 run
    mapfile -t missing < <(arm64_packages)
    if [[ ${#missing[@]} -gt 0 ]]; then install_packages "${missing[@]}" || fail "still missing, and needed: ${missing[*]}"; fi
    say 'building libgmapnative.so for linux-arm64'
    mkdir -p "$out/lib" "$out/bin"
    # The SDK names the machine as clang wants it; gcc is one for that machine already.
    printf '%s\n' '#!/usr/bin/env bash' 'exec aarch64-linux-gnu-gcc "${@/#--target=*/-g}"' >"$out/gcc"
    chmod +x "$out/gcc"
    # Paths of its own: a restore for another machine would take the place of this one's.
    dotnet publish native-exports/GmapNative.Exports.csproj -c "$CONFIGURATION" -v quiet -r linux-arm64 -p:Flavour=shipped -p:Isa= \
        -p:ArtifactsPath="$out/dotnet" -p:CppCompilerAndLinker="$out/gcc" -p:ObjCopyName=aarch64-linux-gnu-objcopy
    install -m 755 "$out/dotnet/publish/GmapNative.Exports/release_linux-arm64/libgmapnative.so" "$out/lib/$SONAME"
    ln -sf "$SONAME" "$out/lib/libgmapnative.so"
    check_exports "$out/lib/$SONAME"
    run=(timeout 300 qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$out/lib")
    for host in lifecycle inline bad_handles bad_args consumers generation region pgste shadow protect batches formats 'threads 2'; do
        local source=tests/native/${host%% *}.c program=$out/bin/${host%% *}
        # shellcheck disable=SC2086 # flags are words
        aarch64-linux-gnu-gcc $CFLAGS -D_GNU_SOURCE -pthread "-I$INC" "$source" -o "$program" "-L$out/lib" -lgmapnative
        # shellcheck disable=SC2086 # its arguments are words
        "${run[@]}" "$program" $([[ $host == *' '* ]] && echo "${host#* }") || { warn "$host ended with status $?"; failed=$((failed + 1)); }
    done
    make --no-print-directory -s -C tests/GmapNative.Litmus CC=aarch64-linux-gnu-gcc INC="$INC" LIB="$out/lib" OUT="$out/bin" OBJ="$out/obj" \
        "$out/bin/gmap-litmus"
    "${run[@]}" "$out/bin/gmap-litmus" --seconds "${1:-0.5}" || failed=$((failed + 1))
    [[ $failed -eq 0 ]] || fail "$failed hosts failed under qemu-aarch64"
    say 'linux-arm64: all of them passed, by emulation'
}

# What links a DLL with LLVM, compiles for it with MinGW, and runs that here: Debian packages, one a line, of which something is missing.
windows_packages() {
    command -v clang++ >/dev/null || echo clang
    command -v lld-link >/dev/null || echo lld
    command -v x86_64-w64-mingw32-gcc >/dev/null || echo gcc-mingw-w64-x86-64
    command -v x86_64-w64-mingw32-g++ >/dev/null || echo g++-mingw-w64-x86-64
    command -v wine64 >/dev/null || [[ -x /usr/lib/wine/wine64 ]] || echo wine64
}

# gmapnative.dll, and hosts of the tests with it, by Wine: a hint, not a proof.
run_windows() {
    local missing=()
    mapfile -t missing < <(windows_packages)
    if [[ ${#missing[@]} -gt 0 ]]; then install_packages "${missing[@]}" || fail "still missing, and needed: ${missing[*]}"; fi
    OUT=$ARTIFACTS/windows SECONDS_EACH=${1:-0.5} tests/windows/run.sh
}

format() {
    local options=(--severity warn --no-restore)
    if [[ ${1:-} == --check ]]; then
        options+=(--verify-no-changes)
        shift
    fi
    dotnet format GmapNative.sln "${options[@]}" "$@"
}

clean() {
    rm -rf "$ARTIFACTS" perf/results
    find src native-exports tests -type d \( -name bin -o -name obj \) -prune -exec rm -rf {} +
}

verb=${1:-help}
shift || true
case $verb in
    setup) setup ;;
    build) build "$@" ;;
    v4) build; publish_v4 ;;
    trace) build; publish_trace ;;
    test) build; publish_trace; publish_check; package; build_tests; run_tests "$@" ;; # no &&: it would switch errexit off
    litmus) build; publish_check; make_litmus; run_litmus "$@" ;;
    model) run_models "$@" ;;
    fuzz) build; run_fuzz "$@" ;;
    perf) build; run_perf "$@" ;;
    study) build; run_study "$@" ;;
    bench) setup; run_bench "$@" ;;
    compare) setup; run_compare "$@" ;;
    reclaim) build; run_reclaim "$@" ;;
    package)
        build
        publish_trace
        package
        if [[ ${1:-} == --reproduce ]]; then reproduce; fi
        ls -l "$ARTIFACTS/packages"
        ;;
    abi) run_abi "$@" ;;
    arm64) setup; run_arm64 "$@" ;;
    windows) setup; run_windows "$@" ;;
    demo) build; run_demo "$@" ;;
    judge) build; run_judge "$@" ;;
    qemu) build; run_qemu "$@" ;;
    format) setup; format "$@" ;;
    clean) clean ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        fail "no such verb: $verb"
        ;;
esac
