using System;
using System.Runtime.CompilerServices;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

[Flags]
internal enum Access : uint
{
    None = 0,
    Read = 1,
    Write = 2,
}

internal enum FaultReason : uint
{
    None = 0,
    NoSlot = 1,
    ReadOnlySlot = 2,
    Protected = 3,
    BeyondLimit = 4,
    NotMapped = 5,
    NeedsFault = 6,
}

[Flags]
internal enum FaultDone : uint
{
    None = 0,
    Mapped = 1,
    Split = 2,
    Granted = 4,
}

/// <summary>What a fault or a translation found; <c>gmap_fault_result</c> of the ABI.</summary>
internal struct FaultOutcome
{
    public ulong HostAddress;
    public ulong LeafSize;
    public Access Rights;
    public FaultReason Reason;
    public FaultDone Done;

    /// <summary>
    /// Pages of a slot whose entries are tracked that became dirty, and in any slot those that were granted; by generation of any slot.
    /// </summary>
    public uint Dirtied;
}

/// <summary>
/// Resolves accesses: maps the largest leaf that is allowed, splits, grants. In a section; allocates nothing on the managed heap.
/// </summary>
internal sealed class FaultResolver(AddressSpace space)
{
    /// <summary>Never leaves the engine: the segment is frozen; end the section, wait, and ask again (rules 8 and 20).</summary>
    public const int Frozen = int.MinValue;

    private readonly TableTree _tree = space.Tree;
    private readonly SpaceCounters _counters = space.Counters;

    /// <summary>One access, with everything that does not change while it is resolved.</summary>
    private readonly record struct Request(ulong Address, bool IsWrite, int Thread, Slot Slot, SlotMap Map)
    {
        public ulong Segment => GuestAddress.SegmentBase(Address);

        public int Page => GuestAddress.PageIndex(Address);

        /// <summary>The summary bit of the page's cache line.</summary>
        public uint Line => 1u << (Page / PageTable.LinePages);

        /// <summary>
        /// Whether a new entry begins dirty: a write does, and where the tables are not the truth nothing is ever armed.
        /// </summary>
        public bool InstallsDirty => !Slot.IsReadOnly && (IsWrite || !Slot.TracksEntries);

        /// <summary>What counts as dirtied where a page or a leaf of the slot becomes dirty.</summary>
        public uint DirtiedPage => Slot.TracksEntries ? 1u : 0;

        public uint DirtiedLeaf => Slot.TracksEntries ? (uint)GuestAddress.PageTableEntries : 0;
    }

    /// <summary>0, a program-interruption code with a reason, frozen (rule 20), or no memory with nothing changed.</summary>
    public int Resolve(ulong address, Access access, out FaultOutcome outcome) =>
        Resolve(address, access, View.CurrentThread, out outcome);

    /// <summary>
    /// gmap_fault: in a section of the view, which it stays inside. Where the segment is frozen the section ends, and another begins
    /// after the thaw (rules 8 and 20).
    /// </summary>
    public int Resolve(View view, OwnCounters counters, ulong address, Access access, int thread, out FaultOutcome outcome)
    {
        outcome = default;
        bool write = (access & Access.Write) != 0;
        var mapped = new MappedAccess(_tree);
        if (Tell.Time(GmapEvents.Keywords.Faults) != 0 || !mapped.TryResolve(address, write, ref outcome))
        {
            return Resolve(view, address, access, thread, out outcome);
        }
        counters.Count(write, mapped.Granted);
        return Status.Ok;
    }

    /// <summary>The same, by the slots.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public int Resolve(View view, ulong address, Access access, int thread, out FaultOutcome outcome)
    {
        int status = Resolve(address, access, thread, out outcome);
        return status == Frozen ? ResolveThawed(view, address, access, thread, ref outcome) : status;
    }

    private int ResolveThawed(View view, ulong address, Access access, int thread, ref FaultOutcome outcome)
    {
        for (; ; )
        {
            FaultDone done = outcome.Done;
            uint dirtied = outcome.Dirtied;
            int seen = space.Thaws.Now; // before the look: what thaws after it is told after this
            int status = Resolve(address, access, thread, out outcome);
            outcome.Done |= done;
            outcome.Dirtied += dirtied;
            if (status != Frozen)
            {
                return status;
            }
            view.LeaveCall();
            view.Leave();
            space.Thaws.WaitPast(seen);
            view.EnterCall();
        }
    }

    /// <summary>The same for a caller that knows its thread's number already: looking it up costs as much as a counter.</summary>
    public int Resolve(ulong address, Access access, int thread, out FaultOutcome outcome)
    {
        long begin = Tell.Time(GmapEvents.Keywords.Faults);
        return begin == 0 ? ResolveAccess(address, access, thread, out outcome)
            : ResolveTold(address, access, thread, begin, out outcome);
    }

    private int ResolveTold(ulong address, Access access, int thread, long begin, out FaultOutcome outcome)
    {
        int status = ResolveAccess(address, access, thread, out outcome);
        bool changed = (outcome.Done & (FaultDone.Mapped | FaultDone.Split)) != 0;
        if (status == Frozen)
        {
            return status;
        }
        Tell.Fault(space.Number, address, (uint)access, (uint)outcome.Done, changed, begin);
        return status;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)] // or a frame more for those whom nobody listens to
    private int ResolveAccess(ulong address, Access access, int thread, out FaultOutcome outcome)
    {
        outcome = default;
        SlotMap map = space.Map;
        Slot? slot = map.Find(address);
        bool write = (access & Access.Write) != 0;
        if (slot is null || (write && slot.IsReadOnly))
        {
            SpaceCounters.Add(ref _counters.Of(thread).GuestConditions);
            return slot is null ? NoSlot(address, ref outcome) : Refuse(FaultReason.ReadOnlySlot, Status.Protection, ref outcome);
        }
        var request = new Request(address, write, thread, slot, map);
        if (!_tree.TryMakeCell(address, map, out SegmentCell cell))
        {
            return Status.NoMemory;
        }
        int status;
        do
        {
            SegmentEntry entry = cell.Load();
            Probe.At(Place.EntryLoaded);
            status = entry.IsLeaf ? ResolveLeaf(cell, entry, request, ref outcome)
                : entry.IsTable ? ResolvePage(cell, entry, request, ref outcome)
                : Install(cell, entry, request, ref outcome);
        }
        while (status == Status.TryAgain);
        if (status == Status.Ok)
        {
            ref CounterWords counted = ref _counters.Of(thread);
            SpaceCounters.Add(ref write ? ref counted.WriteFaults : ref counted.ReadFaults);
        }
        return status;
    }

    /// <summary>The condition for an address that no slot covers.</summary>
    public int NoSlot(ulong address, ref FaultOutcome outcome)
    {
        if (address <= space.Limit)
        {
            return Refuse(FaultReason.NoSlot, Status.Addressing, ref outcome);
        }
        bool outOfReach = address >= Asce.SpanOf(_tree.Asce.Type);
        return Refuse(FaultReason.BeyondLimit, outOfReach ? Status.AsceType : Status.Addressing, ref outcome);
    }

    private static int Refuse(FaultReason reason, int code, ref FaultOutcome outcome)
    {
        outcome.Reason = reason;
        return code;
    }

    /// <summary>Nothing is mapped in the segment: a leaf if it fits, else a page table of tokens.</summary>
    private int Install(SegmentCell cell, SegmentEntry seen, in Request request, ref FaultOutcome outcome)
    {
        if (space.Options.Huge && request.Slot.FitsLeaf(request.Segment))
        {
            // A write to a tracked slot maps the leaf clean, and splits it in the next round.
            bool dirty = request.InstallsDirty && !(request.Slot.TracksEntries && space.Options.Policy != SplitPolicy.Never);
            SegmentEntry leaf = SegmentEntry.Leaf(request.Slot.HostOf(request.Segment), !request.Slot.IsReadOnly, dirty);
            if (cell.TryReplace(seen, leaf))
            {
                SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsMapped);
                outcome.Done |= FaultDone.Mapped;
                outcome.Dirtied += dirty ? request.DirtiedLeaf : 0;
                Probe.At(Place.EntryGrants);
                SummarizeDirtyLeaf(cell, request, dirty);
            }
            return Status.TryAgain;
        }
        nint table = space.Engine.Pool.TryAllocate(TableKind.Page);
        if (table == 0)
        {
            return Status.NoMemory;
        }
        PageTableBuilder.FillFromTokens(table, request.Segment, request.Map);
        if (!cell.TryReplace(seen, SegmentEntry.Table((ulong)table, split: false)))
        {
            space.Engine.Pool.Free(table, TableKind.Page); // another thread was first
        }
        Probe.At(Place.TableLinked);
        return Status.TryAgain;
    }

    private int ResolveLeaf(SegmentCell cell, SegmentEntry entry, in Request request, ref FaultOutcome outcome)
    {
        if (entry.IsAged)
        {
            _ = cell.TryReplace(entry, entry.WithUse);
            return Status.TryAgain;
        }
        if (!request.IsWrite || !entry.IsProtected)
        {
            if (request.IsWrite)
            {
                Mark(cell, request, ref outcome); // rule 1
            }
            outcome.HostAddress = entry.Frame | (request.Address & (GuestAddress.SegmentSize - 1));
            outcome.LeafSize = GuestAddress.SegmentSize;
            outcome.Rights = RightsOf(cell, request, entry.IsProtected);
            return Status.Ok;
        }
        if (!request.Slot.TracksEntries || space.Options.Policy == SplitPolicy.Never || !entry.IsWritable)
        {
            // An entry from before the slot became writable gets the right first: the slot decides, not the entry.
            SegmentEntry next = entry.IsWritable ? entry.WithGrant : entry.WithWritable;
            if (cell.TryReplace(entry, next) && next.IsDirty)
            {
                SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsGranted);
                outcome.Done |= FaultDone.Granted;
                outcome.Dirtied += request.DirtiedLeaf;
                Probe.At(Place.EntryGrants);
                SummarizeDirtyLeaf(cell, request, true);
            }
            return Status.TryAgain;
        }
        SplitOutcome split = space.Split(cell, request.Address);
        outcome.Done |= split == SplitOutcome.Split ? FaultDone.Split : FaultDone.None;
        return split == SplitOutcome.NoMemory ? Status.NoMemory : Status.TryAgain;
    }

    private int ResolvePage(SegmentCell cell, SegmentEntry entry, in Request request, ref FaultOutcome outcome)
    {
        var table = new PageTable(entry.TableOrigin);
        PageEntry page = table.Load(request.Page);
        Probe.At(Place.EntryLoaded);
        if (page.IsInvalid || (request.IsWrite && page.IsProtected && !page.IsGrantable))
        {
            return InstallPage(cell, request, ref outcome);
        }
        if (request.IsWrite && page.IsProtected)
        {
            if (entry.IsFrozen && !Probe.LeavesOut(Step.FaultGrantsFrozen))
            {
                return Frozen; // one that is granted is answered: its mark is being taken, and the harvest's grace waits for us
            }
            if (table.TryReplace(request.Page, page, page.WithGrant))
            {
                SpaceCounters.Add(ref _counters.Of(request.Thread).PagesGranted);
                outcome.Done |= FaultDone.Granted;
                outcome.Dirtied++; // also of what was armed before logging ended: the header does not know slots either
                Probe.At(Place.EntryGrants);
            }
            return Status.TryAgain;
        }
        bool granted = request.Slot.ByGeneration || (outcome.Done & FaultDone.Granted) != 0;
        if (request.IsWrite && (granted || !Probe.LeavesOut(Step.NoSummaryForSecond)))
        {
            Mark(cell, request, ref outcome); // rule 1, also for the second writer
        }
        outcome.HostAddress = page.Frame | (request.Address & (GuestAddress.PageSize - 1));
        outcome.LeafSize = GuestAddress.PageSize;
        outcome.Rights = RightsOf(cell, request, page.IsProtected);
        return Status.Ok;
    }

    /// <summary>
    /// Maps one page of a page table, makes an aged one young, or renews an entry that is older than the slot's right to write (rule 17).
    /// </summary>
    private int InstallPage(SegmentCell cell, in Request request, ref FaultOutcome outcome)
    {
        if (!cell.TryLock(out PageTable table, out bool frozen))
        {
            return frozen ? Frozen : Status.TryAgain;
        }
        PageEntry seen = table.Load(request.Page);
        if (seen.IsAged)
        {
            _ = table.TryReplace(request.Page, seen, seen.WithUse);
        }
        else if (seen.IsInvalid)
        {
            ulong frame = request.Slot.HostOf(request.Address & ~(GuestAddress.PageSize - 1));
            PageEntry page = PageEntry.Leaf(frame, !request.Slot.IsReadOnly, request.InstallsDirty);
            if (table.TryReplace(request.Page, seen, page))
            {
                SpaceCounters.Add(ref _counters.Of(request.Thread).PagesMapped);
                bool marks = page.IsDirty && !request.Slot.ByGeneration;
                outcome.Done |= marks ? FaultDone.Mapped | FaultDone.Granted : FaultDone.Mapped;
                outcome.Dirtied += marks ? request.DirtiedPage : 0;
                Probe.At(Place.EntryGrants);
                cell.SetSummary(marks ? request.Line : 0);
            }
        }
        else if (!seen.IsWritable && !request.Slot.IsReadOnly)
        {
            _ = table.TryReplace(request.Page, seen, seen.WithWritable);
        }
        cell.Unlock();
        return Status.TryAgain;
    }

    private static void SummarizeDirtyLeaf(SegmentCell cell, in Request request, bool dirty)
    {
        if (dirty && !request.Slot.ByGeneration)
        {
            cell.SetSummary(SegmentCell.AllLines);
        }
    }

    /// <summary>Before a page whose entry has P = 0 is written: the summary bit; by generation the dense bit first.</summary>
    private void Mark(SegmentCell cell, in Request request, ref FaultOutcome outcome)
    {
        if (!request.Slot.ByGeneration)
        {
            cell.SetSummary(request.Line);
        }
        else if (cell.Mark(request.Page))
        {
            outcome.Dirtied++;
            bool logs = request.Slot.Tracking is not null;
            SpaceCounters.Add(ref _counters.Of(request.Thread).PagesGranted, logs ? 1 : 0);
            outcome.Done |= logs ? FaultDone.Granted : 0;
        }
    }

    /// <summary>By generation P = 0 says nothing of a logging slot: only a page whose dense bit is set may be written untold.</summary>
    private static Access RightsOf(SegmentCell cell, in Request request, bool isProtected)
    {
        bool clean = false;
        if (request.Slot is { ByGeneration: true, Tracking: not null } && !request.IsWrite && !isProtected)
        {
            clean = !cell.IsMarked(request.Page);
            cell.SetSummary(clean ? 0 : request.Line); // rule 1
        }
        return isProtected || clean ? Access.Read : Access.Read | Access.Write;
    }
}
