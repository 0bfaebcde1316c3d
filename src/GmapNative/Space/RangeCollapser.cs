using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Makes leaves of uniform page tables again while threads use them (rule 23). Under the configuration lock. The tables wait in
/// <see cref="Limbo"/>; the caller takes the grace.
/// </summary>
/// <param name="space">The space.</param>
/// <param name="slot">The slot as it is published: its rights are the leaf's.</param>
/// <param name="harvests">The harvest lock of whoever may still take the slot's entries; null: nobody.</param>
internal sealed class RangeCollapser(AddressSpace space, Slot slot, SlotTracking? harvests)
{
    /// <summary>How the pages of a table are mapped, in what a leaf can say of all of them.</summary>
    private readonly record struct Uniform(bool IsDirty, bool IsAged);

    /// <summary>
    /// Every segment wholly in start..end-1. Timed out: readers hold a full limbo; what is above the last one collapsed is as it was.
    /// </summary>
    public int Collapse(ulong start, ulong end, ref ulong collapsed)
    {
        ulong segment = GuestAddress.SegmentBase(start + GuestAddress.SegmentSize - 1);
        for (; segment >= start && segment < end && end - segment >= GuestAddress.SegmentSize; segment += GuestAddress.SegmentSize)
        {
            int status = space.Limbo.IsFull ? space.Limbo.Reclaim() : Status.Ok;
            if (status != Status.Ok)
            {
                return status;
            }
            space.Limbo.EnsureRoom();
            if (slot.FitsLeaf(segment) && CollapseSegment(segment))
            {
                collapsed++;
                Tell.Collapse(space.Number, segment);
                SpaceCounters.Add(ref space.Counters.Mine.Collapses);
            }
        }
        return CollapseRegions(start, end, ref collapsed);
    }

    /// <summary>
    /// Makes 2 GB leaves of segment tables whose segments are leaves alike (rule 33), where the entries are not the truth: in the old table
    /// calls in flight may still grant and split, and nobody would see it. Nor where PGSTEs may come meanwhile.
    /// </summary>
    private int CollapseRegions(ulong start, ulong end, ref ulong collapsed)
    {
        const ulong Size = GuestAddress.RegionThirdSize;
        ulong region = GuestAddress.RegionBase(start + Size - 1);
        bool may = space.Tree.HasRegionLeaves && !slot.TracksEntries && !space.Tree.PageTables.HasPgstes;
        for (; may && region >= start && region < end && end - region >= Size; region += Size)
        {
            int status = space.Limbo.IsFull ? space.Limbo.Reclaim() : Status.Ok;
            if (status != Status.Ok)
            {
                return status;
            }
            if (slot.FitsRegion(region) && CollapseRegion(region))
            {
                collapsed++;
                Tell.Collapse(space.Number, region);
                SpaceCounters.Add(ref space.Counters.Mine.Collapses);
            }
        }
        return Status.Ok;
    }

    private bool CollapseRegion(ulong region)
    {
        RegionEntry table = space.Tree.TryFindRegion(region, out RegionCell cell) ? cell.Load() : default;
        if (!table.IsTable || table.Origin == 0)
        {
            return false; // no section: only holders of the configuration lock free tables
        }
        harvests?.Take(); // those that began before the slot was unpublished may still take from the table
        nint old;
        using (space.Shadows is { } shadows ? shadows.Gate.EnterScope() : default) // their faults arm pages in it (rule 35)
        {
            RegionEntry leaf = RegionEntry.Leaf(slot.HostOf(region), !slot.IsReadOnly, dirty: true);
            old = IsUniform(new SegmentTable(table.Origin), region) ? space.Tree.TryCollapse(cell, table, leaf) : 0;
        }
        harvests?.Exit();
        if (old != 0)
        {
            space.Limbo.AddBeside(new SegmentTable((ulong)old));
            space.Limbo.AddWhole(old);
        }
        return old != 0;
    }

    /// <summary>Whether all segments are leaves by the slot's rights, and no page is watched.</summary>
    private bool IsUniform(SegmentTable table, ulong region)
    {
        bool alike = table.Watch.Union() == WatchBits.None;
        for (int i = 0; alike && i < GuestAddress.TableEntries; i++)
        {
            SegmentEntry entry = table.Cell(i).Load();
            alike = entry.IsLeaf && entry.IsWritable != slot.IsReadOnly
                && entry.Frame == slot.HostOf(region + ((ulong)i << GuestAddress.SegmentShift));
        }
        return alike;
    }

    /// <summary>
    /// Under the harvest lock: a harvest that came for a table and waits for its lock would find a leaf instead, and pass it over.
    /// </summary>
    private bool CollapseSegment(ulong segment)
    {
        if (!space.Tree.TryFindCell(segment, out SegmentCell cell) || !cell.Load().IsTable)
        {
            return false; // no section: only holders of the configuration lock free tables
        }
        SlotTracking? gate = Probe.LeavesOut(Step.NoHarvestLockInCollapse) ? null : harvests;
        gate?.Take();
        bool done = cell.TryLock(out PageTable table) && (TryLink(cell, table, segment) || Unlock(cell));
        gate?.Exit();
        return done;
    }

    private static bool Unlock(SegmentCell cell)
    {
        cell.Unlock();
        return false;
    }

    /// <summary>Links a leaf in place of a locked table, whose lock ends with it. False: the table is not uniform, and as it was.</summary>
    private bool TryLink(SegmentCell cell, PageTable table, ulong segment)
    {
        if ((space.Tree.PageTables.HasPgstes && table.AnyPgste) || !WatchMarks.Drop(cell, table))
        {
            return false; // a leaf has no place for it (rules 28 and 32)
        }
        if (!IsUniform(table, segment, out Uniform pages) || (slot.TracksEntries && !pages.IsDirty && !TryHold(table)))
        {
            return false;
        }
        bool dirty = !slot.IsReadOnly && (pages.IsDirty || !slot.TracksEntries);
        if (dirty && !slot.ByGeneration)
        {
            cell.SetSummary(SegmentCell.AllLines); // before the leaf lets stores through (rule 2)
        }
        var leaf = SegmentEntry.Leaf(slot.HostOf(segment), !slot.IsReadOnly, dirty);
        Probe.At(Place.SummarySet);
        cell.Unlink(pages.IsAged ? leaf.WithAge : leaf);
        space.Limbo.Add((nint)table.Origin, space.Tree.PageTables.Kind);
        return true;
    }

    /// <summary>Whether all pages are mapped by the slot's rights and, where the entries are the truth, equally dirty.</summary>
    private bool IsUniform(PageTable table, ulong segment, out Uniform pages)
    {
        PageEntry first = table.Load(0);
        bool aged = true;
        for (int page = 0; page < GuestAddress.PageTableEntries; page++)
        {
            PageEntry entry = table.Load(page);
            ulong frame = slot.HostOf(segment + ((ulong)page << GuestAddress.PageShift));
            bool alike = entry.IsPresent && entry.Frame == frame && entry.IsWritable != slot.IsReadOnly
                && (entry.Value & PageEntry.Markers) == 0
                && (!slot.TracksEntries || (entry.IsProtected == first.IsProtected && entry.IsSoftDirty == !entry.IsProtected));
            if (!alike && !Probe.LeavesOut(Step.MixedCollapse))
            {
                pages = default;
                return false;
            }
            aged &= entry.IsInvalid;
        }
        pages = new Uniform(!first.IsProtected, aged);
        return true;
    }

    /// <summary>
    /// Takes the right to write from every entry of a clean table, so that nobody can mark one any more; loads go on. If one was
    /// marked before its turn, all get it back: false.
    /// </summary>
    private static bool TryHold(PageTable table)
    {
        int held = 0;
        while (held < GuestAddress.PageTableEntries)
        {
            PageEntry entry = table.Load(held);
            if (!entry.IsProtected && !Probe.LeavesOut(Step.MixedCollapse))
            {
                break; // an inline writer was here
            }
            held += table.TryReplace(held, entry, Probe.LeavesOut(Step.NoHoldInCollapse) ? entry : entry.WithoutWritable) ? 1 : 0;
            Probe.At(Place.EntryHeld);
        }
        for (int page = 0; page < held && held != GuestAddress.PageTableEntries; page++)
        {
            PageEntry entry = table.Load(page);
            _ = table.TryReplace(page, entry, entry.WithWritable); // nobody else may change it: it cannot be granted, we hold the lock
        }
        return held == GuestAddress.PageTableEntries;
    }
}
