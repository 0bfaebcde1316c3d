using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: slots.</summary>
internal sealed unsafe partial class Machine
{
    private const uint ReadOnlyFlag = 1;
    private const uint LogFlag = 2;
    private const uint InitiallyFlag = 4;
    private static readonly uint[] s_slotFlags =
        [LogFlag, LogFlag, 0, LogFlag, LogFlag | InitiallyFlag, LogFlag, ReadOnlyFlag, ReadOnlyFlag | LogFlag, InitiallyFlag, 7, LogFlag];

    /// <summary>A slot is made, or moved and resized.</summary>
    private int SetSlot()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        uint id = SlotId();
        ulong start = (_code.Any<ulong>(Language.Bases) << 20) + (_code.Any<ulong>(Language.Offsets) << 12);
        ulong size = _code.Any<ulong>(Language.SlotPages) << 12;
        uint place = _code.Byte();
        ulong host = (place % 32 == 31 ? GuestArea.Nowhere : guest.Start) + ((place % 8) << 20);
        host += place / 8 % 4 == 0 ? place / 32 % 8 * 0x1000 : start & 0xFFFFF; // ragged, or leaves fit
        switch (_code.Byte())
        {
            case 240:
                start += 0x800;
                break;
            case 241:
                size += 1;
                break;
            case 242:
                host += 0x10;
                break;
            case 243:
                start = ulong.MaxValue << 12;
                break;
            case 244:
                size = ulong.MaxValue << 12;
                break;
            case 245:
                host = ulong.MaxValue << 12;
                break;
            case 246:
                start = (1UL << 42) - 0x1000;
                break;
            case 247:
                start = 1UL << 63;
                break;
        }
        return Set(handle, space, id, start, size, host, _code.Any<uint>(s_slotFlags));
    }

    /// <summary>Logging and the right to write of a slot that is there.</summary>
    private int ChangeSlot()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        uint id = SlotId();
        ReferenceSlot slot = space?.Model.Slots.GetValueOrDefault(id) ?? new ReferenceSlot(id, 0, 0x100000, guest.Start, false);
        return Set(handle, space, id, slot.Start, slot.Size, slot.Host, _code.Any<uint>(s_slotFlags));
    }

    private int DeleteSlot()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        return Set(handle, space, SlotId(), _code.Byte() * 0x1000UL, 0, 0, 0);
    }

    private uint SlotId()
    {
        byte choice = _code.Byte();
        return choice == 255 ? uint.MaxValue : choice % 5u;
    }

    private int Set(ulong handle, SpaceState? space, uint id, ulong start, ulong size, ulong host, uint flags)
    {
        uint asked = _code.Byte();
        SlotConfig config = new()
        {
            flags = Flags(flags),
            id = id,
            reserved = Reserved(),
            guest_addr = start,
            size = size,
            host_addr = host,
        };
        ReferenceSlot? old = space?.Model.Slots.GetValueOrDefault(id);
        ulong words = ((old?.Pages ?? 64) + 63) / 64;
        words = asked % 16 == 15 ? words - 1 : asked % 16 == 14 ? words + 3 : words;
        ulong* final = asked % 2 == 0 ? null : (ulong*)_words.Take((int)words * 8, Canary);
        config.final_bitmap = final;
        config.final_words = words;
        SlotConfig* given = Input(config, out SlotConfig seen);
        old = space?.Model.Slots.GetValueOrDefault(seen.id);
        Say($"space {handle:x} id {seen.id} {seen.guest_addr:x}+{seen.size:x} host {seen.host_addr:x} flags {seen.flags:x} "
            + $"final {(seen.final_bitmap is null ? "-" : seen.final_words)}");
        ExpectSlot(space, old, seen);
        bool keeps = old is not null && (old.Start, old.Size, old.Host) == (seen.guest_addr, seen.size, seen.host_addr);
        bool readOnly = (seen.flags & ReadOnlyFlag) != 0, initially = (seen.flags & InitiallyFlag) != 0;
        bool log = Logs(space, seen, out ReferenceSlot[] others);
        bool changes = keeps && (log != old!.Log is not null || readOnly != old.ReadOnly);
        bool begins = keeps && log && old is { Log: null, Kernel: null };
        bool armsNothing = begins && readOnly == old!.ReadOnly && initially;
        bool waits = old is not null && (changes || !keeps) && !armsNothing;
        waits |= others.Length != 0 && (!log || !initially || others.Any(other => other.Kernel is not null));
        _expected.Maybe(space is { Engine.IsTight: true } && seen.size != 0 && log && (!keeps || old!.Log is null), Status.NoMemory);
        Feature((keeps ? 1u : 0) + (log ? 2u : 0) + (readOnly ? 4u : 0), 8);
        Feature((old?.Log is null ? 0 : 1u) + (old?.Kernel is null ? 0 : 2u), 4);
        int good = waits && TimesOut(space) ? Status.TimedOut : 0;
        int status = library.SlotSet(handle, given);
        HashSet<ulong>? last = Check(status, good) ? Changed(space!, old, seen, keeps, status) : null;
        CheckFinal(old, seen, last);
        return status;
    }

    /// <summary>Whether the slot will log; <paramref name="others"/> begin or stop with it, by the space's dirty scope.</summary>
    private static bool Logs(SpaceState? space, in SlotConfig seen, out ReferenceSlot[] others)
    {
        uint id = seen.id;
        bool asks = seen.size != 0 && (seen.flags & LogFlag) != 0;
        others = space is { Model.GlobalDirty: true } ? [.. space.Model.Slots.Values.Where(slot => slot.Id != id)] : [];
        bool othersAsk = others.Any(slot => slot.Asks);
        bool logged = othersAsk || (others.Length != 0 && space!.Model.Slots.GetValueOrDefault(id) is { Asks: true });
        bool logs = asks || othersAsk;
        others = logs != logged ? others : [];
        return logs;
    }

    private static void EveryPageOfThoseThatBegan(ReferenceSpace model)
    {
        foreach (uint id in model.Began.Where(id => model.Slots[id].Kernel is null))
        {
            model.EveryPageDirty(id);
        }
    }

    private void ExpectSlot(SpaceState? space, ReferenceSlot? old, in SlotConfig seen)
    {
        ulong last = seen.guest_addr + seen.size - 1;
        bool unknown = (seen.flags & ~7u) != 0 || seen.reserved != 0 || seen.id == uint.MaxValue; // that is GMAP_ALL_SLOTS
        _expected.If(space is null, Status.BadHandle).If(unknown, Status.Invalid).If(AnyInside, Status.Deadlock);
        _expected.If(old?.Log is not null && seen.final_bitmap is not null && seen.final_words < (old.Pages + 63) / 64, Status.NoBuffer);
        if (space is null || seen.size == 0)
        {
            _expected.If(space is not null && old is null, Status.NoEntry);
            return;
        }
        bool moves = old is not null && (old.Start, old.Size, old.Host) != (seen.guest_addr, seen.size, seen.host_addr);
        ulong firstByte = seen.guest_addr;
        bool bad = ((seen.guest_addr | seen.size | seen.host_addr) & 0xFFF) != 0 || last < seen.guest_addr
            || last > space.Model.Limit || last == ulong.MaxValue || seen.host_addr + seen.size - 1 < seen.host_addr
            || (seen.flags & (LogFlag | InitiallyFlag)) == InitiallyFlag;
        uint id = seen.id;
        _expected.If(bad, Status.Invalid).If(moves && !old!.IsPlain, Status.Busy)
            .If(space.Model.Slots.Values.Any(one => one.Id != id && one.Start <= last && firstByte < one.End), Status.Exists);
    }

    /// <summary>The model's slot; the last dirty pages, where some were asked for.</summary>
    private HashSet<ulong>? Changed(SpaceState space, ReferenceSlot? old, in SlotConfig seen, bool keeps, int status)
    {
        bool wantsFinal = seen.final_bitmap is not null && old?.Log is not null;
        bool log = (seen.flags & LogFlag) != 0, readOnly = (seen.flags & ReadOnlyFlag) != 0;
        bool initially = (seen.flags & InitiallyFlag) != 0;
        HashSet<ulong>? last = null;
        if (keeps)
        {
            HashSet<ulong> final = space.Model.Change(old!, readOnly, log, initially, wantsFinal);
            last = wantsFinal && space.Model.Slots[seen.id].Log is null ? final : null;
            if (status == Status.TimedOut)
            {
                EveryPageOfThoseThatBegan(space.Model);
            }
            return last;
        }
        if (old is not null)
        {
            last = space.Model.Delete(old, moves: seen.size != 0);
            last = wantsFinal ? last : null;
            space.Backings.FindAll(one => one.Slot == old.Id).ForEach(one => one.IsAttached = false);
        }
        if (seen.size != 0)
        {
            _shown.Add((space, seen.id, seen.guest_addr, seen.host_addr, seen.size));
            space.Model.Create(
                new ReferenceSlot(seen.id, seen.guest_addr, seen.size, seen.host_addr, readOnly) { Log = log ? [] : null }, initially);
            if (status == Status.TimedOut)
            {
                EveryPageOfThoseThatBegan(space.Model);
            }
            if (status == Status.TimedOut && old is not null)
            {
                space.Model.EveryPageDirty(seen.id);
            }
        }
        return last;
    }

    private static void CheckFinal(ReferenceSlot? old, in SlotConfig seen, HashSet<ulong>? last)
    {
        if (seen.final_bitmap is null)
        {
            return;
        }
        var words = new ReadOnlySpan<ulong>(seen.final_bitmap, (int)seen.final_words);
        if (last is null)
        {
            That(!words.ContainsAnyExcept(0xC5C5C5C5C5C5C5C5UL), "a final bitmap was written where none is due");
            return;
        }
        int used = (int)((old!.Pages + 63) / 64);
        SamePages(PagesOf(words[..used], old.FirstPage), last, "final bitmap");
        That(!words[used..].ContainsAnyExcept(0xC5C5C5C5C5C5C5C5UL), "words behind a final bitmap were written");
    }

    /// <summary>Guest pages of a bitmap.</summary>
    private static HashSet<ulong> PagesOf(ReadOnlySpan<ulong> bitmap, ulong first)
    {
        HashSet<ulong> pages = [];
        for (int i = 0; i < bitmap.Length; i++)
        {
            for (ulong bits = bitmap[i]; bits != 0; bits &= bits - 1)
            {
                pages.Add(first + ((ulong)i * 64) + (ulong)System.Numerics.BitOperations.TrailingZeroCount(bits));
            }
        }
        return pages;
    }
}
