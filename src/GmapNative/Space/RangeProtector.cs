using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Restricts and arms the pages of a range: publish the halfwords, wait for calls, walk, bump, grace (rules 19 and 28). Under the
/// configuration lock and the harvest turns of the slots: nothing but faults and aging changes an entry meanwhile, so that nothing has to
/// be undone.
/// </summary>
internal sealed partial class RangeProtector
{
    private const NotifyFlags Kinds = NotifyFlags.Change | NotifyFlags.Write | NotifyFlags.Shadow;
    private const int BatchSegments = 16; // what is remembered of them is on the stack: 8 KB

    private readonly AddressSpace _space;
    private readonly SlotMap _map;
    private readonly ulong _start;
    private readonly ulong _end;
    private readonly WatchBits _restriction;
    private readonly WatchBits _arms;
    private readonly WatchBits _cancels;
    private readonly bool _wantsWrite;
    private readonly bool _wantsMapped;

    // The first and the last segment, where the range cuts a leaf that has to be split, and the tables for it; 0: it has not.
    private readonly nint[] _spares = new nint[2];

    private RangeProtector(AddressSpace space, ulong start, ulong end, Protection protection, NotifyFlags notify)
    {
        _space = space;
        _map = space.Map;
        _start = start;
        _end = end;
        _wantsWrite = (protection & Protection.Write) != 0;
        _restriction = (_wantsWrite ? WatchBits.None : WatchBits.NoWrite)
            | ((protection & Protection.Read) != 0 ? WatchBits.None : WatchBits.NoRead);
        WatchBits kinds = BitsOf(notify);
        bool cancel = (notify & NotifyFlags.Cancel) != 0;
        _arms = cancel ? WatchBits.None : kinds;
        _cancels = cancel ? kinds : WatchBits.None;
        _cancels |= cancel && Probe.LeavesOut(Step.CancelTakesShadows) ? WatchBits.ByShadows : WatchBits.None;
        _wantsMapped = (notify & NotifyFlags.Mapped) != 0;
    }

    /// <summary>See <c>gmap_protect</c>.</summary>
    public static int Protect(AddressSpace space, ulong address, ulong size, Protection protection, NotifyFlags notify)
    {
        bool known = protection is Protection.None or Protection.Read or (Protection.Read | Protection.Write)
            && (notify & ~(Kinds | NotifyFlags.Cancel | NotifyFlags.Mapped)) == 0
            && ((notify & NotifyFlags.Mapped) == 0 || protection != Protection.None);
        if (!known || !RangeCalls.IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        WatchTally tally = space.Watches.Begin();
        int status;
        using (space.Configuration.Hold())
        {
            if (space.IsDead || space.Options.ByGeneration || size == 0)
            {
                return space.IsDead ? Status.BadHandle : space.Options.ByGeneration ? Status.NotSupported : Status.Ok;
            }
            status = new RangeProtector(space, address, address + size, protection, notify).Run(tally);
            space.Stays.Enter(); // the space cannot end before its notifiers are told
        }
        space.Watches.Settle(address, address + size, tally);
        space.Stays.Leave();
        space.Engine.ReportLockRefusal();
        return status;
    }

    private static WatchBits BitsOf(NotifyFlags notify) =>
        ((notify & NotifyFlags.Change) != 0 ? WatchBits.Change : 0)
        | ((notify & NotifyFlags.Write) != 0 ? WatchBits.Write : 0)
        | ((notify & NotifyFlags.Shadow) != 0 ? WatchBits.Shadow : 0);

    private int Run(in WatchTally tally)
    {
        int status = CheckSlots();
        if (status != Status.Ok)
        {
            return status;
        }
        HoldTurns(hold: true);
        status = _wantsMapped && !IsMapped() ? Status.TryAgain : Prepare();
        if (status == Status.Ok)
        {
            ChangeAll();
        }
        HoldTurns(hold: false);
        GiveBackSpares();
        if (status != Status.Ok)
        {
            return status;
        }
        SpaceCounters.Add(ref _space.Counters.Mine.PagesProtected, (long)((_end - _start) >> GuestAddress.PageShift));
        if (Probe.LeavesOut(Step.ToldBeforeGrace))
        {
            _space.Watches.Settle(_start, _end, tally);
        }
        // Also where no entry changed: it may have lost its rights a moment ago, by a call that has not waited yet.
        bool takes = _restriction != 0 || (_arms & WatchBits.BeforeWrite) != 0;
        return takes ? _space.Limbo.GraceAndReclaim() : Status.Ok;
    }

    /// <summary>Every page has a slot, and each slot's truth is the tables.</summary>
    private int CheckSlots()
    {
        for (ulong at = _start; at < _end;)
        {
            Slot? slot = _map.Find(at);
            if (slot is not { IsPlain: true })
            {
                return slot is null ? Status.Fault : Status.NotSupported;
            }
            at = slot.End;
        }
        return Status.Ok;
    }

    private void HoldTurns(bool hold)
    {
        foreach (Slot slot in _map.Slots)
        {
            if (slot.Tracking is not null && slot.Clips(_start, _end, out _, out _))
            {
                if (hold)
                {
                    slot.Tracking.Turn.Take();
                }
                else
                {
                    slot.Tracking.Turn.Exit();
                }
            }
        }
    }

    /// <summary>Everything that may fail: the policy, watch tables, page tables for leaves that the range cuts.</summary>
    private int Prepare()
    {
        int status = SplitRegions();
        if (status != Status.Ok)
        {
            return status;
        }
        ulong first = GuestAddress.SegmentBase(_start);
        ulong last = GuestAddress.SegmentBase(_end - 1);
        bool splitsFirst = CutsLeaf(first);
        bool splitsLast = last != first && CutsLeaf(last);
        if ((splitsFirst || splitsLast) && _space.Options.Policy == SplitPolicy.Never)
        {
            return Status.NotSupported;
        }
        _spares[0] = splitsFirst ? _space.Tree.PageTables.TryAllocate() : 0;
        _spares[1] = splitsLast ? _space.Tree.PageTables.TryAllocate() : 0;
        bool enough = (_spares[0] != 0 || !splitsFirst) && (_spares[1] != 0 || !splitsLast);
        bool needed = _restriction != 0 || _arms != 0;
        var maker = new WatchMaker(_space.Tree, _space.Engine.Pool, _map);
        return enough && (!needed || maker.TryMake(_start, _end)) ? Status.Ok : Status.NoMemory;
    }

    /// <summary>
    /// Whether a leaf of a segment could not stay: the range has a part of it, and restricts that otherwise than it is, or arms it by the
    /// policy eager.
    /// </summary>
    private bool CutsLeaf(ulong segment)
    {
        Clip(segment, out int first, out int end);
        bool restricts = false;
        bool fits = _space.Options.Huge && _map.Find(AddressOf(segment, first))!.FitsLeaf(segment);
        if (end - first == GuestAddress.PageTableEntries || !fits)
        {
            return false;
        }
        WatchSegment watch = WatchOf(segment);
        for (int page = first; page < end; page++)
        {
            restricts |= (watch.Of(page) & WatchBits.Restricted) != _restriction;
        }
        return restricts || (_space.Options.Policy == SplitPolicy.Eager && _arms != 0);
    }

    private void GiveBackSpares()
    {
        foreach (nint spare in _spares)
        {
            if (spare != 0)
            {
                _space.Tree.PageTables.Free(spare);
            }
        }
    }

    /// <summary>A few segments at a time, so that what their pages were armed for before is known in the walk.</summary>
    private void ChangeAll()
    {
        Span<WatchBits> old = stackalloc WatchBits[BatchSegments * WatchSegment.Pages];
        const ulong Batch = BatchSegments * GuestAddress.SegmentSize;
        for (ulong at = GuestAddress.SegmentBase(_start), stop; at < _end; at = stop)
        {
            stop = _end - at < Batch ? _end : at + Batch;
            // What a shadow fault arms is not passed over.
            using HeldLock family = _space.Shadows is { } shadows ? shadows.Gate.Hold() : default;
            bool late = Probe.LeavesOut(Step.ArmAfterWalk);
            ForEach(at, stop, old, walk: false, dry: late);
            Probe.At(Place.BytesPublished);
            if (!Probe.LeavesOut(Step.ArmWithoutWait))
            {
                _space.Epochs.WaitForCalls();
            }
            ForEach(at, stop, old, walk: true, dry: false);
            Probe.At(Place.Walked);
            if (late)
            {
                ForEach(at, stop, old, walk: false, dry: false);
            }
        }
    }

    private void ForEach(ulong start, ulong stop, Span<WatchBits> old, bool walk, bool dry)
    {
        for (int i = 0; i <= (int)((stop - 1 - start) >> GuestAddress.SegmentShift); i++)
        {
            ulong segment = start + ((ulong)i << GuestAddress.SegmentShift);
            Span<WatchBits> before = old.Slice(i * WatchSegment.Pages, WatchSegment.Pages);
            int section = LibrarySections.Enter();
            WatchSegment watch = WatchOf(segment);
            if (!watch.IsNone && !walk)
            {
                Publish(watch, segment, before, dry);
            }
            else if (!watch.IsNone && _space.Tree.HasRegionLeaves && WalkRegion(segment, start, old))
            {
                i = (int)((GuestAddress.RegionEnd(segment, stop) - 1 - start) >> GuestAddress.SegmentShift); // all of it in one
            }
            else if (!watch.IsNone && _space.Tree.TryFindCell(segment, out SegmentCell cell))
            {
                Walk(cell, segment, before);
            }
            LibrarySections.Leave(section);
        }
    }

    /// <summary>Sets the halfwords; <paramref name="old"/> receives what they were.</summary>
    private void Publish(WatchSegment watch, ulong segment, Span<WatchBits> old, bool dry)
    {
        Clip(segment, out int first, out int end);
        for (int page = 0; page < WatchSegment.Pages; page++)
        {
            WatchBits seen = watch.Of(page);
            bool inside = page >= first && page < end;
            while (inside && !dry && Wanted(seen) != seen && !watch.TryReplace(page, ref seen, Wanted(seen)))
            {
            }
            old[page] = inside ? seen & ~_cancels : seen;
        }
    }

    private WatchBits Wanted(WatchBits seen) => (seen & ~(WatchBits.Restricted | _cancels)) | _restriction | _arms;

    /// <summary>Makes the entries of a segment as their halfwords say.</summary>
    private void Walk(SegmentCell cell, ulong segment, ReadOnlySpan<WatchBits> old)
    {
        for (bool done = false; !done;)
        {
            SegmentEntry entry = cell.Load();
            Probe.At(Place.EntryLoaded);
            ref nint spare = ref _spares[segment == GuestAddress.SegmentBase(_start) ? 0 : 1];
            bool cuts = segment == GuestAddress.SegmentBase(_start) || segment == GuestAddress.SegmentBase(_end - 1);
            if (entry.IsLeaf && cuts && spare != 0)
            {
                _ = _space.Split(cell, segment, spare);
                spare = 0;
            }
            else if (entry.IsLeaf)
            {
                done = TryWalkLeaf(cell, entry, segment, old);
            }
            else if (cell.TryLock(out PageTable table)) // under the turn nobody freezes it
            {
                WalkTable(cell, table, segment, old);
                cell.Unlock();
                done = true;
            }
            else
            {
                done = !cell.Load().IsLeaf; // nothing is mapped: whoever does it looks at the halfwords
            }
        }
    }

    private bool TryWalkLeaf(SegmentCell cell, SegmentEntry entry, ulong segment, ReadOnlySpan<WatchBits> old)
    {
        WatchSegment watch = cell.Watch;
        WatchBits late = Probe.LeavesOut(Step.ArmAfterWalk) ? _restriction | _arms : WatchBits.None;
        bool marks = watch.Any(WatchBits.All) || late != 0;
        SegmentEntry next = marks
            ? entry.WithMarkers(watch.Any(WatchBits.Shadowed) || (late & WatchBits.Shadowed) != 0)
            : entry.WithoutMarkers;
        next = watch.Any(WatchBits.Gate) || (late & WatchBits.Gate) != 0 ? next.WithProtect : next;
        bool hidden = watch.Any(WatchBits.NoRead) || (late & WatchBits.NoRead) != 0;
        next = hidden ? next.WithAge : _wantsMapped && entry.IsAged ? next.WithUse : next;
        if (!cell.TryReplace(entry, next))
        {
            return false;
        }
        Probe.At(Place.MarkerSet);
        if ((!entry.IsProtected && next.IsProtected) || (!entry.IsInvalid && next.IsInvalid))
        {
            WatchBits kinds = WatchBits.None;
            foreach (WatchBits seen in old)
            {
                kinds |= seen & WatchBits.Weakened;
            }
            Clip(segment, out int first, out int end);
            for (int page = 0; kinds != 0 && page < WatchSegment.Pages; page++)
            {
                WatchBits keep = page >= first && page < end ? _arms : WatchBits.None;
                _space.Watches.Take(watch, AddressOf(segment, page), kinds, keep);
            }
        }
        return true;
    }

    /// <summary>Under the lock of the table.</summary>
    private void WalkTable(SegmentCell cell, PageTable table, ulong segment, ReadOnlySpan<WatchBits> old)
    {
        WatchSegment watch = cell.Watch;
        if (WatchMarks.Drop(cell, table) && !Probe.LeavesOut(Step.ArmAfterWalk))
        {
            return; // what was lifted comes back by faults
        }
        cell.SetWatched();
        Clip(segment, out int first, out int end);
        for (int page = first; page < end; page++)
        {
            WatchBits seen = watch.Of(page);
            seen = Probe.LeavesOut(Step.ArmAfterWalk) ? Wanted(seen) : seen;
            PageEntry entry;
            PageEntry next;
            do
            {
                entry = table.Load(page); // an inline writer may be here
                next = WatchMarks.Apply(_wantsMapped && entry.IsAged ? entry.WithUse : entry, seen);
            }
            while (entry.IsPresent && !table.TryReplace(page, entry, next));
            Probe.At(Place.MarkerSet);
            if (entry.IsPresent && ((!entry.IsProtected && next.IsProtected) || (!entry.IsInvalid && next.IsInvalid)))
            {
                _space.Watches.TakeWeakened(watch, AddressOf(segment, page), old[page], _arms);
            }
        }
    }

    /// <summary>Whether each page is mapped, and writable without a fault where that is asked for. What is aged is mapped.</summary>
    private bool IsMapped()
    {
        bool mapped = true;
        for (ulong segment = GuestAddress.SegmentBase(_start), next; mapped && segment < _end; segment = next)
        {
            next = GuestAddress.After(segment | (GuestAddress.SegmentSize - 1));
            int section = LibrarySections.Enter();
            mapped = _space.Tree.TryFindRegionLeaf(segment, out _, out RegionEntry leaf) ? !_wantsWrite || !leaf.IsProtected
                : _space.Tree.TryFindCell(segment, out SegmentCell cell) && IsMapped(cell.Load(), segment);
            LibrarySections.Leave(section);
        }
        return mapped;
    }

    private bool IsMapped(SegmentEntry entry, ulong segment)
    {
        if (entry.IsLeaf)
        {
            return !_wantsWrite || !entry.IsProtected;
        }
        Clip(segment, out int first, out int end);
        bool mapped = entry.IsTable;
        for (int page = first; mapped && page < end; page++)
        {
            PageEntry one = new PageTable(entry.TableOrigin).Load(page);
            mapped = one.IsPresent && (!_wantsWrite || !one.IsProtected);
        }
        return mapped;
    }

    /// <summary>The pages of a segment that lie in the range.</summary>
    private void Clip(ulong segment, out int first, out int end)
    {
        first = segment >= _start ? 0 : GuestAddress.PageIndex(_start);
        end = _end - segment >= GuestAddress.SegmentSize ? GuestAddress.PageTableEntries : GuestAddress.PageIndex(_end);
    }

    private static ulong AddressOf(ulong segment, int page) => segment + ((ulong)page << GuestAddress.PageShift);
}
