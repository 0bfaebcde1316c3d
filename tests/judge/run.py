#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Let QEMU and Hercules walk exported tables: for ./build.sh judge, which builds what is needed. README.md has more.

exit status: 0 they agree with the engine and caught every flipped bit, 1 they do not, 2 something did not work
"""
import argparse
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import time

import datjudge

ENGINES = ("qemu", "hercules")
NAMES = {"qemu": "QEMU", "hercules": "Hercules"}
SHOWN = 10                                      # records that are wrong, of one case
MIGRATION = ["demo", "--memory", "64M", "--rate", "20000", "--steps", "300000", "--max-rounds", "4", "--downtime-ms", "1"]


def judged(a, engine, path):
    """-> (engine, path, count of verdicts, records by what they are about, lines of what is wrong)"""
    a.engine = engine
    count, about, wrong = {"PASS": 0, "FAIL": 0, "INFO": 0, "SKIP": 0}, {}, []
    for verdict, text, record in datjudge.judge_case(a, path):
        if record is not None:
            count[verdict] += 1
            about[record["about"]] = about.get(record["about"], 0) + 1
            if verdict == "FAIL" and len(wrong) < SHOWN:
                wrong.append(text)
    return engine, path, count, about, wrong


def write_cases(a):
    """The cases of all kinds of spaces, the controls, and those of a migration that runs."""
    shutil.rmtree(a.out, ignore_errors=True)
    os.makedirs(a.out)
    subprocess.run([os.path.join(a.bin, "tests", "gmap-judge"), a.out] + ["--quick"] * a.quick, check=True)
    if not a.quick:
        tables = os.path.join(a.out, "migration")
        done = subprocess.run([os.path.join(a.bin, "gmap-migrate"), *MIGRATION, "--tables", tables],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise datjudge.Trouble("the migration failed:\n" + done.stdout)


def judge_all(a, cases):
    """-> for each engine, what became of its records"""
    total = {e: {"PASS": 0, "FAIL": 0, "INFO": 0, "SKIP": 0} for e in ENGINES}
    print(f"{'space':26}{'pictures':>9}{'records':>9}" + "".join(f"{NAMES[e]:>10}{'left out':>10}" for e in ENGINES))
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [[pool.submit(judged, a, e, path) for e in ENGINES] for path in cases]
        for path, both in zip(cases, running):
            results = [f.result() for f in both]
            _, _, count, about, _ = results[0]
            name = os.path.basename(path)[:-len(".case")]
            print(f"{name:26}{len(about):9}{sum(count.values()):9,}" +
                  "".join(f"{r[2]['PASS']:10,}{r[2]['SKIP']:10,}" for r in results), flush=True)
            for engine, _, count, _, wrong in results:
                for text in wrong:
                    print(f"  {NAMES[engine]} disagrees: {text}")
                for verdict in count:
                    total[engine][verdict] += count[verdict]
    return total


def controls(a, paths):
    """-> how many bits were flipped, how many caught, and controls that went wrong. Leaves are for the machine that knows them."""
    flipped, caught, bad = 0, 0, 0
    wanted = [(e, p) for p in paths for e in ENGINES if e == "hercules" or "control-leaf" not in p]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(judged, a, e, p) for e, p in wanted]
        for future in running:
            engine, path, count, _, wrong = future.result()
            name = os.path.basename(path)[len("control-"):-len(".case")]
            good = not name.endswith("none")    # nothing is flipped there
            flipped += good
            caught += good and bool(wrong)
            if bool(wrong) != good or not count["PASS"] + count["FAIL"]:
                bad += 1
                print(f"  {NAMES[engine]}, control {name}: " + ("not caught" if good else wrong[0] if wrong else "nothing judged"))
    return flipped, caught, bad


def main():
    p = argparse.ArgumentParser(prog="./build.sh judge", description=__doc__.splitlines()[0], parents=[datjudge.options()])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--out", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="fewer spaces, no migration")
    a = p.parse_args()
    a.guest = os.path.join(a.bin, "tests", "gmap-judge-guest")
    begin = time.monotonic()
    write_cases(a)
    files = sorted(glob.glob(os.path.join(a.out, "*.case")))
    is_control = [os.path.basename(f).startswith("control-") for f in files]
    total = judge_all(a, [f for f, c in zip(files, is_control) if not c])
    flipped, caught, bad = controls(a, [f for f, c in zip(files, is_control) if c])
    disagree = sum(t["FAIL"] + t["INFO"] for t in total.values())
    print("2 GB leaves: neither machine has EDAT-2, so neither judges them; the tests do by the model "
          "(./build.sh test --filter 'FullyQualifiedName~RegionImage')")
    print("judge: " + ", ".join(f"{NAMES[e]} {total[e]['PASS']:,} records agree ({total[e]['SKIP']:,} left out)" for e in ENGINES) +
          f", {disagree:,} disagree; negative controls: {caught} of {flipped} flipped bits caught; {time.monotonic() - begin:.0f} s")
    return 1 if disagree or bad or not all(t["PASS"] for t in total.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (datjudge.Trouble, OSError, subprocess.CalledProcessError) as e:
        print("judge:", e, file=sys.stderr)
        sys.exit(2)
