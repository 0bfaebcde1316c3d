# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that changed between two stops, beside the pages that the plugin reported: what changed and was not reported has to be explained
by something that QEMU itself says it wrote."""
import os
import re

import machine

PAGE, MIB = 4096, 1 << 20


def pages_of(address, size):
    return range(address // PAGE, (address + max(size, 1) - 1) // PAGE + 1)


class Picture:
    """The guest's memory while it stands still, and what is known of the time since the picture before."""

    def __init__(self, running, control, trace):
        running.qmp("stop")
        folder, self.machine = running.machine.folder, running.machine.name
        control.sendall(b"p")
        counted, self.lost = (int(word) for word in control.makefile().readline().split())
        if counted < 0:
            raise machine.Trouble("the plugin could not take a picture")
        bitmap = int.from_bytes(open(f"{folder}/reported", "rb").read(), "little")
        digits = bin(bitmap)[:1:-1]
        self.reported = {page for page, digit in enumerate(digits) if digit == "1"}
        with open(f"{folder}/ram", "rb") as memory:
            self.memory = memory.read()
        self.rings = used_rings(running)
        self.mapped = {}
        for line in trace:
            found = re.search(r"address_space_map .*addr 0x([0-9a-f]+):([0-9a-f]+) write:1", line)
            if found:
                address, size = (int(word, 16) for word in found.groups())
                for page in pages_of(address, size):
                    self.mapped.setdefault(page, (address, size))
        self.roms = []
        for found in re.finditer(r"addr=([0-9a-f]+) size=0x([0-9a-f]+) mem=(\S+) name=\"([^\"]*)\"",
                                 running.qmp("human-monitor-command", **{"command-line": "info roms"})):
            address, size = int(found.group(1), 16), int(found.group(2), 16)
            self.roms.append((address, size, os.path.basename(found.group(4))))


def used_rings(running):
    """-> {page: what} of the rings that devices write by themselves"""
    rings = {}
    if running.machine.name == "tiny":
        return rings  # no such device
    for device in running.qmp("x-query-virtio"):
        status = running.qmp("x-query-virtio-status", path=device["path"])
        for number in range(status["num-vqs"]):
            queue = running.qmp("x-query-virtio-queue-status", path=device["path"], queue=number)
            if queue["vring-used"]:
                for page in pages_of(queue["vring-used"], 6 + 8 * queue["vring-num"]):
                    rings[page] = f"{device['name']}, queue {number}"
    return rings


def changed_pages(before, after):
    changed = set()
    old, new = memoryview(before), memoryview(after)
    for at in range(0, len(after), MIB):
        if old[at:at + MIB] != new[at:at + MIB]:
            changed.update(p // PAGE for p in range(at, min(at + MIB, len(after)), PAGE) if old[p:p + PAGE] != new[p:p + PAGE])
    return changed


LOADED = "loaded by QEMU before the first instruction: inside an image that `info roms` lists"
MAPPED = "device DMA: inside a buffer that QEMU mapped to write to (its trace event address_space_map)"
RING = "device DMA: the used ring of a virtqueue (QMP x-query-virtio-queue-status)"
FIRMWARE = "firmware load: fw_cfg's DMA put a file there, and the bytes are still the file's"
ACPI = "firmware load: inside an ACPI table that QEMU made and fw_cfg's DMA put there, its checksum intact"
UNEXPLAINED = "unexplained"


class Files:
    """The files that firmware loads by fw_cfg's DMA, and where pages of them would be found."""

    def __init__(self, paths):
        self.data = [open(path, "rb").read() for path in paths if path]

    def has(self, before, after):
        """Whether the bytes of a page that changed, from the first to the last that did, are those of a file."""
        first = next(i for i in range(PAGE) if before[i] != after[i])
        last = next(i for i in reversed(range(PAGE)) if before[i] != after[i])
        piece = after[first:last + 1]
        return len(piece) >= 64 and any(piece in data for data in self.data)


def in_acpi_table(page, memory):
    """Tables are packed; those of QEMU are in the last 256 KiB below the end of memory."""
    for found in re.finditer(rb"DSDT|SSDT|APIC|HPET|SRAT|FACP|WAET", memory[-MIB // 4:]):
        start = len(memory) - MIB // 4 + found.start()
        size = int.from_bytes(memory[start + 4:start + 8], "little")
        if 36 <= size < MIB // 8 and sum(memory[start:start + size]) % 256 == 0 and page in pages_of(start, size):
            return True
    return False


def explain(page, before, after, files):
    if before is None:
        return LOADED if any(page in pages_of(address, size) for address, size, _ in after.roms) else UNEXPLAINED
    if page in after.mapped:
        return MAPPED
    if page in after.rings or page in before.rings:
        return RING
    place = slice(page * PAGE, (page + 1) * PAGE)
    if files and files.has(before.memory[place], after.memory[place]):
        return FIRMWARE
    if before.machine != "s390x" and in_acpi_table(page, after.memory):
        return ACPI
    return UNEXPLAINED


def compare(before, after, files=None):
    """before: the picture before, or None for the file of zeroes that QEMU began with.
    -> pages changed, changed and reported, reported and not changed, {why: pages}"""
    changed = changed_pages(before.memory if before else bytes(len(after.memory)), after.memory)
    why = {}
    for page in sorted(changed - after.reported):
        why.setdefault(explain(page, before, after, files), []).append(page)
    return len(changed), len(changed & after.reported), len(after.reported - changed), why
