using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// What the threads of one schedule share: a space of the real engine with real guest memory, and a migration's image of it, which
/// is the oracle. Each thread has a word of its own in each page and counts it up. After a harvest and the copy of what it reported the
/// image must hold every store that was done before the harvest began; and no page is reported that nobody wrote since the last report.
/// </summary>
internal sealed unsafe partial class World : IDisposable
{
    public const int Pages = 768;

    /// <summary>The pages of 2 GB, of which no thread writes others than the first <see cref="Pages"/>.</summary>
    public const int RegionPages = RegionSpace.Pages;

    private readonly Turns? _turns;
    private readonly int _leafPages; // of a leaf that is dirty as a whole; 1: there is none
    private readonly List<int> _touched = [];
    private readonly ulong[,] _stored = new ulong[Turns.MostThreads, Pages];
    private readonly int[] _storesRunning = new int[Pages];
    private readonly long[] _lastStoreEnd = new long[Pages];
    private readonly Image _image; // of the built-in consumer
    private readonly HashSet<uint> _tracked = [];
    private readonly ulong[] _handles;
    private readonly ulong[] _deviceLog = GC.AllocateArray<ulong>(Pages / 64, pinned: true);
    private readonly Dictionary<(int Thread, int Page), ulong> _logged = [];
    private long _time;

    public World(Scenario scenario, InlineShim shim, Turns? turns)
    {
        _turns = turns;
        bool byLeaf = scenario.Options is { Policy: SplitPolicy.Never, ByGeneration: false };
        _leafPages = !byLeaf ? 1 : scenario.Options.HasRegionLeaves ? RegionPages : 256;
        _image = new Image(this, "");
        Shim = shim;
        shim.BeThread(0); // the one who prepares
        Test = new TestSpace(scenario.Options, new EngineOptions { ArenaBytes = 2 << 20, Freezing = FreezingOf(scenario) });
        Array.Fill(_lastStoreEnd, -1);
        Actors = [.. Enumerable.Range(0, Turns.MostThreads).Select(i => new Actor(this, i, Test.OpenView()))];
        _handles = [.. Actors.Select(actor => HandleTable.Add(
            HandleKind.Vcpu, new Vcpu(Test.Space, actor.View, StaysInside: true, Test.Space.Counters.Rent())))];
        for (int i = 0; i < Actors.Length; i++)
        {
            Actors[i].View.Vcpu = _handles[i];
        }
    }

    public TestSpace Test { get; }

    public InlineShim Shim { get; }

    public Actor[] Actors { get; }

    /// <summary>The first thing that was wrong.</summary>
    public string? Violation { get; private set; }

    /// <summary>A discard has returned.</summary>
    public bool HasDiscarded { get; set; }

    public static ulong AddressOf(int page) => (ulong)page * TestSpace.Page;

    /// <summary>Where a thread's word of a page is.</summary>
    public static ulong* Word(int thread, int page) => (ulong*)RegionSpace.HostOf(AddressOf(page)) + thread;

    public static SlotRequest Slot(uint id, int first, int pages, bool log = true) => new()
    {
        Id = id,
        GuestAddress = AddressOf(first),
        Size = (ulong)pages * TestSpace.Page,
        HostAddress = RegionSpace.HostOf(AddressOf(first)),
        LogDirty = log,
    };

    /// <summary>Sets a slot while nobody else runs.</summary>
    public void Set(SlotRequest slot)
    {
        Test.Set(slot);
        if (slot.LogDirty)
        {
            Track(slot);
        }
    }

    public void Fail(string what)
    {
        Violation ??= what;
        _turns?.At("!! " + what);
    }

    /// <summary>A place between two calls.</summary>
    public void Pause(string what) => _turns?.At(what);

    public ulong BeginStore(int thread, int page)
    {
        if (!_touched.Contains(page))
        {
            _touched.Add(page);
        }
        _storesRunning[page]++;
        return *Word(thread, page) + 1; // guest memory of the test, the thread's own word
    }

    /// <summary>The store is visible.</summary>
    public void Stored(int thread, int page, ulong stamp)
    {
        _stored[thread, page] = stamp;
        CheckStore(page);
    }

    public void EndStore(int page)
    {
        _storesRunning[page]--;
        _lastStoreEnd[page] = ++_time;
    }

    /// <summary>A page that harvests are to be checked for, though nobody stores to it.</summary>
    public void Know(int page) => _touched.Add(page);

    /// <summary>A device sets the bit of a page that it wrote.</summary>
    public void Log(int thread, int page, ulong stamp)
    {
        _ = Interlocked.Or(ref _deviceLog[page / 64], 1UL << (page % 64));
        _logged[(thread, page)] = stamp;
    }

    /// <summary>Drains the device's log: what was in it when this began is as good as stored.</summary>
    public void Drain()
    {
        KeyValuePair<(int Thread, int Page), ulong>[] before = [.. _logged];
        MayReportLogged();
        int section = LibrarySections.Enter();
        fixed (ulong* log = _deviceLog)
        {
            _ = VhostLog.Drain(Test.Space, log, (ulong)_deviceLog.Length, 0);
        }
        LibrarySections.Leave(section);
        foreach (((int thread, int page), ulong stamp) in before)
        {
            _stored[thread, page] = stamp;
        }
        MayReportLogged();
    }

    /// <summary>A bit in the device's log reports its page, though a harvest before the drain may have copied the store.</summary>
    private void MayReportLogged()
    {
        foreach ((int _, int page) in _logged.Keys)
        {
            _lastStoreEnd[page] = ++_time;
        }
    }

    /// <summary>Harvests a slot and copies what is reported. Null result: there is no such slot that logs.</summary>
    public int[]? Harvest(uint slot, HarvestFlags flags = HarvestFlags.None)
    {
        if (Test.Space.Map.ById(slot) is not { } found)
        {
            return null;
        }
        List<(int Thread, int Page, ulong Stamp)> before = StoredIn(slot);
        long begin = ++_time;
        ulong[] bitmap = new ulong[(found.Pages + 63) / 64];
        int status = Test.Harvest(slot, 0, found.Pages, flags, bitmap, out ulong dirty);
        if (status != Status.Ok)
        {
            if (status != Status.NoEntry)
            {
                Fail($"harvest of slot {slot}: {status}");
            }
            return null;
        }
        int[] reported = CopyReported(found, bitmap, begin, flags);
        long bits = bitmap.Sum(word => (long)System.Numerics.BitOperations.PopCount(word));
        if ((ulong)bits != dirty)
        {
            Fail($"harvest of slot {slot}: {dirty} pages said, {bits} bits");
        }
        _image.Expect(before, "harvest of slot " + slot);
        return reported;
    }

    /// <summary>Looks, then clears what was seen and copies it.</summary>
    public void GetAndClear(uint slot)
    {
        Slot found = Test.Space.Map.ById(slot)!;
        List<(int Thread, int Page, ulong Stamp)> before = StoredIn(slot);
        long begin = ++_time;
        ulong[] bitmap = new ulong[(found.Pages + 63) / 64];
        int status = Test.Get(slot, 0, found.Pages, bitmap, out _);
        _image.Check(PagesOf(found, bitmap)); // before others, who may report it too
        Pause("clear begins");
        status = status != Status.Ok ? status : Test.Clear(slot, 0, found.Pages, bitmap);
        if (status != Status.Ok)
        {
            Fail($"get and clear of slot {slot}: {status}");
        }
        _image.Report(PagesOf(found, bitmap), begin);
        _image.Expect(before, "get and clear of slot " + slot);
    }

    /// <summary>
    /// Moves or resizes a slot that goes on logging. Nobody can store any more to what is its no longer, so that its last bits have all
    /// of that; what is its still may be stored to again, and comes with its next harvest.
    /// </summary>
    public void Change(SlotRequest request)
    {
        Slot old = Test.Space.Map.ById(request.Id)!;
        SetWithFinal(request);
        _image.ExpectAll(
            [.. StoredIn(old.GuestAddress, old.End).Where(store => AddressOf(store.Page) - request.GuestAddress >= request.Size)]);
        Track(request);
    }

    /// <summary>Ends the logging of a slot, or the slot, with a buffer for its last bits.</summary>
    public void SetWithFinal(SlotRequest request)
    {
        Slot old = Test.Space.Map.ById(request.Id)!;
        List<(int Thread, int Page, ulong Stamp)> before = StoredIn(request.Id);
        long begin = ++_time;
        ulong[] bitmap = new ulong[(old.Pages + 63) / 64];
        if (request.Size != 0)
        {
            _slots[request.Id] = (_slots[request.Id].Slot, before);
        }
        int status;
        fixed (ulong* words = bitmap)
        {
            status = Test.Space.Changes.Set(request with { FinalBitmap = (nint)words, FinalWords = (ulong)bitmap.Length });
        }
        if (status != Status.Ok)
        {
            Fail($"slot {request.Id}: {status}");
        }
        _ = CopyReported(old, bitmap, begin, HarvestFlags.None);
        _image.Expect(before, "last bits of slot " + request.Id);
        _ = _tracked.Remove(request.Id);
    }

    /// <summary>
    /// Turns logging on, then copies everything: what was written before may not be reported any more. Where every page is set nothing is
    /// copied: all are to be reported.
    /// </summary>
    public void Arm(SlotRequest request)
    {
        long begin = ++_time;
        if (request.InitiallyDirty)
        {
            Array.Fill(_lastStoreEnd, begin); // every page is to be reported, as if it had been written just now
        }
        int status = Test.Space.Changes.Set(request);
        if (status != Status.Ok)
        {
            Fail($"arming of slot {request.Id}: {status}");
        }
        Track(request);
        if (request.InitiallyDirty)
        {
            return;
        }
        Slot slot = Test.Space.Map.ById(request.Id)!;
        _image.Begin(begin, _touched.Where(page => slot.GuestAddress <= AddressOf(page) && AddressOf(page) < slot.End));
    }

    /// <summary>When all threads have ended: a last harvest, then image and memory are equal and the engine is in order.</summary>
    public void Finish()
    {
        foreach (Actor actor in Actors)
        {
            if (View.IsInside(actor.View.Inside))
            {
                Fail($"thread {actor.Index} is inside at its end");
            }
        }
        Violation ??= Test.Violation();
        FinishWatches();
        Drain();
        foreach (uint slot in _tracked.Where(slot => Test.Space.Map.ById(slot) is not null))
        {
            _ = Harvest(slot);
            _ = Harvest(slot);
            _image.ExpectAll(StoredIn(slot));
        }
        FinishConsumers();
        Violation ??= Test.Violation();
    }

    public void Dispose()
    {
        foreach (ulong handle in _handles)
        {
            _ = HandleTable.Remove(HandleKind.Vcpu, handle);
        }
        CloseShadows();
        string? wrong = Test.Close();
        Violation ??= wrong;
        foreach (int page in _touched)
        {
            new Span<ulong>(Word(0, page), Turns.MostThreads).Clear();
        }
    }

    /// <summary>A freeze waits for ever: how long a schedule takes must not matter.</summary>
    private static Freezing FreezingOf(Scenario scenario) => scenario.FreezesFrom == 0 ? Freezing.Never
        : new Freezing { LeastLines = scenario.FreezesFrom, LeastSegments = 1, LeastFlagged = 1, LongestNanoseconds = 0 };

    /// <summary>Whether a page was written, maybe, since a time that is kept for each page.</summary>
    public bool WasWritten(int page, long[] since)
    {
        bool Was(int other) => _storesRunning[other] != 0 || _lastStoreEnd[other] >= since[page];
        return _leafPages == 1 ? Was(page) : _touched.Any(other => other / _leafPages == page / _leafPages && Was(other));
    }

    private void Track(SlotRequest slot)
    {
        _ = _tracked.Add(slot.Id);
        _slots[slot.Id] = (slot, null);
    }

    private List<(int Thread, int Page, ulong Stamp)> StoredIn(uint slotId)
    {
        Slot slot = Test.Space.Map.ById(slotId)!;
        return StoredIn(slot.GuestAddress, slot.End);
    }

    private List<(int Thread, int Page, ulong Stamp)> StoredIn(SlotRequest slot) =>
        StoredIn(slot.GuestAddress, slot.GuestAddress + slot.Size);

    private List<(int Thread, int Page, ulong Stamp)> StoredIn(ulong start, ulong end)
    {
        List<(int, int, ulong)> stored = [];
        foreach (int page in _touched.Where(page => start <= AddressOf(page) && AddressOf(page) < end))
        {
            for (int thread = 0; thread < Turns.MostThreads; thread++)
            {
                if (_stored[thread, page] != 0)
                {
                    stored.Add((thread, page, _stored[thread, page]));
                }
            }
        }
        return stored;
    }

    private int[] CopyReported(Slot slot, ulong[] bitmap, long begin, HarvestFlags flags)
    {
        int[] reported = PagesOf(slot, bitmap);
        _image.Check(reported);
        _image.Report(reported, begin, marksStay: flags.HasFlag(HarvestFlags.NoRearm));
        return reported;
    }

    /// <summary>Those that threads write.</summary>
    private static int[] PagesOf(Slot slot, ulong[] bitmap) =>
        [.. TestSpace.PagesOf(bitmap[..Math.Min(bitmap.Length, Pages / 64)])
            .Select(page => (int)(slot.GuestAddress / TestSpace.Page) + page)];
}
