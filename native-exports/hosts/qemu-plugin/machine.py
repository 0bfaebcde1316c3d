# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in QEMU with its memory in a file, with our plugin or without, driven by QMP and by what it says on its console."""
import glob
import gzip
import json
import os
import re
import resource
import socket
import subprocess
import threading
import time

import packages

MIB = 1 << 20
MODULES = {"s390x": ["virtio_blk", "virtio-rng"], "x86_64": ["virtio_pci", "virtio_blk", "virtio-rng"]}


class Trouble(Exception):
    """The guest or QEMU did not do what it has to."""


def cpio(entries):
    """A newc archive: (name, mode, contents)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")]):
        field = [number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % f for f in field) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def in_order(root, wanted):
    """-> [(name, contents)]: the modules and what they depend on, first things first"""
    files = {os.path.basename(f)[:-3]: f for f in glob.glob(f"{root}/lib/modules/*/kernel/**/*.ko", recursive=True)}
    done = {}

    def take(name):
        if name in done or name not in files:
            return
        data = open(files[name], "rb").read()
        for other in re.search(rb"depends=([^\0]*)\0", data).group(1).decode().split(","):
            take(other)
        done[name] = data

    for name in wanted:
        take(name)
    return list(done.items())


def initrd(root, name, path):
    here = os.path.dirname(os.path.abspath(__file__))
    modules = in_order(root, MODULES[name])
    entries = [("bin", 0o40755, b""), ("dev", 0o40755, b""), ("modules", 0o40755, b""),
               ("bin/busybox", 0o100755, open(f"{root}/bin/busybox", "rb").read()),
               ("init", 0o100755, open(f"{here}/guest-init", "rb").read()),
               ("modules/order", 0o100644, " ".join(n for n, _ in modules).encode())]
    entries += [(f"modules/{n}.ko", 0o100644, data) for n, data in modules]
    with open(path, "wb") as out:
        out.write(gzip.compress(cpio(entries), 6, mtime=0))
    return path


class Machine:
    """How a guest is started: files in `folder`."""

    def __init__(self, prepared, folder, name, a):
        self.name, self.folder, self.memory, self.cpus = name, folder, a.memory, a.cpus
        self.target = "x86_64" if name == "tiny" else name
        self.board = "s390-ccw-virtio" if name == "s390x" else "pc"
        self.command, self.environment = packages.qemu(prepared, self.target)
        os.makedirs(folder, exist_ok=True)
        if name == "tiny":
            self.kernel, self.initrd = os.path.join(a.bin, "gmap-qemu-tiny"), None
            if not os.path.exists(self.kernel):
                raise packages.Missing("gmap-qemu-tiny was not built")
            return
        root = packages.prepare_guest(prepared, name)
        self.kernel = glob.glob(f"{root}/boot/vmlinuz-*")[0]
        self.initrd = initrd(root, name, f"{folder}/initrd.gz")

    def disk(self):
        """A disk whose contents differ from block to block, so that what a device writes to memory is seen."""
        path = f"{self.folder}/disk.img"
        with open(path, "wb") as out:
            for number in range(32 * MIB // 4096):
                out.write(b"%015d\n" % (number * 2654435761 % 10**15) * 256)
        return path

    def words(self, rounds):
        bus = "ccw" if self.name == "s390x" else "pci"
        # A PC's vcpus share a thread: see README.md, what does not work.
        threads = "multi" if self.name == "s390x" else "single"
        words = ["-M", f"{self.board},memory-backend=ram", "-accel", f"tcg,thread={threads}", "-cpu", "max",
                 "-m", f"{self.memory}M", "-smp", str(self.cpus),
                 "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none",
                 "-object", f"memory-backend-file,id=ram,size={self.memory}M,mem-path={self.folder}/ram,share=on",
                 "-kernel", self.kernel]
        if self.name == "tiny":
            return words + ["-device", "isa-debug-exit,iobase=0xf4"]
        # Debian's kernels clear pages when they are allocated; then no page would be written by a device alone.
        return words + ["-initrd", self.initrd, "-append", f"console=ttyS0 quiet init_on_alloc=0 gmap.rounds={rounds}",
                        "-drive", f"if=none,id=disk,format=raw,file={self.disk()}", "-device", f"virtio-blk-{bus},drive=disk",
                        "-device", f"virtio-rng-{bus}"]


class Running:
    """A guest that runs."""

    def __init__(self, machine, rounds, plugin=None, stopped=False, trace=False):
        self.machine, folder = machine, machine.folder
        for old in ("ram", "trace", "qmp", "control"):
            if os.path.exists(f"{folder}/{old}"):
                os.unlink(f"{folder}/{old}")
        words = machine.command + machine.words(rounds) + ["-qmp", "unix:qmp,server=on,wait=off"]
        words += ["-plugin", plugin] if plugin else []
        words += ["-S"] if stopped else []
        words += ["-trace", "enable=address_space_map", "-D", f"{folder}/trace"] if trace else []
        self.lines, self.said = [], threading.Condition()
        self.begin, self.used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=machine.environment,
                                        cwd=folder)
        self.reader = threading.Thread(target=self.read_console, daemon=True)
        self.reader.start()
        self.monitor = None

    def read_console(self):
        for line in self.process.stdout:
            with self.said:
                self.lines.append(line.decode(errors="replace").strip("\r\n"))
                self.said.notify()
        with self.said:
            self.lines.append(None)
            self.said.notify()

    def wait_for(self, pattern, timeout):
        """-> the line that matches"""
        end, seen = time.monotonic() + timeout, 0
        with self.said:
            while True:
                for line in self.lines[seen:]:
                    if line is None:
                        raise Trouble(f"QEMU ended before the guest said {pattern!r}:\n" + self.console())
                    found = re.search(pattern, line)
                    if found:
                        return line
                seen = len(self.lines)
                if not self.said.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise Trouble(f"the guest did not say {pattern!r} in {timeout} s:\n" + self.console())

    def console(self):
        return "\n".join("  | " + line for line in self.lines[-15:] if line is not None)

    def connect(self, name):
        """To a socket of QEMU's or the plugin's in the folder, whose path may be longer than a socket's may be."""
        folder = os.open(self.machine.folder, os.O_PATH)
        try:
            for _ in range(1000):
                end = socket.socket(socket.AF_UNIX)
                try:
                    end.connect(f"/proc/self/fd/{folder}/{name}")
                    return end
                except OSError:
                    end.close()
                if self.process.poll() is not None:
                    raise Trouble(f"QEMU ended with status {self.process.returncode}")
                time.sleep(0.01)
            raise Trouble(f"nobody listens at {self.machine.folder}/{name}")
        finally:
            os.close(folder)

    def qmp(self, command, **arguments):
        if not self.monitor:
            self.monitor = self.connect("qmp").makefile("rw")
            self.monitor.readline()
            self.qmp("qmp_capabilities")
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            line = self.monitor.readline()
            if not line:
                raise Trouble("QEMU closed its monitor")
            answer = json.loads(line)
            if "error" in answer:
                raise Trouble(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def end(self, timeout, statuses=(0,)):
        """Waits until QEMU has ended by itself. -> seconds, seconds of processors"""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Trouble("the guest does not end:\n" + self.console()) from None
        wall, used = time.monotonic() - self.begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        self.reader.join()
        if status not in statuses:
            raise Trouble(f"QEMU ended with status {status}:\n" + self.console())
        return wall, used.ru_utime + used.ru_stime - self.used.ru_utime - self.used.ru_stime

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for big in ("ram", "disk.img", "trace"):
            if os.path.exists(f"{self.machine.folder}/{big}"):
                os.unlink(f"{self.machine.folder}/{big}")
