using System;
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
    private const int UpperLevels = 3; // region tables above a segment table

    private static long s_spaces;

    private readonly SpaceWords* _words; // a control piece of the engine, given back by Destroy
    private ulong _limit;
    private SlotMap _map = SlotMap.None;
    private IShadowFamily? _shadows;
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
        Watches = new Watches(this);
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

    /// <summary>What is known of restricted and armed pages, and who is told (rules 28 to 31).</summary>
    public Watches Watches { get; }

    public FaultResolver Faults { get; }

    public HostAccess Host { get; }

    public SlotChanges Changes { get; }

    public SpaceCounters Counters { get; } = new();

    /// <summary>The configuration lock: slots, limit, unmap, export, destroy. First in the lock order.</summary>
    public Lock Configuration { get; } = new();

    public SpaceWords* Words => _words;

    /// <summary>What makes it a shadow of a guest's guest; null: it is a space of slots.</summary>
    public IShadow? Shadow { get; set; }

    /// <summary>The shadows over it; null: there never were any. Set once, under the configuration lock.</summary>
    public IShadowFamily? Shadows
    {
        get => Volatile.Read(ref _shadows);
        set => Volatile.Write(ref _shadows, value);
    }

    /// <summary>Highest valid guest address.</summary>
    public ulong Limit => Volatile.Read(ref _limit);

    /// <summary>The published slots. Read once in a section and used from the local.</summary>
    public SlotMap Map => Volatile.Read(ref _map);

    /// <summary>Who wants dirty pages besides the built-in consumers. Replaced as a whole, under the configuration lock.</summary>
    public IDirtyConsumer[] Consumers { get; set; } = [];

    /// <summary>Set once, by <see cref="TryDestroy"/>; calls that find it in their section answer bad handle.</summary>
    public bool IsDead => Volatile.Read(ref _dead);

    /// <summary>A space without slots. The caller tells of a lock that was refused, where it holds none of ours.</summary>
    public static int TryCreate(Engine engine, SpaceOptions options, out AddressSpace? space)
    {
        space = null;
        ulong limit = options.Limit | (GuestAddress.PageSize - 1);
        if (!engine.TryAddSpace())
        {
            return Status.BadHandle;
        }
        nint words = engine.Control.TryAllocate();
        TableTree? tree = words == 0 ? null
            : TableTree.TryCreate(
                engine.Pool, (SpaceWords*)words, TableTree.TopFor(limit), SlotMap.None, options.ByGeneration, options.Pgstes,
                options.HasRegionLeaves);
        if (tree is null)
        {
            if (words != 0)
            {
                engine.Control.Free(words);
            }
            engine.RemoveSpace();
            return Status.NoMemory;
        }
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
    /// <param name="cell">The segment.</param>
    /// <param name="address">An address in it.</param>
    /// <param name="spare">A page table to be linked or given back; 0: one is allocated.</param>
    public SplitOutcome Split(SegmentCell cell, ulong address, nint spare = 0)
    {
        bool wasted;
        SplitOutcome split = spare != 0
            ? Splitter.Split(cell, Tree.PageTables, spare, out wasted)
            : Splitter.Split(cell, Tree.PageTables, out wasted);
        SpaceCounters.Add(ref Counters.Mine.SplitsLost, wasted ? 1 : 0);
        SpaceCounters.Add(ref Counters.Mine.Splits, split == SplitOutcome.Split ? 1 : 0);
        if (wasted || split == SplitOutcome.Split)
        {
            Tell.Split(Number, address, wasted);
        }
        return split;
    }

    /// <summary>Splits the 2 GB leaf that an address lies in, counts it and tells; false: there is none. In a section.</summary>
    public bool SplitRegion(ulong address)
    {
        bool split = Tree.TryFindRegionLeaf(address, out RegionCell cell, out _) && RegionSplitter.Split(cell) == SplitOutcome.Split;
        if (split)
        {
            SpaceCounters.Add(ref Counters.Mine.Splits);
            Tell.Split(Number, address, false);
        }
        return split;
    }

    /// <summary>
    /// Changes the highest valid address, and the top table with it. Busy if a slot lies beyond.
    /// </summary>
    public int SetLimit(ulong limit)
    {
        limit |= GuestAddress.PageSize - 1;
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
            Span<nint> old = stackalloc nint[UpperLevels];
            TableType top = Tree.Asce.Type;
            if (TableTree.TopFor(limit) == TableType.Segment)
            {
                _ = SplitRegion(0); // its deposit becomes the top table
            }
            if (!Tree.TryChangeTop(TableTree.TopFor(limit), map, old, out int retired))
            {
                return Status.NoMemory;
            }
            Volatile.Write(ref _limit, limit);
            foreach (nint table in old[..retired])
            {
                Limbo.Add(table, Tree.KindOf(top--));
            }
            return Limbo.GraceAndReclaim();
        }
    }

    /// <summary>A shadow reaches further than before. Under the family lock, which alone changes its tables.</summary>
    public void Reach(ulong limit) => Volatile.Write(ref _limit, limit);

    /// <summary>Frees everything. Busy while there are views, consumers or notifiers. Afterwards every call answers bad handle.</summary>
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
            bool used = Epochs.ViewCount != 0 || Consumers.Length != 0 || Watches.Notifiers.Length != 0;
            if (used || (Shadows is { } shadows && !shadows.TryEnd()))
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
                SlotChanges.Release(slot);
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
