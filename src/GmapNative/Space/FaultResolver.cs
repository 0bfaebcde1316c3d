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
    GuestTables = 7,
    Missing = 8,
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

    /// <summary>Of a shadow: how many spaces below it the condition belongs to.</summary>
    public uint Depth;

    /// <summary>Of a shadow: the entry of the guest's table that ended the walk; 0: none.</summary>
    public ulong TableAddress;

    public FaultDone Done;

    /// <summary>
    /// Pages of a slot whose entries are tracked that became dirty, and in any slot those that were granted; by generation of any slot.
    /// </summary>
    public uint Dirtied;
}

/// <summary>
/// Resolves accesses: maps the largest leaf that is allowed, splits, grants. In a section; allocates nothing on the managed heap.
/// </summary>
internal sealed partial class FaultResolver(AddressSpace space)
{
    /// <summary>Never leaves the engine: the segment is frozen; end the section, wait, and ask again (rules 8 and 20).</summary>
    public const int Frozen = int.MinValue;

    /// <summary>
    /// Never leaves the engine: notifiers are to be told before the write, or are just told; end the section, let
    /// <see cref="Watches.SettleWrite"/> do it, and ask again (rule 30).
    /// </summary>
    public const int Watched = int.MinValue + 1;

    private readonly TableTree _tree = space.Tree;
    private readonly SpaceCounters _counters = space.Counters;

    /// <summary>One access, with everything that does not change while it is resolved.</summary>
    private readonly record struct Request(ulong Address, bool IsWrite, int Thread, Slot Slot, SlotMap Map)
    {
        public ulong Segment => GuestAddress.SegmentBase(Address);

        public ulong Region => GuestAddress.RegionBase(Address);

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

        public uint DirtiedRegion => Slot.TracksEntries ? (uint)GuestAddress.RegionThirdPages : 0;
    }

    /// <summary>0, a program-interruption code with a reason, frozen, watched, or no memory with nothing changed.</summary>
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
        if (space.Shadow is { } shadow)
        {
            return shadow.Faults.Resolve(view, address, access, thread, out outcome);
        }
        int status = Resolve(address, access, thread, out outcome);
        return status is Frozen or Watched ? ResolveLater(view, address, access, thread, ref outcome) : status;
    }

    private int ResolveLater(View view, ulong address, Access access, int thread, ref FaultOutcome outcome)
    {
        for (; ; )
        {
            FaultDone done = outcome.Done;
            uint dirtied = outcome.Dirtied;
            int seen = space.Thaws.Now; // before the look: what thaws after it is told after this
            int status = Resolve(address, access, thread, out outcome);
            outcome.Done |= done;
            outcome.Dirtied += dirtied;
            if (status is not (Frozen or Watched))
            {
                return status;
            }
            view.LeaveCall();
            view.Leave();
            status = Wait(status, address, seen);
            view.EnterCall();
            if (status != Status.Ok)
            {
                return status;
            }
        }
    }

    /// <summary>
    /// Between two sections: what makes <see cref="Frozen"/> or <see cref="Watched"/> another answer the next time. A status.
    /// </summary>
    /// <param name="status">Which of them it was.</param>
    /// <param name="address">Of the access.</param>
    /// <param name="thaws">How often segments had been thawed before it was looked at.</param>
    public int Wait(int status, ulong address, int thaws)
    {
        if (status == Watched)
        {
            return space.Watches.SettleWrite(address, byHost: false);
        }
        space.Thaws.WaitPast(thaws);
        return Status.Ok;
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
        if (status is Frozen or Watched)
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
        Slot? slot = _tree.IsHole(address) ? null : map.Find(address);
        bool write = (access & Access.Write) != 0;
        if (slot is null || (write && slot.IsReadOnly))
        {
            SpaceCounters.Add(ref _counters.Of(thread).GuestConditions);
            return slot is null ? NoSlot(address, ref outcome) : Refuse(FaultReason.ReadOnlySlot, Status.Protection, ref outcome);
        }
        if (slot.Missing is { } missing && missing.Wants(slot.PageOf(address), 1))
        {
            return Refuse(FaultReason.Missing, Status.TryAgain, ref outcome); // rule 38: nobody waits for it here
        }
        var request = new Request(address, write, thread, slot, map);
        int status = _tree.HasRegionLeaves ? ResolveRegion(request, ref outcome) : Below;
        status = status == Below ? ResolveSegment(request, ref outcome) : status;
        if (status == Status.Ok)
        {
            ref CounterWords counted = ref _counters.Of(thread);
            SpaceCounters.Add(ref write ? ref counted.WriteFaults : ref counted.ReadFaults);
        }
        return status;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)] // as above
    private int ResolveSegment(in Request request, ref FaultOutcome outcome)
    {
        if (!_tree.TryMakeCell(request.Address, request.Map, out SegmentCell cell))
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
        return status;
    }

    /// <summary>The condition for an address that no slot covers.</summary>
    public int NoSlot(ulong address, ref FaultOutcome outcome)
    {
        if (address <= space.Limit)
        {
            return Refuse(FaultReason.NoSlot, Status.Addressing, ref outcome);
        }
        bool outOfReach = !Asce.Reaches(_tree.Asce.Type, address);
        return Refuse(FaultReason.BeyondLimit, outOfReach ? Status.AsceType : Status.Addressing, ref outcome);
    }

    private static int Refuse(FaultReason reason, int code, ref FaultOutcome outcome)
    {
        outcome.Reason = reason;
        return code;
    }

    private int ResolveLeaf(SegmentCell cell, SegmentEntry entry, in Request request, ref FaultOutcome outcome)
    {
        WatchBits watch = entry.IsMarked ? cell.Watch.Of(request.Page) : WatchBits.None;
        if (entry.IsAged && (watch & WatchBits.NoRead) == 0)
        {
            _ = cell.TryReplace(entry, entry.WithUse);
            return Status.TryAgain;
        }
        if (IsForbidden(watch, request))
        {
            return Forbid(request, ref outcome);
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
        bool whole = space.Options.Policy == SplitPolicy.Never || (!request.Slot.TracksEntries && !(entry.IsMarked && AsksAnywhere(cell)));
        if (whole || !entry.IsWritable)
        {
            if (entry.IsMarked && entry.IsWritable && AsksBeforeWrite(cell.Watch, request))
            {
                return Watched;
            }
            // An entry from before the slot became writable gets the right first: the slot decides, not the entry.
            SegmentEntry next = entry.IsWritable ? entry.WithGrant : entry.WithWritable;
            Probe.At(Place.BytesRead);
            if (cell.TryReplace(entry, next) && next.IsDirty)
            {
                bool clean = !entry.IsSoftDirty;
                SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsGranted, clean ? 1 : 0);
                outcome.Done |= clean ? FaultDone.Granted : FaultDone.None;
                outcome.Dirtied += clean ? request.DirtiedLeaf : 0;
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
