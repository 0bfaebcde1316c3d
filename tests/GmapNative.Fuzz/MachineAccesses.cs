using System;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: the inline header's accesses, host reads and writes, marks; and the addresses of all operations.</summary>
internal sealed unsafe partial class Machine
{
    private const int LargestCopy = 0x3000;

    private ulong _stamp;

    /// <summary>An address: in a slot mostly, often at an edge of something.</summary>
    private ulong Address(SpaceState? space)
    {
        byte kind = _code.Byte();
        uint where = _code.Word();
        uint offset = _code.Byte() * 16u;
        ReferenceSpace? model = space?.Model;
        ReferenceSlot slot = model is { Slots.Count: > 0 }
            ? model.Slots.Values[kind / 16 % model.Slots.Count] : new ReferenceSlot(0, where << 12, 1 << 20, 0, false);
        ulong page = slot.Start + (where % slot.Pages << 12);
        Feature(kind % 16u < 10 ? 0 : kind % 16u, 16);
        return (kind % 16) switch
        {
            < 5 => slot.Start + (where % Math.Min(slot.Pages, 6) << 12) + offset, // few pages, so that they are met again
            < 8 => page + offset,
            8 => slot.End - 1 - (offset % 8),
            9 => slot.Start + (offset % 8),
            10 => slot.End + offset,
            11 => slot.Start - 1 - offset,
            12 => (page & ~0xFFFFFUL) + (where % 2 == 0 ? 0UL : 0xFFFFF) + (where % 4 == 3 ? 1UL : 0), // around a segment's border
            13 => (page & ~0x7FFFUL) + (where % 2 == 0 ? 0x7FF8UL : 0x8000),                           // and a line's
            14 => ((model?.Limit ?? 0) & ~0xFFFUL) + (where % 3 << 12) - 0x1000 + offset,
            _ => OddAddress(where) + offset,
        };
    }

    private static ulong OddAddress(uint where) => (where % 8) switch
    {
        0 => (1UL << 31) - 0x1000,
        1 => 1UL << 31,
        2 => 1UL << 42,
        3 => (1UL << 42) - 0x1000,
        4 => ulong.MaxValue - 0xFFF,
        5 => 1UL << 63,
        6 => (ulong)where << 20,
        _ => (ulong)where << 12,
    };

    /// <summary>Stores for the guest: every slot that shows this memory by the kernel's eyes sees it.</summary>
    private void Store(ulong host, SpaceState? by = null, ulong address = 0)
    {
        host &= ~7UL;
        if (guest.Has(host))
        {
            *(ulong*)host = ++_stamp; // the driver's own memory
            Stored(host, by, address);
        }
    }

    private void Stored(ulong host, SpaceState? by = null, ulong address = 0)
    {
        StoredToTables(host, by, address);
        _stored.Add(host & ~(GuestAddress.PageSize - 1));
        foreach (SpaceState space in _spaces)
        {
            space.Model.Stored(host);
        }
    }

    private int InlineLoad()
    {
        VcpuState? vcpu = Viewed();
        ulong address = AddressFor(vcpu);
        byte then = _code.Byte();
        bool stays = then % 4 == 3;
        Say($"{vcpu?.Handle:x} at {address:x}");
        if (vcpu?.Shadow is not null)
        {
            return InlineNested(vcpu, address, write: false, then);
        }
        if (vcpu is null || !TryBeInside(vcpu))
        {
            return Skipped;
        }
        bool asks = vcpu.Inline!.Load(address, out nint host) != 0;
        Answer answer = vcpu.Space.Model.Translate(address, write: false);
        bool goes = vcpu is { Speaks: true, IsOpen: true } && answer.Status == 0;
        Same(asks, !goes, "asks");
        Same(asks ? 0 : (ulong)host, goes ? answer.Host : 0, "host address");
        AfterFault(vcpu, stays);
        Feature(vcpu.IsOpen ? 0 : 1u, 2);
        return asks ? 1 : 0;
    }

    private bool TryBeInside(VcpuState vcpu)
    {
        if (!vcpu.IsInside)
        {
            vcpu.Inline!.Enter();
        }
        return vcpu.IsInside;
    }

    /// <summary>A store as a host makes it: the header grants, or says that the library must be asked.</summary>
    private int InlineStore()
    {
        VcpuState? vcpu = Viewed();
        ulong address = AddressFor(vcpu) & ~7UL;
        byte then = _code.Byte();
        Say($"{vcpu?.Handle:x} at {address:x}");
        if (vcpu?.Shadow is not null)
        {
            return InlineNested(vcpu, address, write: true, then);
        }
        Uncrowd(vcpu?.Space, vcpu);
        if (vcpu is null || !TryBeInside(vcpu))
        {
            return Skipped;
        }
        ReferenceSpace model = vcpu.Space.Model;
        Answer before = model.Translate(address, write: true);
        bool grantable = before is { Status: Status.Protection, Reason: GmapNative.Space.FaultReason.NeedsFault }
            && (model.HasTable(address) || model.ByGeneration);
        bool goes = vcpu is { Speaks: true, IsOpen: true } && (before.Status == 0 || grantable);
        bool asks = vcpu.Inline!.Store(address, out nint host) != 0;
        goes &= !asks || before.Status == 0 || !model.MayHaveMarkers(address); // what is armed for shadows is not the header's to grant
        Same(asks, !goes, "asks");
        int status = 1;
        if (goes)
        {
            long granted = model.PagesGranted;
            long dirty = model.DirtyOf(address);
            Answer answer = model.Fault(address, write: true);
            Same((ulong)host, answer.Host, "host address");
            vcpu.Space.Counts.GrantedInline += model.PagesGranted - granted;
            vcpu.Granted += model.ByGeneration ? model.DirtyOf(address) - dirty : model.PagesGranted - granted;
            Store(answer.Host, vcpu.Space, address);
            status = 0;
        }
        else if (vcpu.IsOpen && then % 8 != 7)
        {
            bool own = vcpu.IsOwn;
            VcpuState asking = vcpu;
            status = On(own, () => library.Fault(asking.Handle, address, 2, null));
            Answer answer = Resolved(vcpu, status, address, write: true);
            if (status == 0)
            {
                Store(answer.Host, vcpu.Space, address);
            }
        }
        Feature(asks ? 1u : 0, 2);
        AfterFault(vcpu, then % 4 == 3);
        return status;
    }

    // ---- the host's own ---------------------------------------------------------------------------------------------------

    /// <summary>The condition that a copy of the range ends with, first byte first.</summary>
    private static int Copies(ReferenceSpace model, ulong address, ulong size, bool write)
    {
        for (ulong at = address, left = size; left != 0;)
        {
            ReferenceSlot? slot = at >= address ? model.Find(at) : null;
            if (slot is null)
            {
                return at >= address ? model.NoSlot(at).Status : Status.Addressing;
            }
            if (write && slot.ReadOnly)
            {
                return Status.Protection;
            }
            ulong length = Math.Min(left, slot.End - at);
            left -= length;
            at += length;
        }
        return 0;
    }

    private int HostRead() => Copy(write: false);

    private int HostWrite() => Copy(write: true);

    private int Copy(bool write)
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ulong address = Address(space);
        ulong size = _code.Byte() switch { < 200 => 8, < 230 => _code.Any<ulong>(Language.Sizes), var other => other * 57UL };
        bool isNull = _code.Byte() >= 250;
        Say($"{handle:x} {address:x}+{size:x} null {isNull}");
        Uncrowd(space);
        int good = space is null ? 0 : Copies(space.Model, address, size, write);
        good = good == 0 && size != 0 && space?.Model.Lacks(address, size) is true ? Status.TryAgain : good;
        bool wild = space is not null && space.Model.Slots.Values.Any(
            slot => !guest.Has(slot.Host) && slot.Start < address + Math.Max(size, 1) && address < slot.End);
        if (wild || (good == 0 && size > LargestCopy))
        {
            return Skipped; // would touch what the host did not map, or more than the buffer has
        }
        byte* data = isNull ? null : _data.Take((int)Math.Min(size, LargestCopy), (byte)++_stamp);
        _expected.If(space is null, Status.BadHandle).If(isNull && size != 0, Status.Invalid);
        int status = write ? library.Write(handle, address, data, (nuint)size) : library.Read(handle, address, data, (nuint)size);
        if (!Check(status, good) || status != 0)
        {
            return status;
        }
        for (ulong done = 0; done < size; done++)
        {
            ReferenceSlot slot = space!.Model.Find(address + done)!;
            ulong host = slot.Host + (address + done - slot.Start);
            if (data[done] != *(byte*)host && !_expected.IsBad)
            {
                throw new DifferenceException($"data at {address + done:x}");
            }
            if (write && (done == 0 || (host & 0xFFF) == 0))
            {
                Stored(host, space, address + done);
            }
        }
        if (write && size != 0)
        {
            space!.Model.Mark(address, size);
        }
        return status;
    }

    private int Mark()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ulong address = Address(space);
        ulong size = _code.Any<ulong>(Language.Sizes);
        Say($"{handle:x} {address:x}+{size:x}");
        bool wraps = size != 0 && address + size - 1 < address;
        bool all = space is not null && Copies(space.Model, address, size, write: false) == 0;
        _expected.If(space is null, Status.BadHandle).If(wraps, Status.Invalid).If(space is not null && !all, Status.Fault);
        int status = library.Mark(handle, address, size);
        if (Check(status, 0))
        {
            space!.Model.Mark(address, size);
        }
        return status;
    }

    private int MarkBitmap()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        (ulong first, ulong count) = Part(slot);
        bool isNull = _code.Byte() >= 250;
        ulong* bitmap = Bits(count, isNull);
        Say($"{handle:x} slot {id} {first}+{count} null {isNull}");
        bool outside = slot is not null && (first > slot.Pages || count > slot.Pages - first);
        _expected.If(space is null, Status.BadHandle).If(isNull || outside, Status.Invalid)
            .If(space is not null && slot is null, Status.NoEntry);
        int status = library.MarkBitmap(handle, id, first, count, bitmap);
        if (Check(status, 0))
        {
            ulong begin = slot!.FirstPage + first;
            slot.Pour(PagesOf(new(bitmap, WordsOf(count)), begin).Where(page => page < begin + count));
        }
        return status;
    }

    private int MarkBatch()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        int n = _code.Byte() % 6;
        bool isNull = _code.Byte() >= 250;
        ulong* addresses = isNull ? null : (ulong*)_data.Take(n * 8, Canary);
        for (int i = 0; i < n && !isNull; i++)
        {
            addresses[i] = Address(space);
        }
        Say($"{handle:x} {n} addresses, null {isNull}");
        _expected.If(space is null, Status.BadHandle).If(isNull && n != 0, Status.Invalid);
        int status = library.MarkBatch(handle, addresses, (nuint)n);
        for (int i = 0; Check(status, 0) && i < n; i++)
        {
            space!.Model.Mark(addresses[i] & ~(GuestAddress.PageSize - 1), 1);
        }
        return status;
    }
}
