using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>When a harvest freezes segments (rule 20) instead of taking them entry by entry.</summary>
internal sealed record Freezing
{
    public static Freezing Never { get; } = new() { LeastLines = int.MaxValue, LeastFlagged = int.MaxValue };

    /// <summary>How many of the 32 lines of a page table have to be flagged: below that its entries cost less than its freeze.</summary>
    public int LeastLines { get; init; } = Probe.FreezesAll ? 1 : 8;

    /// <summary>How many such segments of 2 GB make a barrier worth its cost.</summary>
    public int LeastSegments { get; init; } = Probe.FreezesAll ? 1 : 8;

    /// <summary>How many flagged segments of 2 GB make a harvest by generation swap their dense bits (rule 27).</summary>
    public int LeastFlagged { get; init; } = Probe.FreezesAll ? 1 : 128;

    /// <summary>How long writers of frozen segments may be held up by a reader that does not leave; 0: for ever.</summary>
    public ulong LongestNanoseconds { get; init; } = 500_000;
}

/// <summary>
/// Takes dense segments of a slot: freeze, grace, plain edits, thaw (rule 20). Under the slot's harvest turn and lock, in no section; the
/// lock is let go while it waits. Allocates nothing.
/// </summary>
internal struct SegmentFreezer(AddressSpace space, Slot slot, SlotTracking tracking, DirtySink sink)
{
    /// <summary>Segments that wait for one grace: their tables fit into a processor's cache, their writers wait not for long.</summary>
    public const int Chunk = 256;

    private const int Ahead = 2; // page tables that are brought near before they are edited
    private const int GroupLines = PageTable.GroupPages / PageTable.LinePages;

    private readonly EpochOutlet _outlet = new(tracking, sink);
    private readonly Freezing _freezing = space.Engine.Options.Freezing;
    private bool _hasTimedOut;

    /// <summary>Whether a segment, wholly in the range of the harvest, is one for <see cref="Take"/>.</summary>
    public readonly bool Suits(SegmentCell cell) =>
        System.Numerics.BitOperations.PopCount(cell.Summary) >= _freezing.LeastLines && cell.Load().IsTable;

    /// <summary>
    /// Takes segments (their addresses) into the epoch of the consumer. <see cref="Status.TryAgain"/>: the slot was changed meanwhile,
    /// some are as they were.
    /// </summary>
    public int Take(ReadOnlySpan<ulong> segments, ref long taken)
    {
        int status = Status.Ok;
        while (segments.Length != 0 && status == Status.Ok)
        {
            ReadOnlySpan<ulong> chunk = segments[..Math.Min(Chunk, segments.Length)];
            status = _hasTimedOut || chunk.Length < _freezing.LeastSegments
                ? TakeByEntry(chunk, ref taken)
                : TakeFrozen(chunk, ref taken);
            segments = segments[chunk.Length..];
        }
        return status;
    }

    private int TakeFrozen(ReadOnlySpan<ulong> chunk, ref long taken)
    {
        int section = LibrarySections.Enter();
        bool found = true;
        for (int i = 0; found && i < chunk.Length; i++)
        {
            found = space.Tree.TryFindCell(chunk[i], out SegmentCell cell) && cell.TryFreeze(out _);
            if (!found)
            {
                Thaw(chunk[..i]); // no page table any more: nobody may have taken it away
                space.Thaws.Announce();
            }
        }
        LibrarySections.Leave(section);
        if (!found)
        {
            return TakeByEntry(chunk, ref taken);
        }
        int grace = WaitForGrace(taken);
        section = LibrarySections.Enter();
        Slot? now = space.Map.ById(slot.Id);
        bool changed = now?.Tracking != tracking || now.Backing is not null;
        if (changed || grace != Status.Ok)
        {
            Thaw(chunk);
        }
        else
        {
            Edit(chunk, ref taken);
        }
        space.Thaws.Announce();
        LibrarySections.Leave(section);
        _hasTimedOut |= grace != Status.Ok;
        return changed ? Status.TryAgain : grace != Status.Ok ? TakeByEntry(chunk, ref taken) : Status.Ok;
    }

    /// <summary>
    /// Waits without the harvest lock: somebody may want it in a section. What was taken so far counts as moved: another harvest may
    /// deliver it now.
    /// </summary>
    private readonly int WaitForGrace(long taken)
    {
        if (Probe.LeavesOut(Step.HarvestLockOverFreeze))
        {
            return space.Epochs.WaitForGrace(_freezing.LongestNanoseconds);
        }
        sink.Moves += taken != 0 && !Probe.LeavesOut(Step.FreezeMovesUncounted) ? 1UL : 0;
        tracking.Gate.Exit();
        int status = Probe.LeavesOut(Step.NoFreezeGrace) ? Status.Ok : space.Epochs.WaitForGrace(_freezing.LongestNanoseconds);
        tracking.Gate.Take();
        return status;
    }

    private readonly void Edit(ReadOnlySpan<ulong> chunk, ref long taken)
    {
        for (int i = 0; i < Ahead && i < chunk.Length; i++)
        {
            Prefetch(Cell(chunk[i]));
        }
        for (int i = 0; i < chunk.Length; i++)
        {
            if (i + Ahead < chunk.Length)
            {
                Prefetch(Cell(chunk[i + Ahead]));
            }
            ulong first = slot.PageOf(chunk[i]);
            long pages = Edit(Cell(chunk[i]), first, _outlet.Of(first, GuestAddress.PageTableEntries, out bool whole));
            _outlet.Count(whole, pages);
            taken += pages;
        }
    }

    private static void Prefetch(SegmentCell cell) => new PageTable(cell.Load().TableOrigin).Prefetch(cell.Summary);

    private static long Edit(SegmentCell cell, ulong first, in Outlet into)
    {
        long taken = 0;
        var table = new PageTable(cell.Load().TableOrigin);
        uint flagged = cell.TakeSummary();
        if (Probe.LeavesOut(Step.ThawBeforeEdit))
        {
            cell.Thaw();
        }
        for (int group = 0; group < PageTable.Groups; group++, flagged >>= GroupLines)
        {
            uint lines = flagged & byte.MaxValue;
            ulong pages = table.SoftDirty(group, lines);
            if (pages != 0)
            {
                into.OrAlone(first + ((ulong)group * PageTable.GroupPages), pages);
                Probe.At(Place.Poured);
                table.ArmFrozen(group, lines);
                Probe.At(Place.EntryArmed);
                taken += System.Numerics.BitOperations.PopCount(pages);
            }
        }
        if (!Probe.LeavesOut(Step.ThawBeforeEdit))
        {
            cell.Thaw();
        }
        return taken;
    }

    private readonly int TakeByEntry(ReadOnlySpan<ulong> segments, ref long taken)
    {
        int section = LibrarySections.Enter();
        foreach (ulong segment in segments)
        {
            var walk = new SegmentWalk(space, slot);
            if (space.Tree.TryFindCell(segment, out SegmentCell cell))
            {
                taken += walk.TakeSegment(cell, segment, segment, segment + GuestAddress.SegmentSize, _outlet.Each, rearm: true);
            }
        }
        LibrarySections.Leave(section);
        return Status.Ok;
    }

    private readonly void Thaw(ReadOnlySpan<ulong> chunk)
    {
        foreach (ulong segment in chunk)
        {
            Cell(segment).Thaw();
        }
    }

    /// <summary>
    /// Of a segment that was found when it was frozen. Under the turn no page table is unlinked, nor so a segment table of the slot: it
    /// lasts until the thaw, also out of sections.
    /// </summary>
    private readonly SegmentCell Cell(ulong segment)
    {
        _ = space.Tree.TryFindCell(segment, out SegmentCell cell);
        return cell;
    }
}

/// <summary>
/// How often segments of a space were thawed: what a call that met a frozen one waits for between two sections. Not which.
/// </summary>
internal sealed class ThawCount
{
    private int _count;

    public int Now => Volatile.Read(ref _count);

    public void Announce() => Interlocked.Increment(ref _count);

    /// <summary>Returns when something was thawed since <see cref="Now"/> was <paramref name="seen"/>. In no section.</summary>
    public void WaitPast(int seen)
    {
        Probe.At(Place.FrozenLeft);
        SpinWait spin = default;
        while (Now == seen)
        {
            Probe.At(Place.Waiting);
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }
}
