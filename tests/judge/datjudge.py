#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Let somebody else's s390x walk translation tables, and say what it did.

usage: datjudge.py [options] CASE      (see README.md for the case file)
"""
import argparse
import os
import shlex
import struct
import subprocess
import sys
import tempfile
import time

MAGIC = 0x444154204A554447
LOW, PARAMS, RECS = 0x400000, 0x10000, 0x11000  # the same as in judge.c
REC = struct.Struct(">16Q")
BATCH = (LOW - RECS) // REC.size
STARTS = 3                                      # of a machine that does not come to its end on a busy host
EDAT = 0x00800000                               # CR0 bit 40
NAMES = {
    0x04: "protection", 0x05: "addressing", 0x06: "specification",
    0x10: "segment-translation", 0x11: "page-translation",
    0x12: "translation-specification", 0x38: "asce-type",
    0x39: "region-first-translation", 0x3A: "region-second-translation",
    0x3B: "region-third-translation",
}
MISSING = {0x10, 0x11, 0x39, 0x3A, 0x3B}
WITH_TEID = {0x04, 0x10, 0x11, 0x38, 0x39, 0x3A, 0x3B}
F_REAL, F_SAME, F_KEPT = 1, 2, 4                # struct rec, flags
FACILITIES = {"edat1": 8, "edat2": 78, "iep": 130}  # facility-list bits


class Trouble(Exception):
    """The judge could not do its work: nothing is said about the tables."""


def read_case(path):
    """-> (images [(file, address)], storage size wanted, records)"""
    images, records, ram = [], [], LOW
    now = {"asce": None, "cr0": EDAT, "stub": 0}
    needs, about = set(), ""
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            try:
                key, args = words[0], words[1:]
                if key == "image":
                    images.append((os.path.join(os.path.dirname(path), args[0]), int(args[1], 0)))
                elif key == "ram":
                    ram = max(ram, int(args[0], 0))
                elif key in now:
                    now[key] = int(args[0], 0)
                elif key == "about":
                    about = " ".join(args)
                elif key == "needs":
                    needs = set(args) - {"-"}
                    if needs - set(FACILITIES):
                        raise ValueError("unknown facility")
                elif key in ("R", "W", "X"):
                    vaddr = int(args[0], 0)
                    if vaddr % (2 if key == "X" else 8) or now["stub"] % 8:
                        raise ValueError("address not aligned")
                    if now["asce"] is None:
                        raise ValueError("no asce yet")
                    want = None
                    if len(args) > 1:
                        if args[1] not in ("ok", "pgm", "missing") or args[1] == "pgm" and len(args) < 3:
                            raise ValueError("not an outcome: " + " ".join(args[1:]))
                        want = (args[1], int(args[2], 0) if len(args) > 2 else None)
                    records.append(dict(now, op=key, vaddr=vaddr, want=want, needs=needs, about=about,
                                        line=number))
                else:
                    raise ValueError("unknown word " + key)
            except (ValueError, IndexError) as e:
                raise Trouble(f"{path}:{number}: {e}") from None
    if not records:
        raise Trouble(f"{path}: no records")
    return images, ram, records


def ram_size(need):
    """The smallest size QEMU's s390-ccw-virtio accepts that holds need bytes."""
    step = 1 << 20
    while -(-need // step) > 1020:
        step *= 2
    return max(-(-need // step) * step, 8 << 20)


def start(cmd, **more):
    try:
        return subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, **more)
    except FileNotFoundError:
        raise Trouble(f"{cmd[0]}: not found") from None


def run(a, cmd):
    """-> what it said, for the case that it did not do its work"""
    try:
        done = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=a.timeout, check=False)
    except FileNotFoundError:
        raise Trouble(f"{cmd[0]}: not found") from None
    except subprocess.TimeoutExpired as e:
        return f"{cmd[0]}: stopped after {a.timeout} s:\n{(e.stdout or b'').decode(errors='replace').strip()[-1500:]}"
    return done.stdout.strip()[-1500:] or f"{cmd[0]}: exit status {done.returncode}"


class Qemu:
    """The guest's storage is a (sparse) file, mapped by QEMU."""

    def __init__(self, a, tmp, images, need):
        self.a, self.ram, self.nobios = a, a.ram_file or os.path.join(tmp, "ram"), os.path.join(tmp, "nobios")
        with open(self.nobios, "wb") as f:      # goes to 0x9000; QEMU's own would go below the top of storage
            f.write(bytes(16))
        if a.ram_file:
            self.size = os.path.getsize(self.ram)
            if self.size != ram_size(self.size):
                raise Trouble(f"{self.ram}: make its size 0x{ram_size(self.size):x}")
        else:
            self.size = ram_size(need)
            with open(self.ram, "wb") as f:
                f.truncate(self.size)
        with open(self.ram, "r+b") as f:
            for name, at in images:
                with open(name, "rb") as i:
                    f.seek(at)
                    f.write(i.read())

    def judge(self, low):
        """low: the first 4 MiB of storage, before -> the same after, what was said"""
        with open(self.ram, "r+b") as f:
            f.write(low)
        said = run(self.a, [
            *shlex.split(self.a.qemu), "-accel", "tcg", "-cpu", self.a.cpu, "-m", f"{self.size >> 20}M",
            "-object", f"memory-backend-file,id=ram,size={self.size},mem-path={self.ram},share=on",
            "-machine", "s390-ccw-virtio,memory-backend=ram",
            "-nodefaults", "-display", "none", "-no-reboot", "-bios", self.nobios, "-kernel", self.a.guest])
        with open(self.ram, "rb") as f:
            return f.read(LOW), said


class Hercules:
    """The guest's storage is loaded and saved by Hercules commands."""

    CONF = "ARCHMODE z/Arch\nCPUSERIAL 000001\nCPUMODEL 2097\nOSTAILOR QUIET\nNUMCPU 1\n"

    def __init__(self, a, tmp, images, need):
        if a.ram_file:
            raise Trouble("--ram-file is for the qemu engine")
        self.a, self.tmp, self.size = a, tmp, ram_size(need)
        self.images = [(os.path.abspath(name), at) for name, at in images]

    def file(self, name, content=None):
        path = os.path.join(self.tmp, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def wait(self, machine, log, ending, done):
        """Until it has ended, which it does after the guest has; -> what it said."""
        deadline, told = time.monotonic() + self.a.timeout, False
        while machine.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
            if not told:
                with open(log, "rb") as f:
                    told = b"HHCCP011I" in f.read()
                if told:
                    os.replace(ending, done)
        late = machine.poll() is None
        if late:
            machine.kill()
        with open(log, encoding="utf-8", errors="replace") as f:
            return (f"stopped after {self.a.timeout} s:\n" if late else "") + f.read().strip()[-1500:]

    def judge(self, low):
        low = bytearray(low)
        with open(self.a.guest, "rb") as f:
            elf = f.read()
        phoff, phnum = struct.unpack_from(">Q", elf, 32)[0], struct.unpack_from(">H", elf, 56)[0]
        for i in range(phnum):
            kind, _, offset, _, at, size = struct.unpack_from(">IIQQQQ", elf, phoff + 56 * i)
            if kind == 1:
                low[at:at + size] = elf[offset:offset + size]
        entry, = struct.unpack_from(">Q", elf, 24)
        struct.pack_into(">II", low, 0, 0x00080000, 0x80000000 | entry)         # restart PSW, ESA/390
        struct.pack_into(">QQ", low, 0x1A0, 0x0000000180000000, entry)          # and z/Architecture
        out, done, log = self.file("out"), self.file("done", ""), self.file("log")
        # Its own way to act on a message (hao) is deaf in one start of a hundred. So it looks each second for what to do.
        rc = self.file("rc", "".join(f"loadcore {n} {at:x}\n" for n, at in [(self.file("low", bytes(low)), 0), *self.images]) +
                       "restart\n" + f"pause 1\nscript {done}\n" * int(self.a.timeout))
        conf = self.file("conf", f"{self.CONF}MAINSIZE {self.size >> 20}\n0009 3215-C /\n")
        cmd = [*shlex.split(self.a.hercules), "-d", "-f", conf]
        with open(log, "w+b") as f, start(cmd, stdout=f, env=dict(os.environ, HERCULES_RC=rc)) as machine:
            said = self.wait(machine, log, self.file("done.new", f"stop\npause 1\nsavecore {out} 0 {LOW - 1:x}\nquit\n"), done)
        if not os.path.exists(out):
            return low, said
        with open(out, "rb") as f:
            saved = f.read()
        os.remove(out)
        return saved, said


def judge(engine, batch):
    """Have the records done; fills them in and gives the facilities there."""
    low = bytearray(LOW)
    struct.pack_into(">6Q", low, PARAMS, MAGIC, len(batch), 0, 0, 0, 0)
    for i, r in enumerate(batch):
        REC.pack_into(low, RECS + i * REC.size,
                      ord(r["op"]), r["vaddr"], r["asce"], r["cr0"], r["stub"], *[0] * 11)
    for _ in range(STARTS):
        after, said = engine.judge(bytes(low))
        _, _, done, *stfle = struct.unpack_from(">6Q", after, PARAMS)
        if done == len(batch):
            break
        print("# started again: " + said.split("\n", 1)[0], file=sys.stderr)
    else:
        raise Trouble(f"the guest did not get beyond the record of line {batch[done]['line']}:\n{said}")
    for i, r in enumerate(batch):
        out = REC.unpack_from(after, RECS + i * REC.size)[5:14]
        r.update(zip(("state", "code", "teid", "ilc", "lra", "lraval", "data", "flags", "key"), out))
    return {name for name, n in FACILITIES.items() if stfle[n // 64] >> (63 - n % 64) & 1}


def wrong(r):
    """-> why a record's outcome is not right, or "" """
    code = r["code"]
    if r["state"] != 1:
        return "stub is not mapped" if r["state"] == 2 else "not tried: this is the judge's own storage"
    if code in WITH_TEID:
        if (r["teid"] ^ r["vaddr"]) >> 12:
            return "TEID has another page"
        if code == 4 and not r["teid"] & 4:
            return "TEID does not say DAT protection"
    if code == 0 and not r["flags"] & F_SAME:
        return "the access did not go where LRAG says"
    if code and r["flags"] & F_REAL and not r["flags"] & F_KEPT:
        return "interrupted, but storage changed"
    if r["want"] is None:
        return ""
    kind, value = r["want"]
    if kind == "missing":
        return "" if code in MISSING else "expected a translation exception"
    if kind == "pgm":
        return "" if code == value else f"expected pgm 0x{value:02x}"
    if code:
        return "expected ok"
    if value is not None and r["lraval"] != value:
        return f"expected real=0x{value:016x}"
    return ""


def line(r):
    """-> verdict, text"""
    text = f"{r['op']} 0x{r['vaddr']:016x} "
    if r["state"] != 1:
        text += "-"
    elif r["code"]:
        text += f"pgm 0x{r['code']:02x} {NAMES.get(r['code'], '-')}"
        if r["code"] in WITH_TEID:
            text += f" teid=0x{r['teid']:016x}"
    else:
        text += "ok"
    if r["lra"] == 0:
        text += f" real=0x{r['lraval']:016x}"
    if r["flags"] & F_REAL:
        text += f" data=0x{r['data']:016x} key=0x{r['key']:02x}"
    text += f" lra={'pgm' if r['lra'] == 4 else r['lra']}"
    why = wrong(r)
    if why:
        return "FAIL", f"{text}  # {why} (line {r['line']}{': ' + r['about'] if r['about'] else ''})"
    return ("PASS" if r["want"] else "INFO"), text


def judge_case(a, path):
    """Yields (verdict, text, record) for each record, and first what the machine has: ("", text, None)."""
    images, need, records = read_case(path)
    for name, at in images:
        if at < LOW:
            raise Trouble(f"{name}: storage below 0x{LOW:x} is not for images")
        need = max(need, at + os.path.getsize(name))
    for r in records:                           # frames are in storage, too
        if r["want"] and r["want"][0] == "ok" and r["want"][1] is not None:
            need = max(need, r["want"][1] + 8)
    with tempfile.TemporaryDirectory(prefix="datjudge") as tmp:
        engine = ENGINES[a.engine](a, tmp, images, need)
        for i in range(0, len(records), BATCH):
            batch = records[i:i + BATCH]
            there = judge(engine, batch)
            if i == 0:
                yield "", f"# {a.engine} ram=0x{engine.size:x} " + " ".join(f"{f}={int(f in there)}" for f in FACILITIES), None
            for r in batch:
                verdict, text = line(r)
                yield "SKIP" if r["needs"] - there else verdict, text, r


ENGINES = {"qemu": Qemu, "hercules": Hercules}


def options():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], add_help=False)
    p.add_argument("--qemu", default="qemu-system-s390x", help="command, arguments allowed")
    p.add_argument("--cpu", default="max", help="QEMU CPU model (default max)")
    p.add_argument("--hercules", default="hercules", help="command, arguments allowed")
    p.add_argument("--guest", default="gmap-judge-guest", help="the guest program that the Makefile builds")
    p.add_argument("--timeout", type=float, default=40, help="seconds for a start of a machine, of which there are three (default 40)")
    p.add_argument("--ram-file", help="QEMU: use this file as the guest's storage, tables in place, instead of "
                   "a new one; its first 4 MiB are overwritten")
    return p


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[options()])
    p.add_argument("case")
    p.add_argument("--engine", choices=ENGINES, default="qemu")
    p.add_argument("--quiet", action="store_true", help="only FAIL and INFO lines")
    a = p.parse_args()
    count = {"PASS": 0, "FAIL": 0, "INFO": 0, "SKIP": 0}
    for verdict, text, record in judge_case(a, a.case):
        if record is None:
            print(text)
            continue
        count[verdict] += 1
        if verdict in ("FAIL", "INFO") or not a.quiet:
            print(verdict, text)
    print("#", sum(count.values()), "records:", ", ".join(f"{n} {v}" for v, n in count.items()))
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, OSError) as e:
        print("datjudge:", e, file=sys.stderr)
        sys.exit(2)
