#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GmapNative from Python: a guest, its accesses, its dirty pages, and a picture of them. One file, ctypes, nothing to build.

    with Engine() as engine, Space(engine, 64 << 20) as space, Vcpu(space) as vcpu:
        vcpu.store(0x5000, b"hello")
        print(space.harvest())          # [(5, 1)]: first page, how many
        print(dirty_map(space.pages, [(5, 1)]))

    gmapnative.py map --mib 64 --writes 500 [--neighbours 4] [--svg FILE] [--json]    a demonstration
    gmapnative.py prototypes                                                      what it believes of gmap.h, as JSON

For looking and trying: a call costs about a microsecond here. gmap.h is the manual. What a call answers with an error is raised
as GmapError (an OSError); what the guest would be told, as GuestCondition. Finds libgmapnative.so.1 by GMAPNATIVE (a path), beside
this file, or where the loader looks.
"""

import argparse
import ctypes
import json
import mmap
import os
import random
import sys

PAGE = 4096
SLOT = 1
READ, WRITE = 1, 2
LOG_DIRTY = 2
NO_REARM = 2

i32, u32, u64, size_t = ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t


class _Sized(ctypes.Structure):
    """A struct of gmap.h that begins with its size."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.struct_size = ctypes.sizeof(self)


def _struct(name, *fields, base=_Sized):
    return type(name, (base,), {"_fields_": list(fields)})


SpaceConfig = _struct(
    "gmap_space_config", ("struct_size", u32), ("flags", u32), ("limit", u64), ("table_format", u32), ("split_policy", u32),
    ("huge", u32), ("dirty_scope", u32), ("tracking", u32), ("max_shadows", u32), ("shadow_bytes", u64))
Slot = _struct(
    "gmap_slot", ("struct_size", u32), ("flags", u32), ("id", u32), ("reserved", u32), ("guest_addr", u64), ("size", u64),
    ("host_addr", u64), ("final_bitmap", u64), ("final_words", u64))
VcpuConfig = _struct(
    "gmap_vcpu_config", ("struct_size", u32), ("flags", u32), ("inline_version", u32), ("reserved", u32))
FaultResult = _struct(
    "gmap_fault_result", ("struct_size", u32), ("flags", u32), ("host_addr", u64), ("leaf_size", u64), ("rights", u32),
    ("reason", u32), ("depth", u32), ("reserved", u32), ("table_addr", u64))
Range = _struct("gmap_range", ("first_page", u64), ("count", u64), ("slot", u32), ("flags", u32), base=ctypes.Structure)
Rate = _struct(
    "gmap_rate", ("struct_size", u32), ("flags", u32), ("pages", u64), ("time_ns", u64), ("pages_per_second", u64))

# Result and parameters, const left out.
PROTOTYPES = {
    "gmap_version_string": ("char*",),
    "gmap_strerror": ("char*", "int32_t"),
    "gmap_engine_create": ("int32_t", "gmap_engine_config*", "uint64_t*"),
    "gmap_engine_destroy": ("int32_t", "uint64_t"),
    "gmap_space_create": ("int32_t", "uint64_t", "gmap_space_config*", "uint64_t*"),
    "gmap_space_destroy": ("int32_t", "uint64_t"),
    "gmap_slot_set": ("int32_t", "uint64_t", "gmap_slot*"),
    "gmap_vcpu_open": ("int32_t", "uint64_t", "gmap_vcpu_config*", "uint64_t*", "gmap_view**"),
    "gmap_vcpu_close": ("int32_t", "uint64_t"),
    "gmap_fault": ("int32_t", "uint64_t", "uint64_t", "uint32_t", "gmap_fault_result*"),
    "gmap_translate": ("int32_t", "uint64_t", "uint64_t", "uint32_t", "gmap_fault_result*"),
    "gmap_read": ("int32_t", "uint64_t", "uint64_t", "void*", "size_t"),
    "gmap_write": ("int32_t", "uint64_t", "uint64_t", "void*", "size_t"),
    "gmap_dirty_harvest_ranges": (
        "int32_t", "uint64_t", "uint32_t", "uint64_t", "uint64_t", "uint32_t", "gmap_range*", "size_t", "size_t*", "uint64_t*"),
    "gmap_dirty_rate": ("int32_t", "uint64_t", "uint32_t", "gmap_rate*"),
}
STRUCTS = [SpaceConfig, Slot, VcpuConfig, FaultResult, Range, Rate]

_TYPES = {
    "char*": ctypes.c_char_p, "void*": ctypes.c_void_p, "int32_t": i32, "uint32_t": u32, "uint64_t": u64, "size_t": size_t,
    "uint64_t*": ctypes.POINTER(u64), "size_t*": ctypes.POINTER(size_t), "gmap_engine_config*": ctypes.c_void_p,
    "gmap_view**": ctypes.c_void_p,
    **{struct.__name__ + "*": ctypes.POINTER(struct) for struct in STRUCTS},
}


class GmapError(OSError):
    """A call answered with a negative status, which is -errno."""


class GuestCondition(Exception):
    """A program-interruption code for the guest; `code` is the number, `reason` gmap_fault_result's."""

    def __init__(self, code, text, reason=0):
        super().__init__(f"{text} (0x{code:02x})")
        self.code, self.reason = code, reason


def _load():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libgmapnative.so.1")
    library = ctypes.CDLL(os.environ.get("GMAPNATIVE") or (here if os.path.exists(here) else "libgmapnative.so.1"))
    for name, (result, *parameters) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = _TYPES[result], [_TYPES[parameter] for parameter in parameters]
    return library


_library = None


def call(name, *arguments):
    """Calls a function of gmap.h, and raises what it does not answer with 0."""
    global _library
    _library = _library or _load()
    status = getattr(_library, name)(*arguments)
    if not isinstance(status, int) or status == 0:
        return status
    text = f"{name}: {_library.gmap_strerror(status).decode()}"
    raise GmapError(-status, text) if status < 0 else GuestCondition(status, text)


_MADE = object()  # where the new handle goes


class _Handle:
    """Owns a handle of the library, which `with` or close() ends."""

    def __init__(self, end, create, *arguments):
        self._end, self.handle = end, 0
        made = u64()
        call(create, *(ctypes.byref(made) if argument is _MADE else argument for argument in arguments))
        self.handle = made.value

    def close(self):
        if self.handle:
            call(self._end, self.handle)
            self.handle = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Engine(_Handle):
    """The arena that spaces share."""

    def __init__(self):
        super().__init__("gmap_engine_destroy", "gmap_engine_create", None, _MADE)


class Space(_Handle):
    """A guest of `size` bytes of zeroed memory from address 0 on, whose dirty pages are tracked."""

    def __init__(self, engine, size, split_policy=0, table_format=0):
        self.size = (size + PAGE - 1) // PAGE * PAGE
        self.pages = self.size // PAGE
        segment = 1 << 20
        self.memory = mmap.mmap(-1, self.size + segment)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        config = SpaceConfig(limit=self.size - 1, split_policy=split_policy, table_format=table_format)
        super().__init__("gmap_space_destroy", "gmap_space_create", engine.handle, ctypes.byref(config), _MADE)
        self.host = (base + segment - 1) // segment * segment
        slot = Slot(id=SLOT, flags=LOG_DIRTY, size=self.size, host_addr=self.host)
        call("gmap_slot_set", self.handle, ctypes.byref(slot))

    def harvest(self, last=False):
        """What was written since the last harvest: (first page, how many) of each run. last: the guest stands still."""
        runs, found, count, next_page = (Range * 256)(), [], size_t(), u64()
        while next_page.value < self.pages:
            first = next_page.value
            call("gmap_dirty_harvest_ranges", self.handle, SLOT, first, self.pages - first, NO_REARM if last else 0, runs, len(runs),
                 ctypes.byref(count), ctypes.byref(next_page))
            found += [(run.first_page, run.count) for run in runs[:count.value]]
        return found

    def translate(self, address, access=READ):
        result = FaultResult()
        call("gmap_translate", self.handle, address, access, ctypes.byref(result))
        return result

    def read(self, address, size):
        """The host's own copy: the guest does not notice."""
        data = ctypes.create_string_buffer(size)
        call("gmap_read", self.handle, address, data, size)
        return data.raw

    def write(self, address, data):
        call("gmap_write", self.handle, address, bytes(data), len(data))

    def rate(self):
        """Pages a second that became dirty between the last two harvests."""
        rate = Rate()
        call("gmap_dirty_rate", self.handle, SLOT, ctypes.byref(rate))
        return rate.pages_per_second


class Vcpu(_Handle):
    """The guest's accesses, by the thread that opened it. Without a view: a fault leaves no section open."""

    def __init__(self, space):
        super().__init__("gmap_vcpu_close", "gmap_vcpu_open", space.handle, ctypes.byref(VcpuConfig()), _MADE, None)

    def fault(self, address, access):
        """Resolves an access; where its byte is, the size of the leaf that maps it, what it may do, what was done."""
        result = FaultResult()
        try:
            call("gmap_fault", self.handle, address, access, ctypes.byref(result))
        except GuestCondition as condition:
            condition.reason = result.reason
            raise
        return result

    def store(self, address, data):
        """Stores as the guest does: all pages are granted before the first byte."""
        parts = list(_by_page(address, len(data)))
        hosts = [self.fault(address + at, WRITE).host_addr for at, _ in parts]
        for host, (at, size) in zip(hosts, parts):
            ctypes.memmove(host, data[at:at + size], size)

    def load(self, address, size):
        return b"".join(ctypes.string_at(self.fault(address + at, READ).host_addr, part) for at, part in _by_page(address, size))


def _by_page(address, size):
    """(where, how many) of the bytes of a range, each within one page."""
    at = 0
    while at < size:
        part = min(size - at, PAGE - (address + at) % PAGE)
        yield at, part
        at += part


_SHADES = " .:-=+*#%@"


def dirty_map(pages, runs, columns=64, lines=16):
    """Lines of text: each character stands for as many pages as make it fit, darker where more of them are dirty."""
    each = max(1, -(-pages // (columns * lines)))
    counts = [0] * -(-pages // each)
    for first, count in runs:
        for page in range(first, first + count):
            counts[page // each] += 1
    shade = [_SHADES[-(-count * (len(_SHADES) - 1) // each)] for count in counts]
    drawn = ["".join(shade[at:at + columns]) for at in range(0, len(shade), columns)]
    return "\n".join(f"{at * columns * each * PAGE:12x} |{line}|" for at, line in enumerate(drawn))


def dirty_svg(pages, runs, columns=256):
    """A picture, one square a page, a line a segment of 256 pages; dirty ones are filled."""
    lines = -(-pages // columns)
    marks = "".join(
        f'<rect x="{page % columns * 4}" y="{page // columns * 4}" width="4" height="4"/>'
        for first, count in runs for page in range(first, first + count))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * 4} {lines * 4}" fill="#c03028">'
            f'<title>{sum(count for _, count in runs)} of {pages} pages are dirty</title>'
            f'<rect width="100%" height="100%" fill="#f4f2ee"/>{marks}</svg>\n')


def _demonstrate(options):
    size = options.mib << 20
    with Engine() as engine, Space(engine, size) as space, Vcpu(space) as vcpu:
        numbers = random.Random(options.seed)
        space.harvest()
        written = set()
        while len(written) < min(options.writes, space.pages):
            first = numbers.randrange(space.pages)
            for page in range(first, min(first + options.neighbours, space.pages)):
                vcpu.store(page * PAGE, b"\x01")
                written.add(page)
        runs = space.harvest()
    found = {page for first, count in runs for page in range(first, first + count)}
    if found != written:
        sys.exit(f"{len(found ^ written)} pages differ from what was written")
    if options.svg:
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(dirty_svg(size // PAGE, runs))
    if options.json:
        print(json.dumps({"pages": size // PAGE, "dirty": len(found), "runs": runs}))
    else:
        print(dirty_map(size // PAGE, runs))
        print(f"{len(found)} of {size // PAGE} pages are dirty, in {len(runs)} runs: {len(found) * 4} KiB to send,"
              f" and by segments {len({page // 256 for page in found}) * 1024} KiB")


def _prototypes():
    structs = {struct.__name__: [(name, {i32: "int32_t", u32: "uint32_t", u64: "uint64_t"}[kind], getattr(struct, name).offset)
                                 for name, kind in struct._fields_] for struct in STRUCTS}
    constants = {"GMAP_PAGE_SIZE": PAGE, "GMAP_ACCESS_READ": READ, "GMAP_ACCESS_WRITE": WRITE, "GMAP_SLOT_LOG_DIRTY": LOG_DIRTY,
                 "GMAP_HARVEST_NO_REARM": NO_REARM}
    print(json.dumps({"functions": PROTOTYPES, "structs": structs, "constants": constants}, indent=1))


def main():
    parser = argparse.ArgumentParser(description="GmapNative from Python: a dirty map, or what this file believes of gmap.h.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    shown = verbs.add_parser("map", help="write random pages of a guest, harvest, draw")
    shown.add_argument("--mib", type=int, default=64)
    shown.add_argument("--writes", type=int, default=500, help="pages")
    shown.add_argument("--neighbours", type=int, default=1, help="pages that are written together")
    shown.add_argument("--seed", type=int, default=1)
    shown.add_argument("--svg", metavar="FILE")
    shown.add_argument("--json", action="store_true")
    verbs.add_parser("prototypes", help="as JSON, for the test that compares them with gmap.h")
    options = parser.parse_args()
    if options.verb == "map":
        if options.mib < 1 or options.writes < 0 or options.neighbours < 1:
            parser.error("--mib and --neighbours are at least 1, --writes at least 0")
        _demonstrate(options)
    else:
        _prototypes()


if __name__ == "__main__":
    main()
