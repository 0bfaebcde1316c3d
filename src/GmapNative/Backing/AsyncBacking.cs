using System.Runtime.InteropServices;
using System.Threading;
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

    /// <summary>The userfaultfd; -1 after <see cref="Close"/>.</summary>
    public int Descriptor => _fault;

    /// <summary>Registers a slot's host memory. See <c>gmap_backing_attach</c> for the results.</summary>
    public static int TryCreate(AddressSpace space, Slot slot, out AsyncBacking? backing, out string? complaint)
    {
        backing = null;
        int status = Userfaultfd.TryOpen(out int fault, out int pagemap, out complaint);
        if (status != Status.Ok)
        {
            return status;
        }
        var created = new AsyncBacking(slot, space.Counters, fault, pagemap);
        var registration = new Kernel.Registration
        {
            Start = slot.HostAddress,
            Length = slot.Size,
            Mode = Kernel.RegisterWriteProtect,
        };
        // The kernel registers what it finds and passes over holes; what is mapped into them later would not be tracked.
        bool mapped = Kernel.IsMapped(slot.HostAddress, slot.Size);
        if (mapped && Kernel.Control(fault, Kernel.IoctlRegister, &registration) == 0)
        {
            backing = created;
            return Status.Ok;
        }
        bool busy = mapped && Kernel.LastError == Kernel.Busy;
        created.Close();
        complaint = busy
            ? "The slot's memory is registered with another userfaultfd: detach that one first."
            : "The slot's memory cannot be tracked: it must be mapped, and anonymous, shared or hugetlb memory.";
        return busy ? Status.Busy : Status.Fault;
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
    public int Collect(ulong firstPage, ulong pages, bool rearm, Outlet into, out ulong found)
    {
        found = 0;
        lock (_gate)
        {
            ulong end = _start + ((firstPage + pages) << PageShift);
            var scan = new Kernel.Scan
            {
                Size = (ulong)sizeof(Kernel.Scan),
                Flags = Kernel.ScanChecksAsync | (rearm ? Kernel.ScanWriteProtects : 0),
                Start = _start + (firstPage << PageShift),
                End = end,
                Vector = _vector,
                VectorLength = VectorLength,
                Mask = Kernel.CategoryWritten,
                Return = Kernel.CategoryWritten,
            };
            while (scan.Start < end)
            {
                NativeMemory.Clear(_vector, VectorLength * (nuint)sizeof(Kernel.Region));
                int regions = _fault < 0 ? -1 : Kernel.Control(_pagemap, Kernel.IoctlPagemapScan, &scan);
                if (regions < 0 && _fault >= 0 && Kernel.LastError == Kernel.Interrupted)
                {
                    continue;
                }
                if (regions < 0)
                {
                    Tell.BackingTrouble("The written pages of a slot cannot be read: its memory was unmapped or unregistered.");
                    found += _fault < 0 ? 0 : Pour(VectorLength, into); // re-protected before the scan failed: seen only here
                    return Status.Fault; // unmapped or unregistered behind our back: what was found before is poured
                }
                SpaceCounters.Add(ref _counters.Mine.BackingScans);
                found += Pour(regions, into);
                scan.Start = scan.WalkEnd;
            }
            return Status.Ok;
        }
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

    private ulong Pour(int regions, Outlet into)
    {
        ulong found = 0;
        for (int i = 0; i < regions; i++)
        {
            ulong first = (_vector[i].Start - _start) >> PageShift;
            ulong count = (_vector[i].End - _vector[i].Start) >> PageShift;
            into.OrRange(first, count);
            found += count;
        }
        return found;
    }
}
