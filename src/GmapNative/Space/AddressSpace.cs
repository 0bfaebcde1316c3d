using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// One guest address space: its tables, slots, readers and counters. What is done with them lives in the other classes of this room,
/// which share the fields given here.
/// </summary>
internal sealed unsafe class AddressSpace : ICounted
{
    private static long s_spaces;

    private readonly SpaceWords* _words; // a control piece of the engine, given back by Destroy
    private ulong _limit;
    private SlotMap _map = SlotMap.None;
    private bool _dead;

    private AddressSpace(Engine engine, SpaceOptions options, SpaceWords* words, TableTree tree)
    {
        Engine = engine;
        Options = options;
        _words = words;
        _limit = options.Limit;
        Tree = tree;
        Epochs = new Epochs(engine.Options.GraceTimeoutNanoseconds, engine.Options.Kick, Engine.Views, words) { Space = Number };
        Limbo = new Limbo(this);
        Faults = new FaultResolver(this);
        Host = new HostAccess(this);
        Changes = new SlotChanges(this);
    }

    public Engine Engine { get; }

    /// <summary>1, 2, ... in the order of creation: what events call it.</summary>
    public ulong Number { get; } = (ulong)Interlocked.Increment(ref s_spaces);

    public SpaceOptions Options { get; }

    public TableTree Tree { get; }

    public Epochs Epochs { get; }

    /// <summary>Calls that wait for grace without the configuration lock.</summary>
    public StayCount Stays { get; } = new();

    /// <summary>Told when frozen segments are thawed (rule 20).</summary>
    public ThawCount Thaws { get; } = new();

    public Limbo Limbo { get; }

    public FaultResolver Faults { get; }

    public HostAccess Host { get; }

    public SlotChanges Changes { get; }

    public SpaceCounters Counters { get; } = new();

    /// <summary>The configuration lock: slots, limit, unmap, export, destroy. First in the lock order.</summary>
    public Lock Configuration { get; } = new();

    public SpaceWords* Words => _words;

    /// <summary>Highest valid guest address.</summary>
    public ulong Limit => Volatile.Read(ref _limit);

    /// <summary>The published slots. Read once in a section and used from the local.</summary>
    public SlotMap Map => Volatile.Read(ref _map);

    /// <summary>Who wants dirty pages besides the built-in consumers. Replaced as a whole, under the configuration lock.</summary>
    public IDirtyConsumer[] Consumers { get; set; } = [];

    /// <summary>Set once, by <see cref="TryDestroy"/>; calls that find it in their section answer bad handle.</summary>
    public bool IsDead => Volatile.Read(ref _dead);

    public static int TryCreate(Engine engine, SpaceOptions options, out AddressSpace? space)
    {
        space = null;
        ulong limit = options.Limit | (GuestAddress.PageSize - 1);
        if (limit >= Asce.SpanOf(TableType.RegionThird))
        {
            return Status.NotSupported; // region-second and -first tops come later
        }
        if (!engine.TryAddSpace())
        {
            return Status.BadHandle;
        }
        nint words = engine.Control.TryAllocate();
        TableTree? tree = words == 0 ? null
            : TableTree.TryCreate(engine.Pool, (SpaceWords*)words, TableTree.TopFor(limit), SlotMap.None, options.ByGeneration);
        if (tree is null)
        {
            if (words != 0)
            {
                engine.Control.Free(words);
            }
            engine.RemoveSpace();
            return Status.NoMemory;
        }
        engine.ReportLockRefusal();
        space = new AddressSpace(engine, options with { Limit = limit }, (SpaceWords*)words, tree);
        Tell.Born(space);
        return Status.Ok;
    }

    /// <summary>Makes another set of slots visible. Under the configuration lock.</summary>
    public void Publish(SlotMap map)
    {
        Volatile.Write(ref _map, map);
        Probe.At(Place.MapPublished);
    }

    /// <summary>Splits the leaf that an address lies in, counts it and tells.</summary>
    public SplitOutcome Split(SegmentCell cell, ulong address)
    {
        SplitOutcome split = Splitter.Split(cell, Engine.Pool, out bool wasted);
        SpaceCounters.Add(ref Counters.Mine.SplitsLost, wasted ? 1 : 0);
        SpaceCounters.Add(ref Counters.Mine.Splits, split == SplitOutcome.Split ? 1 : 0);
        if (wasted || split == SplitOutcome.Split)
        {
            Tell.Split(Number, address, wasted);
        }
        return split;
    }

    /// <summary>
    /// Changes the highest valid address, and the top table with it. Busy if a slot lies beyond.
    /// </summary>
    public int SetLimit(ulong limit)
    {
        limit |= GuestAddress.PageSize - 1;
        if (limit >= Asce.SpanOf(TableType.RegionThird))
        {
            return Status.NotSupported;
        }
        if (Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using (Configuration.Hold())
        {
            if (IsDead)
            {
                return Status.BadHandle;
            }
            SlotMap map = Map;
            if (map.Slots.Length != 0 && map.Slots[^1].End - 1 > limit)
            {
                return Status.Busy;
            }
            if (!Tree.TryChangeTop(TableTree.TopFor(limit), map, out nint old))
            {
                return Status.NoMemory;
            }
            Volatile.Write(ref _limit, limit);
            if (old != 0)
            {
                Limbo.Add(old, TableKind.Region);
            }
            return Limbo.GraceAndReclaim();
        }
    }

    /// <summary>Frees everything. Busy while views or consumers are open. Afterwards every call answers bad handle.</summary>
    public int TryDestroy()
    {
        if (Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using (Configuration.Hold())
        {
            if (IsDead)
            {
                return Status.BadHandle;
            }
            if (Epochs.ViewCount != 0 || Consumers.Length != 0)
            {
                return Status.Busy;
            }
            Volatile.Write(ref _dead, true);
            SlotMap last = Map;
            Publish(SlotMap.None);
            Epochs.WaitForCalls();
            Stays.WaitForAll();
            foreach (Slot slot in last.Slots)
            {
                Changes.Release(slot);
            }
            Limbo.FreeAll();
            Tree.FreeAll();
            Engine.Control.Free((nint)_words);
            Engine.RemoveSpace();
            Tell.Gone(this);
            return Status.Ok;
        }
    }

    void ICounted.AddTo(ref Totals totals)
    {
        CounterWords counted = Counters.Total();
        totals.Faults += counted.ReadFaults + counted.WriteFaults;
        totals.Splits += counted.Splits;
        totals.Harvests += counted.Harvests;
        totals.PagesHarvested += counted.PagesHarvested;
        totals.GraceNanoseconds += Epochs.GraceNanoseconds;
    }
}
