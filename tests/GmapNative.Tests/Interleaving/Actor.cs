using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>One thread of a schedule and what it can do: each call is the real one, by the header or by the engine.</summary>
/// <param name="world">What it shares with the others.</param>
/// <param name="index">Its number, from 0.</param>
/// <param name="view">Its own view.</param>
internal sealed unsafe partial class Actor(World world, int index, View view)
{
    private const int CacheWords = 4;

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static Actor? t_current;
#pragma warning restore IDE1006

    private readonly ulong[] _cache = GC.AllocateArray<ulong>(CacheWords, pinned: true); // gmap_cache_entry
    private int _storesTo = -1;
    private ulong _stamp;

    public int Index => index;

    public View View => view;

    /// <summary>The store of the calling thread has just become visible.</summary>
    public static void StoreIsVisible()
    {
        if (t_current is { _storesTo: >= 0 } actor)
        {
            actor.Publish();
        }
    }

    public void Enter() => world.Shim.Enter(view);

    public void Leave() => world.Shim.Leave(view);

    public void Again() => _ = world.Shim.Again(view);

    /// <summary>One store by the header, in a section.</summary>
    public void Write(int page)
    {
        Enter();
        WriteInside(page);
        Leave();
    }

    public void WriteInside(int page)
    {
        Begin(page);
        End(world.Shim.Write(view, World.AddressOf(page) + (ulong)(index * 8), _stamp, (nint)World.Word(index, page)), page);
    }

    /// <summary>A store of the last word of the page before and the first of this one; only on the first thread, whose that is.</summary>
    public void WriteAcross(int page)
    {
        Enter();
        _ = world.BeginStore(index, page - 1);
        Begin(page);
        End(world.Shim.WriteAcross(view, World.AddressOf(page), _stamp, (nint)World.Word(0, page)), page);
        world.EndStore(page - 1);
        Leave();
    }

    /// <summary>The same through a cache of one entry that lives as long as the thread.</summary>
    public void WriteCached(int page)
    {
        Enter();
        WriteCachedInside(page);
        Leave();
    }

    public void WriteCachedInside(int page)
    {
        Begin(page);
        // The cache is pinned: 32 bytes of the thread's own.
        fixed (ulong* cache = _cache)
        {
            ulong address = World.AddressOf(page) + (ulong)(index * 8);
            End(world.Shim.CachedWrite(view, (nint)cache, address, _stamp, (nint)World.Word(index, page)), page);
        }
    }

    /// <summary>The same after a poll, in one function of the header.</summary>
    public void WriteAgain(int page)
    {
        Begin(page);
        // The cache is pinned: 32 bytes of the thread's own.
        fixed (ulong* cache = _cache)
        {
            ulong address = World.AddressOf(page) + (ulong)(index * 8);
            End(world.Shim.AgainWrite(view, (nint)cache, address, _stamp, (nint)World.Word(index, page)), page);
        }
    }

    /// <summary>A translation for reading; it must lead to the page.</summary>
    public void Read(int page)
    {
        Enter();
        int status = world.Shim.LoadPointer(view, World.AddressOf(page), 8, out nint host);
        CheckHost(status, host, page);
        Leave();
    }

    /// <summary>The same, mapped first where it is not.</summary>
    public void ReadMapped(int page)
    {
        Enter();
        int status = world.Shim.LoadResolve(view, World.AddressOf(page), 8, out nint host);
        CheckHost(status, host, page);
        Leave();
    }

    /// <summary>gmap_write of the thread's word.</summary>
    public void HostWrite(int page)
    {
        Begin(page);
        ulong stamp = _stamp; // on this frame
        int section = LibrarySections.Enter();
        int status = world.Test.Space.Host.Write(World.AddressOf(page) + (ulong)(index * 8), (byte*)&stamp, sizeof(ulong), out _);
        LibrarySections.Leave(section);
        End(status, page);
    }

    /// <summary>A device's write: into memory, then gmap_mark_dirty (rule 15).</summary>
    public void Mark(int page)
    {
        Begin(page);
        Volatile.Write(ref *World.Word(index, page), _stamp); // guest memory of the test
        world.Pause("device wrote");
        int section = LibrarySections.Enter();
        int status = world.Test.Space.Host.MarkRange(World.AddressOf(page), 8);
        LibrarySections.Leave(section);
        Publish();
        End(status, page);
    }

    /// <summary>A device's write: into memory, then its bit in the device's log. It counts when the log was drained.</summary>
    public void WriteLogged(int page)
    {
        ulong stamp = world.BeginStore(index, page);
        Volatile.Write(ref *World.Word(index, page), stamp); // guest memory of the test
        world.Pause("device wrote");
        world.Log(index, page, stamp);
        world.Pause("device logged");
        world.EndStore(page);
    }

    public void DrainAndHarvest(uint slot = 1)
    {
        world.Pause("drain begins");
        world.Drain();
        Harvest(slot);
    }

    /// <summary>The same for a run of pages, of which one is written.</summary>
    public void MarkRun(int first, int pages, int written)
    {
        for (int page = first; page < first + pages; page++)
        {
            _ = world.BeginStore(index, page);
        }
        Begin(written);
        Volatile.Write(ref *World.Word(index, written), _stamp); // guest memory of the test
        world.Pause("device wrote");
        int section = LibrarySections.Enter();
        int status = world.Test.Space.Host.MarkRange(World.AddressOf(first), (ulong)pages * Model.TestSpace.Page);
        LibrarySections.Leave(section);
        Publish();
        End(status, written);
        for (int page = first; page < first + pages; page++)
        {
            world.EndStore(page);
        }
    }

    public void Harvest(uint slot = 1, HarvestFlags flags = HarvestFlags.None)
    {
        world.Pause("harvest begins");
        _ = world.Harvest(slot, flags);
    }

    public void GetAndClear(uint slot = 1)
    {
        world.Pause("get begins");
        world.GetAndClear(slot);
    }

    public void Get(uint slot = 1)
    {
        world.Pause("get begins");
        if (world.Test.Space.Map.ById(slot) is { } found)
        {
            _ = world.Test.Get(slot, 0, found.Pages, new ulong[(found.Pages + 63) / 64], out _);
        }
    }

    /// <summary>A get by a thread that is in a section of its own (not [WAITS]).</summary>
    public void GetInside()
    {
        Enter();
        Get();
        Leave();
    }

    public void Unmap(int first, int pages)
    {
        world.Pause("unmap begins");
        Expect(RangeCalls.Unmap(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, out _), "unmap");
    }

    public void Discard(int first, int pages)
    {
        world.Pause("discard begins");
        Expect(RangeCalls.Discard(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, out _), "discard");
        world.HasDiscarded = true;
    }

    public void AwaitDiscard()
    {
        world.Pause("awaits the discard"); // what it did before counts as progress
        while (!world.HasDiscarded)
        {
            Probe.At(Place.Waiting);
        }
    }

    public void Collapse(int first, int pages)
    {
        world.Pause("collapse begins");
        Expect(RangeCalls.Collapse(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, out _), "collapse");
    }

    public void Split(int first, int pages)
    {
        world.Pause("split begins");
        Expect(RangeCalls.Split(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, out _), "split");
    }

    public void Populate(int first, int pages)
    {
        world.Pause("populate begins");
        Expect(RangeCalls.Populate(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, Access.Read, out _),
            "populate");
    }

    /// <summary>The same while the slot is taken away: then it ends at a hole.</summary>
    public void PopulateUntilItEnds(int first, int pages)
    {
        world.Pause("populate begins");
        ulong size = (ulong)pages * Model.TestSpace.Page;
        int status = RangeCalls.Populate(world.Test.Space, World.AddressOf(first), size, Access.Read, out _);
        Expect(status == Status.Addressing ? Status.Ok : status, "populate");
    }

    /// <summary>The same for writing: each page becomes dirty, as if it were written.</summary>
    public void PopulateForWriting(int first, int pages)
    {
        for (int page = first; page < first + pages; page++)
        {
            _ = world.BeginStore(index, page);
        }
        world.Pause("populate begins");
        int status = RangeCalls.Populate(
            world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, Access.Write, out _);
        for (int page = first; page < first + pages; page++)
        {
            world.EndStore(page);
        }
        Expect(status, "populate");
    }

    public void Age(int first, int pages)
    {
        world.Pause("aging begins");
        Expect(RangeCalls.Age(world.Test.Space, World.AddressOf(first), (ulong)pages * Model.TestSpace.Page, out _), "age");
    }

    /// <summary>Changes one bit of a page's PGSTE, which nobody else changes.</summary>
    public void UpdatePgste(int page, int bit, bool from, bool to)
    {
        world.Pause("a PGSTE is changed");
        ulong mask = 1UL << (Pgste.ProgramShift + bit);
        int status = Pgstes.Update(world.Test.Space, World.AddressOf(page), mask, to ? mask : 0, out ulong before);
        Expect(status, "PGSTE");
        if ((before & mask) != 0 != from)
        {
            world.Fail($"bit {bit} of the PGSTE of page {page} is {!from}");
        }
    }

    public void SetLimit(ulong limit)
    {
        world.Pause("limit begins");
        Expect(world.Test.Space.SetLimit(limit), "limit");
    }

    /// <summary>Makes a slot.</summary>
    public void Add(SlotRequest request)
    {
        world.Pause("slot begins");
        world.Set(request);
    }

    public void Arm(SlotRequest request)
    {
        world.Pause("arming begins");
        world.Arm(request);
    }

    public void SetWithFinal(SlotRequest request)
    {
        world.Pause("last bits begin");
        world.SetWithFinal(request);
    }

    /// <summary>Moves or resizes a slot.</summary>
    public void Change(SlotRequest request)
    {
        world.Pause("change begins");
        world.Change(request);
    }

    /// <summary>Opens a consumer of all slots.</summary>
    public void Open(int seat)
    {
        world.Pause("open begins");
        world.Open(seat);
    }

    public void Close(int seat)
    {
        world.Pause("close begins");
        world.Close(seat);
    }

    /// <summary>An epoch of a consumer, to its end.</summary>
    public void Epoch(int seat, bool aborts = false, bool rearm = true)
    {
        world.Pause("epoch begins");
        world.Epoch(seat, aborts, rearm);
    }

    public void EpochBesideDiscard(int seat, params int[] discarded)
    {
        world.Pause("epoch begins");
        world.EpochBesideDiscard(seat, discarded);
    }

    private void Expect(int status, string call)
    {
        if (status != Status.Ok)
        {
            world.Fail($"{call}: {status}");
        }
    }

    private void CheckHost(int status, nint host, int page)
    {
        if (status == 0 && host != (nint)World.Word(0, page))
        {
            world.Fail($"a walk to page {page} led to {host:x}");
        }
    }

    private void Begin(int page)
    {
        t_current = this;
        _storesTo = page;
        _stamp = world.BeginStore(index, page);
    }

    private void Publish() => world.Stored(index, _storesTo, _stamp);

    private void End(int status, int page)
    {
        _storesTo = -1;
        world.EndStore(page);
        if (status == InlineShim.Astray)
        {
            world.Fail($"a walk for a store to page {page} led elsewhere");
        }
        else if (status < 0)
        {
            world.Fail($"store to page {page}: {status}");
        }
    }
}
