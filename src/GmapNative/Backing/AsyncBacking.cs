using System;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>
/// A slot whose written pages the kernel knows: asynchronous userfaultfd write-protect, collected by PAGEMAP_SCAN, which finds and
/// re-protects each page in one step (rule 21). Thread-safe.
/// </summary>
internal sealed unsafe class AsyncBacking : ISlotBacking
{
    private const int VectorLength = 1024;
    private const int PageShift = Bits.GuestAddress.PageShift;

    private readonly Lock _gate = new();
    private readonly ulong _start;
    private readonly ulong _bytes;
    private readonly SpaceCounters _counters;
    private readonly Kernel.Region* _vector; // VectorLength regions, ours until Close, used under _gate
    private readonly int _pagemap;
    private int _fault;

    private AsyncBacking(Slot slot, SpaceCounters counters, int fault, int pagemap)
    {
        _start = slot.HostAddress;
        _bytes = slot.Size;
        _counters = counters;
        _fault = fault;
        _pagemap = pagemap;
        _vector = (Kernel.Region*)NativeMemory.Alloc(VectorLength, (nuint)sizeof(Kernel.Region));
    }

    /// <inheritdoc/>
    public int Descriptor => _fault;

    /// <inheritdoc/>
    public bool StopsStores => false;

    /// <inheritdoc/>
    public ulong BytesCharged => 0;

    /// <summary>Registers a slot's host memory. See <c>gmap_backing_attach</c> for the results.</summary>
    public static int TryCreate(AddressSpace space, Slot slot, out ISlotBacking? backing, out string? complaint)
    {
        backing = null;
        int status = Userfaultfd.TryOpen(out int fault, out int pagemap, out complaint);
        if (status != Status.Ok)
        {
            return status;
        }
        var created = new AsyncBacking(slot, space.Counters, fault, pagemap);
        status = Userfaultfd.TryRegister(fault, slot, Kernel.RegisterWriteProtect, out complaint);
        if (status != Status.Ok)
        {
            created.Close();
            return status;
        }
        backing = created;
        return Status.Ok;
    }

    /// <inheritdoc/>
    public int Arm()
    {
        lock (_gate)
        {
            var protection = new Kernel.Protection { Start = _start, Length = _bytes, Mode = Kernel.WriteProtect };
            int result = _fault < 0 ? -1 : Kernel.Control(_fault, Kernel.IoctlWriteProtect, &protection);
            return result == 0 ? Status.Ok : Status.Fault;
        }
    }

    /// <inheritdoc/>
    public int Rearm(ulong firstPage, ulong pages) => Status.Ok; // what is not protected counts as written here

    /// <inheritdoc/>
    public int Collect(ulong firstPage, ulong pages, bool rearm, Outlet into, out ulong found)
    {
        lock (_gate)
        {
            return Scan(firstPage, pages, rearm, into, null, out found);
        }
    }

    /// <inheritdoc/>
    public int Settle(DirtySink[] sinks, DirtySink own, out ulong others)
    {
        lock (_gate)
        {
            return Scan(0, _bytes >> PageShift, rearm: true, new Outlet(sinks, own, null), own, out others);
        }
    }

    /// <summary>
    /// Under the gate. <paramref name="restored"/>: the consumer that need not hear of the pages in its epoch, nor are they found; null:
    /// the outlet says it all.
    /// </summary>
    private int Scan(ulong firstPage, ulong pages, bool rearm, in Outlet into, DirtySink? restored, out ulong found)
    {
        found = 0;
        ulong end = _start + ((firstPage + pages) << PageShift);
        uint room = (uint)Math.Min(VectorLength, pages + 1); // regions that so many pages can make, and one that the kernel leaves free
        var scan = new Kernel.Scan
        {
            Size = (ulong)sizeof(Kernel.Scan),
            Flags = Kernel.ScanChecksAsync | (rearm ? Kernel.ScanWriteProtects : 0),
            Start = _start + (firstPage << PageShift),
            End = end,
            Vector = _vector,
            VectorLength = room,
            Mask = Kernel.CategoryWritten,
            Return = Kernel.CategoryWritten,
        };
        while (scan.Start < end)
        {
            NativeMemory.Clear(_vector, room * (nuint)sizeof(Kernel.Region));
            int regions = _fault < 0 ? -1 : Kernel.Control(_pagemap, Kernel.IoctlPagemapScan, &scan);
            if (regions < 0 && _fault >= 0 && Kernel.LastError == Kernel.Interrupted)
            {
                continue;
            }
            if (regions < 0)
            {
                Tell.BackingTrouble("The written pages of a slot cannot be read: its memory was unmapped or unregistered.");
                found += _fault < 0 ? 0 : Pour((int)room, into, restored); // re-protected before the scan failed: seen only here
                return Status.Fault; // unmapped or unregistered behind our back: what was found before is poured
            }
            SpaceCounters.Add(ref _counters.Mine.BackingScans);
            found += Pour(regions, into, restored);
            scan.Start = scan.WalkEnd;
        }
        return Status.Ok;
    }

    /// <inheritdoc/>
    public void Close()
    {
        lock (_gate)
        {
            if (_fault < 0)
            {
                return;
            }
            var registration = new Kernel.Registration { Start = _start, Length = _bytes };
            _ = Kernel.Control(_fault, Kernel.IoctlUnregister, &registration);
            _ = Kernel.Close(_fault);
            _ = Kernel.Close(_pagemap);
            NativeMemory.Free(_vector);
            _fault = -1;
        }
    }

    private ulong Pour(int regions, in Outlet into, DirtySink? restored)
    {
        ulong found = 0;
        for (int i = 0; i < regions; i++)
        {
            ulong first = (_vector[i].Start - _start) >> PageShift;
            ulong count = (_vector[i].End - _vector[i].Start) >> PageShift;
            into.OrRange(first, count);
            for (ulong done = 0; restored is not null && done < count; done += 64)
            {
                ulong run = PinnedBitmap.RunMask(0, (int)Math.Min(64, count - done));
                ulong other = run & ~restored.Epoch.Peek(first + done);
                _ = other == 0 ? 0 : restored.Log.Or(first + done, other);
                found += (ulong)BitOperations.PopCount(other);
            }
            found += restored is null ? count : 0;
        }
        return found;
    }
}
