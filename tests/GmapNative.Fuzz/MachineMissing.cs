using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Pages that come later, of the kind that the kernel knows nothing of.</summary>
internal sealed unsafe partial class Machine
{
    private const ulong MostArrivals = 16; // pages of one call

    private int AttachMissing(ulong handle, SpaceState? space, ReferenceSlot? slot, uint id)
    {
        byte how = _code.Byte();
        ulong words = slot is null ? 0 : (slot.Pages + 63) / 64;
        ulong* missing = how % 2 == 0 ? null : Bits(slot?.Pages ?? 0, isNull: false);
        BackingConfig config = new()
        {
            flags = Flags(0),
            kind = 3,
            userfaultfd = (int)Reserved(),
            missing = missing,
            missing_words = missing is null ? Reserved() : words - (how % 32 == 31 ? 1UL : 0),
        };
        BackingConfig* given = Input(config, out BackingConfig seen);
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x} slot {id}, missing {(seen.missing is null ? "all" : "some")} of {words} words: {seen.missing_words}");
        if (_backings.Count >= MostBackings)
        {
            return Skipped;
        }
        bool all = seen.missing is null;
        bool bad = seen.flags != 0 || seen.userfaultfd != 0 || seen.kind != 3 || (all && seen.missing_words != 0);
        _expected.If(space is null, Status.BadHandle).If(bad, Status.Invalid).If(AnyInside, Status.Deadlock)
            .If(space is not null && slot is null, Status.NoEntry).If(slot is { IsPlain: false }, Status.Busy)
            .If(slot is not null && !all && seen.missing_words < words, Status.NoBuffer)
            .If(slot is not null && space!.Model.IsRestricted(slot), Status.Busy)
            .Maybe(slot is not null && space!.Model.MayBeShadowed(slot), Status.Busy)
            .Maybe(space is { Engine.IsTight: true }, Status.NoMemory);
        int status = library.BackingAttach(handle, id, given, made);
        if (!Check(status, TimesOut(space) ? Status.TimedOut : 0) || status is not (0 or Status.TimedOut))
        {
            That(!IsWritten(made), "a handle was given for a backing that was not attached");
            return status;
        }
        HashSet<ulong> pages = [.. PagesOf(slot!)];
        pages.IntersectWith(all ? pages : PagesOf(new(seen.missing, (int)words), slot!.FirstPage));
        space!.Model.AttachMissing(slot!, pages);
        ulong host = slot!.Host;
        var backing = new BackingState { Handle = *made, Space = space, Slot = id, Host = host, Size = slot.Size, IsOfMissing = true };
        _backings.Add(backing);
        space.Backings.Add(backing);
        Born(backing.Handle, backing);
        Feature(all ? 0 : 1u, 2);
        return status;
    }

    private static IEnumerable<ulong> PagesOf(ReferenceSlot slot)
    {
        for (ulong page = slot.FirstPage; page < slot.FirstPage + slot.Pages; page++)
        {
            yield return page;
        }
    }

    private int DetachMissing(ulong handle, BackingState backing)
    {
        ReferenceSlot? slot = backing.IsAttached ? backing.Space.Model.Slots[backing.Slot] : null;
        _expected.Clear().If(slot is null, Status.BadHandle).If(AnyInside, Status.Deadlock).If(slot?.Missing!.Count > 0, Status.Busy);
        int status = library.BackingDetach(handle);
        if (Check(status, 0))
        {
            backing.Space.Model.DetachMissing(slot!);
            backing.IsAttached = false;
        }
        if (!backing.IsAttached)
        {
            _backings.Remove(backing);
            Gone(handle);
        }
        return status;
    }

    /// <summary>Brings pages, asks which lack, or which are wanted.</summary>
    private int Arrive(ulong handle, BackingState? backing, byte how)
    {
        ReferenceSlot? slot = backing is { IsOfMissing: true, IsAttached: true } ? backing.Space.Model.Slots[backing.Slot] : null;
        (ulong first, ulong count) = Part(slot);
        _expected.If(backing is null or { IsOfMissing: true, IsAttached: false }, Status.BadHandle)
            .If(backing is { IsOfMissing: false }, Status.Invalid);
        Say($"{handle:x} {how} {first}+{count}");
        return (how % 4) switch
        {
            0 => LookForMissing(handle, slot, first, count),
            1 => AskForWanted(handle, slot, how),
            2 => WaitForPage(handle, slot, first),
            _ => Provide(handle, slot, first, count, how),
        };
    }

    private int Provide(ulong handle, ReferenceSlot? slot, ulong first, ulong count, byte how)
    {
        count = Math.Min(count, MostArrivals);
        ulong address = ((slot?.Start ?? 0) + (first << GuestAddress.PageShift)) | (how >= 250 ? 8u : 0u);
        if (slot is not null && !guest.Has(slot.Host))
        {
            return Skipped; // would touch what the host did not map
        }
        bool outside = slot is not null && (first >= slot.Pages || count > slot.Pages - first);
        bool bad = (address & (GuestAddress.PageSize - 1)) != 0;
        _expected.If(bad, Status.Invalid).If(outside, Status.Fault);
        byte* data = _data.Take((int)(count << GuestAddress.PageShift), Canary);
        ulong[] pages = slot is null || _expected.IsBad ? [] : [.. PagesOf(slot).Skip((int)first).Take((int)count)];
        ulong[] coming = [.. pages.Where(page => slot!.Missing!.Contains(page))];
        for (int i = 0; i < pages.Length; i++)
        {
            // What is there already: nobody's idea of the memory changes, and a page that comes twice would show.
            ulong host = slot!.Host + ((first + (ulong)i) << GuestAddress.PageShift);
            bool comes = slot.Missing!.Contains(pages[i]);
            new Span<byte>(data + (i << GuestAddress.PageShift), (int)GuestAddress.PageSize).Fill(0xEE);
            if (comes)
            {
                Buffer.MemoryCopy((void*)host, data + (i << GuestAddress.PageShift), GuestAddress.PageSize, GuestAddress.PageSize);
            }
        }
        Dictionary<ulong, byte[]> before = pages.Length == 0 ? [] : Contents();
        int status = library.BackingProvide(handle, address, data, count << GuestAddress.PageShift);
        if (Check(status, coming.Length == pages.Length ? 0 : Status.Exists) && pages.Length != 0)
        {
            slot!.Missing!.ExceptWith(coming);
            foreach (ulong page in coming)
            {
                Stored(slot.Host + ((page - slot.FirstPage) << GuestAddress.PageShift)); // a kernel that tracks the same memory sees it
            }
            CheckMemory(before, before, []);
            Feature(coming.Length == 0 ? 0u : coming.Length == pages.Length ? 1u : 2u, 3);
        }
        return status;
    }

    private int LookForMissing(ulong handle, ReferenceSlot? slot, ulong first, ulong count)
    {
        bool outside = slot is not null && (first > slot.Pages || count > slot.Pages - first);
        _expected.If(outside, Status.Invalid);
        ulong* bitmap = Bits(count, isNull: false);
        ulong* missing = NumberOut(mayBeNull: true);
        int status = library.BackingMissing(handle, first, count, bitmap, missing);
        if (Check(status, 0))
        {
            ulong begin = slot!.FirstPage + first;
            ulong[] lacks = [.. PagesOf(new(bitmap, WordsOf(count)), begin)];
            ulong[] should = [.. slot.Missing!.Where(page => page >= begin && page < begin + count).Order()];
            That(lacks.Order().SequenceEqual(should), "pages that have not come");
            Same(missing is null ? (ulong)should.Length : *missing, (ulong)should.Length, "how many have not come");
        }
        return status;
    }

    /// <summary>Each is one that has not come. That each is told once, tests/native/missing.c sees.</summary>
    private int AskForWanted(ulong handle, ReferenceSlot? slot, byte how)
    {
        const int room = 4;
        uint flags = FlagArgument(how % 8 == 1 ? 1u : 0u, 1);
        ulong* addresses = (ulong*)_second.Take(room * sizeof(ulong), Canary);
        ulong* count = NumberOut(mayBeNull: false);
        _expected.If((flags & ~1u) != 0, Status.Invalid).If(AnyInside, Status.Deadlock);
        int status = library.BackingWanted(handle, 0, flags, addresses, room, count);
        if (Check(status, 0))
        {
            That(*count <= room, "more were wanted than there is room for");
            for (ulong i = 0; i < *count; i++)
            {
                That(slot!.Missing!.Contains(addresses[i] >> GuestAddress.PageShift), "a page is wanted that is there");
            }
            Feature(*count == 0 ? 0 : 1u, 2);
        }
        return status;
    }

    private int WaitForPage(ulong handle, ReferenceSlot? slot, ulong first)
    {
        ulong address = (slot?.Start ?? 0) + (first << GuestAddress.PageShift);
        bool lacks = slot?.Missing!.Contains(address >> GuestAddress.PageShift) is true;
        _expected.If(slot is not null && first >= slot.Pages, Status.Fault).If(AnyInside, Status.Deadlock);
        int status = library.BackingWait(handle, address, 0);
        Check(status, lacks ? Status.TimedOut : 0);
        return status;
    }
}
