using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: unmap, discard, split, collapse, age, populate; and what is dirty.</summary>
internal sealed unsafe partial class Machine
{
    private const uint HarvestOr = 1;
    private const uint HarvestNoRearm = 2;

    private ulong _start;
    private ulong _size;

    /// <summary>A range, page aligned but rarely; what of it is wrong is expected.</summary>
    private ulong Range(out SpaceState? space)
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out space);
        _start = Address(space);
        byte how = _code.Byte();
        _start &= how >= 250 ? ulong.MaxValue : how % 4 == 3 ? ~0xFFFFFUL : ~0xFFFUL;
        _size = how % 4 == 0 ? (ulong)(1 + (how / 4)) << 12 : _code.Any<ulong>(Language.Sizes);
        _expected.If(space is null, Status.BadHandle);
        bool wrong = ((_start | _size) & 0xFFF) != 0 || _start + _size < _start
            || (space is not null && _size != 0 && _start + _size - 1 > space.Model.Limit);
        _expected.If(wrong, Status.Invalid);
        Feature(how % 4u, 4);
        return handle;
    }

    private int Unmap() => TakeAway(forget: false);

    private int Discard() => TakeAway(forget: true);

    private int TakeAway(bool forget)
    {
        ulong handle = Range(out SpaceState? space);
        uint flags = FlagArgument(0, 0);
        ulong* next = NumberOut(mayBeNull: true);
        Say($"{handle:x} {_start:x}+{_size:x} flags {flags:x}");
        _expected.If(AnyInside, Status.Deadlock);
        bool tight = space is { Engine.IsTight: true };
        next = tight && next is null ? (ulong*)_number.Take(8, Canary) : next; // how far it came is needed
        int good = TimesOut(space) && _size != 0 ? Status.TimedOut : 0; // no bytes, no grace
        int status = forget ? library.Discard(handle, _start, _size, flags, next) : library.Unmap(handle, _start, _size, flags, next);
        if (status == Status.NoMemory && tight && !_expected.IsBad)
        {
            That(*next >= _start && *next < _start + _size, "next after no memory");
            Take(space!, _start, *next, forget && good == 0);
            return status;
        }
        if (Check(status, good))
        {
            Same(next is null ? _start + _size : *next, _start + _size, "next");
            Take(space!, _start, _start + _size, forget && good == 0);
            if (forget && good != 0)
            {
                space!.Model.PourMarked(_start, _start + _size);
            }
        }
        return status;
    }

    private void Take(SpaceState space, ulong start, ulong end, bool forget)
    {
        if (forget)
        {
            space.Model.Discard(start, end);
            GiveBack(space, start, end);
        }
        else
        {
            space.Model.Unmap(start, end);
        }
    }

    /// <summary>Memory comes back by unmapping everything of the engine; then the fault that found none must succeed.</summary>
    private void RetryAfterFreeing(VcpuState vcpu, ulong address, uint access)
    {
        EngineState engine = vcpu.Space.Engine;
        if (AnyInside || engine.Patience == Patience.Short)
        {
            return;
        }
        foreach (SpaceState space in engine.Spaces)
        {
            Same(library.Unmap(space.Handle, 0, Math.Min(space.Model.Limit, ulong.MaxValue - 4096) + 1, 0, null), 0, "unmap of everything");
            space.Model.Unmap(0, Math.Min(space.Model.Limit, ulong.MaxValue - 4096) + 1);
        }
        // A block of 64 KB for each table and page of views is more than they can take; a segment and a page table are needed.
        GmapNative.Exports.Abi.EngineStats stats = FiguresOf(engine);
        ulong blocks = (stats.segment_table_bytes >> 15) + (stats.region_table_bytes >> 14) + ((stats.view_bytes + 4095) >> 12)
            + (stats.dense_bytes >> 16) + (stats.watch_bytes >> 12) + 4;
        bool mustFit = stats.locked_bytes == stats.committed_bytes && stats.log_bytes + (blocks << 16) <= stats.limit_bytes;
        int status = library.Fault(vcpu.Handle, address, access, null);
        That(!mustFit || status == 0, $"status {status} of a fault after memory came back");
        vcpu.IsOwn = true;
        Resolved(vcpu, status, address, (access & 2) != 0);
        AfterFault(vcpu, stays: false);
        Feature(status == 0 ? 1u : 0, 2);
    }

    private int Split()
    {
        ulong handle = Range(out SpaceState? space);
        uint flags = FlagArgument(0, 0);
        ulong* next = NumberOut(mayBeNull: true);
        Say($"{handle:x} {_start:x}+{_size:x} flags {flags:x}");
        _expected.If(space is { Splits: false }, Status.NotSupported);
        bool tight = space is { Engine.IsTight: true };
        next = tight && next is null ? (ulong*)_number.Take(8, Canary) : next;
        int status = library.Split(handle, _start, _size, flags, next);
        bool stopped = status == Status.NoMemory && tight && !_expected.IsBad;
        if (stopped || Check(status, 0))
        {
            ulong end = stopped ? *next : _start + _size;
            Same(next is null ? end : *next, end, "next");
            That(end >= _start && end <= _start + _size, "next is outside the range");
            space!.Model.SplitRange(_start, end);
        }
        return status;
    }

    private int Collapse()
    {
        ulong handle = Range(out SpaceState? space);
        uint flags = FlagArgument(0, 0);
        ulong* collapsed = NumberOut(mayBeNull: true);
        Say($"{handle:x} {_start:x}+{_size:x} flags {flags:x}");
        _expected.If(AnyInside, Status.Deadlock).If(space is { Huge: false }, Status.NotSupported);
        int status = library.Collapse(handle, _start, _size, flags, collapsed);
        if (_expected.IsBad)
        {
            Check(status, 0);
            return status;
        }
        ulong count = (ulong)space!.Model.Collapse(_start, _start + _size);
        Check(status, count != 0 && TimesOut(space) ? Status.TimedOut : 0);
        Same(collapsed is null ? count : *collapsed, count, "collapsed");
        Feature(count == 0 ? 0 : 1u, 2);
        return status;
    }

    private int Age()
    {
        ulong handle = Range(out SpaceState? space);
        uint flags = FlagArgument(0, 0);
        ulong* young = NumberOut(mayBeNull: true);
        Say($"{handle:x} {_start:x}+{_size:x} flags {flags:x}");
        int status = library.Age(handle, _start, _size, flags, young);
        if (Check(status, 0))
        {
            ulong count = (ulong)space!.Model.Age(_start, _start + _size);
            Same(young is null ? count : *young, count, "young");
            Feature(count == 0 ? 0 : 1u, 2);
        }
        return status;
    }

    private int Populate()
    {
        ulong handle = Range(out SpaceState? space);
        uint access = AccessOf();
        uint flags = FlagArgument(0, 0);
        bool tight = space is { Engine.IsTight: true };
        ulong* next = NumberOut(mayBeNull: true);
        next = tight && next is null ? (ulong*)_number.Take(8, Canary) : next;
        Say($"{handle:x} {_start:x}+{_size:x} access {access} flags {flags:x}");
        bool write = (access & 2) != 0;
        Uncrowd(space);
        int status = library.Populate(handle, _start, _size, access, flags, next);
        if (_expected.IsBad)
        {
            Check(status, 0);
            return status;
        }
        int good = 0;
        ulong at = _start;
        while (good == 0 && at < _start + _size)
        {
            bool runsOut = tight && status == Status.NoMemory && at == *next;
            Answer answer = Resolved(space!, runsOut ? status : Permits(space!.Model, at, write), at, write);
            good = answer.Status;
            ulong step = write && space!.Model.Find(at) is { Marked: not null, Log: not null } ? 0x1000 : answer.LeafSize;
            at = good != 0 ? at : Math.Min(_start + _size, (at & ~(step - 1)) + step);
        }
        Same((status, next is null ? at : *next), (good, at), "populate");
        return status;
    }

    // ---- dirty pages ------------------------------------------------------------------------------------------------------

    private ReferenceSlot? Slot(SpaceState? space, out uint id)
    {
        byte choice = _code.Byte();
        id = space is { Model.Slots.Count: > 0 } && choice < 244
            ? space.Model.Slots.Values[choice % space.Model.Slots.Count].Id : choice % 7u;
        return space?.Model.Slots.GetValueOrDefault(id);
    }

    /// <summary>A part of a slot's pages: all of it mostly, rarely too much.</summary>
    private (ulong First, ulong Count) Part(ReferenceSlot? slot) => Part(slot?.Pages);

    private (ulong First, ulong Count) Part(ulong? slotPages)
    {
        ulong pages = slotPages ?? 64;
        byte how = _code.Byte();
        Feature(how < 128 ? 0 : how % 8u, 8);
        if (how < 128)
        {
            return (0, pages);
        }
        uint at = _code.Word();
        ulong first = at % (pages + 1);
        return (how % 8) switch
        {
            0 => (first, pages - first),
            1 => (first & ~63UL, pages - (first & ~63UL)),
            2 => (first & ~63UL, Math.Min(64, pages - (first & ~63UL))),
            3 => (first, Math.Min(1, pages - first)),
            4 => (first, (at >> 3) % (pages - first + 1)),
            5 => (first, 0),
            6 => (at % 2 == 0 ? pages + 1 : ulong.MaxValue, at % 3),
            _ => (first, at % 2 == 0 ? pages - first + 1 : ulong.MaxValue - (at % 64)),
        };
    }

    private static int WordsOf(ulong pages) => (int)((pages + 63) / 64);

    /// <summary>A bitmap with some bits, a word for each 64 pages; of a count that no slot has only the first ones.</summary>
    private ulong* Bits(ulong count, bool isNull)
    {
        byte kind = _code.Byte();
        int words = count > 1 << 16 ? 1 : WordsOf(count);
        var bitmap = (ulong*)_words.Take(words * 8, kind % 4 == 0 ? (byte)0xFF : (byte)0);
        ulong some = _code.Spread();
        for (int i = 0; kind % 4 > 1 && i < words; i++)
        {
            bitmap[i] = kind % 4 == 3 ? some << (i % 8) : some & (some >> 7) & (0xFFUL << (i % 8 * 8));
        }
        return isNull ? null : bitmap;
    }

    private void ExpectRange(SpaceState? space, ReferenceSlot? slot, ulong first, ulong count)
    {
        bool outside = slot is not null && (first > slot.Pages || count > slot.Pages - first);
        _expected.If(space is null, Status.BadHandle).If(outside, Status.Invalid)
            .If(space is not null && slot?.Log is null, Status.NoEntry);
    }

    private int DirtyGet()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        (ulong first, ulong count) = Part(slot);
        uint flags = FlagArgument(0, 0);
        ulong* bitmap = Bits(count, _code.Byte() % 8 == 7);
        ulong* dirty = NumberOut(mayBeNull: true);
        Say($"{handle:x} slot {id} {first}+{count}");
        ExpectRange(space, slot, first, count);
        int status = library.DirtyGet(handle, id, first, count, flags, bitmap, dirty);
        if (Check(status, 0))
        {
            HashSet<ulong> model = space!.Model.Get(slot!, slot!.FirstPage + first, count);
            Same(dirty is null ? (ulong)model.Count : *dirty, (ulong)model.Count, "dirty pages");
            if (bitmap is not null)
            {
                SamePages(PagesOf(new(bitmap, WordsOf(count)), slot.FirstPage + first), model, "get");
            }
        }
        return status;
    }

    private int DirtyClear()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        (ulong first, ulong count) = Part(slot);
        uint flags = FlagArgument(0, 0);
        bool isNull = _code.Byte() >= 250;
        ulong* bitmap = Bits(count, isNull);
        Say($"{handle:x} slot {id} {first}+{count}");
        ExpectRange(space, slot, first, count);
        bool aligned = first % 64 == 0 && (count % 64 == 0 || (slot is not null && first + count == slot.Pages));
        _expected.If(isNull || (slot is not null && !aligned), Status.Invalid).If(AnyInside, Status.Deadlock);
        if (_expected.IsBad)
        {
            int bad = library.DirtyClear(handle, id, first, count, flags, bitmap);
            Check(bad, 0);
            return bad;
        }
        ulong begin = slot!.FirstPage + first;
        HashSet<ulong> pages = [.. PagesOf(new(bitmap, WordsOf(count)), begin).Where(page => page < begin + count)];
        HashSet<ulong> dirty = space!.Model.Get(slot, begin, count);
        bool waits = pages.Overlaps(dirty);
        int status = library.DirtyClear(handle, id, first, count, flags, bitmap);
        Check(status, waits && TimesOut(space) ? Status.TimedOut : 0);
        space.Counts.Harvests++;
        if (status == 0)
        {
            space.Model.Clear(slot, pages);
        }
        else
        {
            space.Model.TakeIntoLog(slot, pages);
        }
        return status;
    }

    private int DirtyHarvest()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        (ulong first, ulong count) = Part(slot);
        uint flags = FlagArgument(_code.Byte() switch { < 200 => 0u, < 225 => 1u, < 245 => 2u, _ => 3u }, 3);
        byte odd = _code.Byte();
        int words = count > 1 << 16 ? 4 : WordsOf(count);
        int given = odd is 250 or 251 && words > 0 ? words - 1 : odd == 252 ? words + 1 : words;
        var bitmap = (ulong*)_words.Take(given * 8, 0x11);
        bitmap = odd == 253 ? null : bitmap;
        ulong* dirty = NumberOut(mayBeNull: true, _second);
        Say($"{handle:x} slot {id} {first}+{count} flags {flags:x} words {given}");
        ExpectRange(space, slot, first, count);
        _expected.If(bitmap is null, Status.Invalid).If(given < words || count > 1 << 16, Status.NoBuffer).If(AnyInside, Status.Deadlock);
        HashSet<ulong> expected = _expected.IsBad ? [] : space!.Model.Get(slot!, slot!.FirstPage + first, count);
        int good = expected.Count != 0 && TimesOut(space) ? Status.TimedOut : 0;
        int status = library.DirtyHarvest(handle, id, first, count, flags, bitmap, (nuint)given, dirty);
        bool delivered = Check(status, good) && status == 0;
        if (!delivered)
        {
            That(bitmap is null || !new ReadOnlySpan<byte>(bitmap, given * 8).ContainsAnyExcept((byte)0x11), "bits with an error");
        }
        if (_expected.IsBad)
        {
            return status;
        }
        space!.Counts.Harvests++;
        if (delivered)
        {
            Delivered(space, slot!, first, count, flags, new(bitmap, words), dirty);
        }
        else if ((flags & HarvestNoRearm) == 0)
        {
            space.Model.TakeIntoLog(slot!, [.. expected]);
        }
        return status;
    }

    private static void Delivered(
        SpaceState space, ReferenceSlot slot, ulong first, ulong count, uint flags, ReadOnlySpan<ulong> bitmap, ulong* dirty)
    {
        ulong begin = slot.FirstPage + first;
        HashSet<ulong> model = space.Model.Harvest(slot, begin, count, (flags & HarvestNoRearm) == 0);
        space.Counts.Harvested += model.Count;
        Same(dirty is null ? (ulong)model.Count : *dirty, (ulong)model.Count, "dirty pages");
        if ((flags & HarvestOr) != 0)
        {
            for (int i = 0; i < bitmap.Length * 64; i++)
            {
                _ = (0x1111111111111111UL >> (i % 64) & 1) != 0 && model.Add(begin + (ulong)i); // what was in the buffer
            }
        }
        SamePages(PagesOf(bitmap, begin), model, "harvest");
    }
}
