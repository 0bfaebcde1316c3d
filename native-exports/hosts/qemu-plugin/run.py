#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests in QEMU with libgmapnative as a plugin: for ./build.sh qemu. README.md has more.

exit status: 0 as it has to be, 1 a page was lost or a control was not caught, 2 something did not work, 77 skipped
"""
import argparse
import hashlib
import json
import os
import statistics
import sys

import machine
import packages
import truth

WHAT = ("prepare", "tiny", "s390x", "x86_64", "control", "slowdown", "all")
PLAIN = "without a plugin"


def plugin(a, folder, *more):
    library = os.path.join(a.bin, "libgmap-qemu-plugin.so")
    if not os.path.exists(library):
        raise packages.Missing("libgmap-qemu-plugin.so was not built: it needs QEMU's qemu-plugin.h")
    words = [library, f"ram={a.memory}M", f"memory={folder}/ram", f"out={folder}/intervals.json", "control=control",
             f"picture={folder}/reported", f"interval={a.interval}", f"live={'on' if a.live else 'off'}", f"policy={a.policy}"]
    return ",".join(words + list(more))


def trace_since(folder, offset):
    """-> the lines that QEMU traced from there on, and where the next begin"""
    with open(f"{folder}/trace", encoding="utf-8", errors="replace") as trace:
        trace.seek(offset)
        lines = trace.readlines()
        return lines, trace.tell()


def summary(folder):
    """What the plugin wrote: intervals, and their sum."""
    with open(f"{folder}/intervals.json", encoding="utf-8") as lines:
        every = [json.loads(line) for line in lines]
    return every[:-1], every[-1]


def print_summary(folder):
    intervals, total = summary(folder)
    pages, segments = total["dirty_pages"], total["dirty_segments"]
    last = intervals[-1]["written_pages"]
    print(f"  {total['stores']:,} stores, {total['handed']:,} pages handed over in {total['batches']:,} batches; "
          f"{len(intervals)} intervals")
    print(f"  dirty: {pages:,} pages = {pages / 256:,.1f} MiB; the same by 1 MB: {segments:,} MiB, "
          f"{segments * 256 / max(pages, 1):.1f} times")
    print(f"  {total['splits']:,} leaves split, {intervals[-1]['leaves']:,} whole at the end; harvests took "
          f"{total['harvest_ns'] / len(intervals) / 1000:,.0f} us each")
    print("  working set, pages written in the last n intervals: " + "  ".join(f"{n}: {count:,}" for n, count in last.items()))
    return total


def print_comparison(label, before, after, files, memory):
    changed, both, silent, why = truth.compare(before, after, files)
    print(f"  {label:22} {changed:8,} changed {both:8,} of them reported {silent:8,} reported and as before")
    for reason, pages in why.items():
        print(f"    {len(pages):6,} not reported, {reason}")
        if reason == truth.UNEXPLAINED:
            for page in pages[:8]:
                print(f"           page {page:#x} of {memory * 256:#x}")
    return {"stop": label, "changed": changed, "reported": len(after.reported), "both": both,
            "why": {reason: len(pages) for reason, pages in why.items()}}


def answer(m, rounds):
    """What the guest's last words have to be: the sum of a part of its disk that it does not write."""
    with open(f"{m.folder}/disk.img", "rb") as disk:
        disk.seek(rounds * 2 % 7 * 8 * 256 * 1024)
        return hashlib.md5(disk.read(2 * machine.MIB)).hexdigest()


def pictures(a, m, running, control):
    """Stops a Linux guest: before its first instruction, when it is up, after each round but the last. -> comparisons"""
    files = truth.Files([m.kernel, m.initrd])
    before, offset, found = None, 0, []
    for stop in ["before it began", "up"] + [f"round {n}" for n in range(1, a.rounds)]:
        if before:
            running.wait_for(f"gmap: {stop}", a.timeout)
        running.qmp("stop")  # devices have ended what they were doing when it answers
        lines, offset = trace_since(m.folder, offset)
        after = truth.Picture(running, control, lines)
        found.append(print_comparison(stop, before, after, files, a.memory))
        found[-1]["lost"] = after.lost
        before = after
        running.qmp("cont")
    return found


def linux(a, name, *more):
    """-> whether all of it was as it has to be, what was found"""
    m = machine.Machine(a.prepared, os.path.join(a.out, name), name, a)
    running = machine.Running(m, a.rounds, plugin(a, m.folder, f"feed={a.feed}", *more), stopped=True, trace=True)
    try:
        wanted = f"gmap: sum {answer(m, a.rounds)}"
        control = running.connect("control")
        found = pictures(a, m, running, control)
        wall, processors = running.end(a.timeout)
    finally:
        running.clean_up()
    well = any(line and line.startswith(wanted) for line in running.lines)
    print(f"  the guest {'shut down, its answer as known beforehand' if well else 'gave a wrong answer: ' + running.console()}; "
          f"{wall:.1f} s, {processors:.1f} s of processors")
    total = print_summary(m.folder)
    unexplained = sum(f["why"].get(truth.UNEXPLAINED, 0) for f in found)
    lost = total["lost"]
    print(f"  {unexplained} pages unexplained, {lost} stores lost")
    return well and not unexplained and not lost, {"guest": name, "unexplained": unexplained, "lost": lost, "answer": well,
                                                   "stops": found, "sum": total}


def tiny_pages():
    """The pages that each phase of tiny.S stores to, its stack apart. Phase 3 stores 8 times, 64 KiB apart."""
    def within(address, size):
        return set(truth.pages_of(address, size))
    spread = {page for page in range(0x200, 0x2200, 3)}
    strings = within(0x2800FF0, 0x100020) | within(0x2A00FFE, 0x1004) | within(0x2C00FFC, 8)
    across = set()
    for number, size in enumerate((2, 4, 10, 16)):
        across |= within(0x3000FFF + number * 0x10000, size)
    for number in range(4, 8):
        across |= within(0x3000FFF + number * 0x10000 - (0 if number == 5 else 0x7F), 1)
    return [set(), spread, strings, across, set()]


def tiny(a, *more):
    """The small guest: what is reported has to be what it stores to, no page more or less."""
    a = argparse.Namespace(**{**vars(a), "memory": 64, "cpus": 1})
    m = machine.Machine(a.prepared, os.path.join(a.out, "tiny"), "tiny", a)
    running = machine.Running(m, 0, plugin(a, m.folder, f"feed={a.feed}", *more), trace=True)
    wrong = 0
    try:
        control = running.connect("control")
        offset, before = 0, None
        for phase, stores in enumerate(tiny_pages()):
            running.wait_for(f"tiny: {phase}", 60)
            lines, offset = trace_since(m.folder, offset)
            after = truth.Picture(running, control, lines)
            if before:
                stack = {8}
                missing, invented = stores - after.reported, after.reported - stores - stack
                changed = truth.changed_pages(before.memory, after.memory)
                lost = changed - after.reported
                wrong += len(missing) + len(lost) + (len(invented) if a.policy != "never" else 0)  # whole leaves are dirty there
                print(f"  phase {phase}: {len(stores):6,} pages stored to {len(after.reported - stack):6,} reported {len(changed):6,} "
                      f"changed; {len(missing)} missing, {len(invented)} too many")
            before = after
            running.qmp("cont")
            running.process.stdin.write(b"\n")
            running.process.stdin.flush()
        running.end(60, (1,))
    finally:
        running.clean_up()
    total = print_summary(m.folder)
    return not wrong and not total["lost"], {"guest": "tiny", "wrong": wrong, "sum": total}


def slowdown(a, name):
    """The same boot, round of work and end, with and without the plugin, one after the other, several times."""
    m = machine.Machine(a.prepared, os.path.join(a.out, "slowdown"), name, a)
    ways = {PLAIN: None, **{feed: plugin(a, m.folder, "feed=" + feed.replace("+", ",")) for feed in a.feeds.split(",")}}
    times = {way: [] for way in ways}
    for _ in range(a.repeats):
        for way, words in ways.items():
            running = machine.Running(m, 1, words)
            try:
                times[way].append(running.end(a.timeout))
            finally:
                running.clean_up()
    base = [statistics.median(column) for column in zip(*times[PLAIN])]
    print(f"  {name}, {a.cpus} vcpus, {a.repeats} runs of each, taken in turn, medians")
    print(f"  {'':24}{'seconds':>9}{'times':>7}{'of processors':>15}{'times':>7}   all, of processors")
    rows = []
    for way in ways:
        wall, processors = (statistics.median(column) for column in zip(*times[way]))
        print(f"  {way if way == PLAIN else 'feed=' + way:24}{wall:9.1f}{wall / base[0]:7.2f}{processors:15.1f}"
              f"{processors / base[1]:7.2f}   " + " ".join(f"{p:.1f}" for _, p in times[way]), flush=True)
        rows.append({"way": way, "seconds": wall, "processor_seconds": processors, "slowdown": processors / base[1]})
    return {"guest": name, "rows": rows}


def control_run(a):
    """One of `drop` reported pages is left out: the comparison has to find that."""
    short = argparse.Namespace(**{**vars(a), "rounds": 1})
    well, found = linux(short, "s390x", f"drop={a.drop}")
    caught = not well and found["unexplained"] > 0
    print(f"  {'caught' if caught else 'NOT CAUGHT'}: each {a.drop}th reported page was left out")
    return caught, {"control": caught, "drop": a.drop, "unexplained": found["unexplained"]}


def options():
    p = argparse.ArgumentParser(prog="./build.sh qemu", description=__doc__.splitlines()[0])
    p.add_argument("what", nargs="?", choices=WHAT, default="all")
    p.add_argument("--memory", type=int, default=256, help="MiB of the Linux guests (256)")
    p.add_argument("--cpus", type=int, default=2, help="vcpus of the Linux guests (2)")
    p.add_argument("--rounds", type=int, default=3, help="of work, a stop after each but the last (3)")
    p.add_argument("--interval", type=int, default=500, help="ms between two harvests (500)")
    p.add_argument("--feed", choices=("fault", "mark", "inline"), default="fault", help="how stores reach the library (fault)")
    p.add_argument("--policy", choices=("lazy", "never", "eager"), default="lazy", help="when leaves are split (lazy)")
    p.add_argument("--drop", type=int, default=0, help="leave out each of so many reported pages: the run has to fail")
    p.add_argument("--repeats", type=int, default=3, help="of the slowdown (3)")
    p.add_argument("--feeds", default="none,fault", help="of the slowdown (none,fault); also mark, inline, fault+remember=off")
    p.add_argument("--timeout", type=int, default=600, help="seconds that a guest may take for anything (600)")
    p.add_argument("--live", action="store_true", default=sys.stderr.isatty(), help="the live line, also where stderr is no terminal")
    p.add_argument("--json", action="store_true", help="the last line is a JSON object")
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--prepared", required=True, help=argparse.SUPPRESS)
    p.add_argument("--out", required=True, help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    a = options()
    a.prepared, a.out, a.bin = (os.path.abspath(path) for path in (a.prepared, a.out, a.bin))
    drop = [f"drop={a.drop}"] * (a.drop > 0)
    parts = {
        "tiny": ("a small x86 guest whose stores are known", lambda: tiny(a, *drop)),
        "s390x": ("Debian's Linux on s390x", lambda: linux(a, "s390x", *drop)),
        "x86_64": ("Debian's Linux on x86_64, started by SeaBIOS", lambda: linux(a, "x86_64", *drop)),
        "control": ("the same with pages left out", lambda: control_run(argparse.Namespace(**{**vars(a), "drop": a.drop or 50}))),
        "slowdown": ("the slowdown", lambda: (True, {"slowdown": [slowdown(a, name) for name in ("s390x", "x86_64")]})),
    }
    packages.prepare_host(a.prepared)
    if a.what == "prepare":
        return 0
    results, well = [], True
    for name in parts if a.what == "all" else [a.what]:
        print(f"== {parts[name][0]}", flush=True)
        good, result = parts[name][1]()
        well = well and good
        results.append(result)
    print("qemu: " + ("every changed page reported or explained" if well else "FAILED"))
    if a.json:
        print(json.dumps({"ok": well, "results": results}))
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except packages.Missing as e:
        print("skipped:", e)
        sys.exit(77)
    except (machine.Trouble, OSError) as e:
        print("qemu:", e, file=sys.stderr)
        sys.exit(2)
