using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// The place of one segment in a live segment table: its entry and its summary word. Valid like <see cref="PageTable"/>.
/// </summary>
internal readonly unsafe struct SegmentCell(ulong* entry, uint* summary)
{
    public const uint AllLines = uint.MaxValue;

    // Both inside one segment table of the arena, aligned to their size; the table is not reused before a grace.
    private readonly ulong* _entry = entry;
    private readonly uint* _summary = summary;

    public SegmentEntry Load() => new(Volatile.Read(ref *_entry));

    public bool TryReplace(SegmentEntry expected, SegmentEntry value) =>
        Interlocked.CompareExchange(ref *_entry, value.Value, expected.Value) == expected.Value;

    /// <summary>Bit k: an entry in cache line k of the page table may be soft-dirty.</summary>
    public uint Summary => Volatile.Read(ref *_summary);

    /// <summary>Sets bits, then their stripe's; by a locked instruction only where one is missing (rules 1 and 39).</summary>
    public void SetSummary(uint lines)
    {
        if (lines == 0)
        {
            return;
        }
        bool missing = (Volatile.Read(ref *_summary) & lines) != lines;
        if (missing)
        {
            if (Probe.LeavesOut(Step.StripeBeforeSummary))
            {
                Table.FlagStripe(Index);
            }
            Probe.At(Place.SummaryTested);
            Interlocked.Or(ref *_summary, lines);
            Probe.At(Place.SummarySet);
        }
        if ((missing || !Probe.LeavesOut(Step.NoStripeForSecond)) && !Probe.LeavesOut(Step.StripeBeforeSummary))
        {
            Table.FlagStripe(Index); // also where another set the bit, and has not come so far
        }
    }

    /// <summary>Clears all bits; which were set.</summary>
    public uint TakeSummary()
    {
        uint lines = Interlocked.Exchange(ref *_summary, 0);
        Probe.At(Place.SummaryCleared);
        return lines;
    }

    public void ClearSummary(uint lines)
    {
        Interlocked.And(ref *_summary, ~lines);
        Probe.At(Place.SummaryCleared);
    }

    /// <summary>Whether the dense bit of a page is set, where the space tracks by generation.</summary>
    public bool IsMarked(int page) => Dense.IsSet(page);

    /// <summary>Sets the dense bit of a page, then its summary bit (rules 1 and 26); true if this call set the dense one.</summary>
    public bool Mark(int page)
    {
        bool marked = Dense.Set(page);
        if (marked || !Probe.LeavesOut(Step.NoSummaryForSecond))
        {
            SetSummary(1u << (page / PageTable.LinePages));
        }
        return marked;
    }

    /// <summary>
    /// Takes the lock of a segment that has a page table, waiting for its holder, who never blocks. False if the entry is no table
    /// (any more). Rule 17. For those who never meet a frozen segment: they hold the harvest turn of its slot.
    /// </summary>
    public bool TryLock(out PageTable table)
    {
        SpinWait spin = default;
        while (!TryLock(out table, out bool frozen))
        {
            if (!frozen)
            {
                return false;
            }
            Wait(ref spin);
        }
        return true;
    }

    /// <summary>
    /// As above, for everybody else: who freezes waits for sections, so nobody may wait for the thaw in one (rule 8). False and
    /// <paramref name="frozen"/>: end the section, wait, and begin again.
    /// </summary>
    public bool TryLock(out PageTable table, out bool frozen) => TryTake(freezes: false, out table, out frozen);

    /// <summary>
    /// Freezes a segment that has a page table (rule 20); false: none, or a watched one (rule 28). Under the harvest turn and lock of its
    /// slot.
    /// </summary>
    public bool TryFreeze(out PageTable table) => TryTake(freezes: true, out table, out _);

    public void Thaw()
    {
        Interlocked.And(ref *_entry, ~(SegmentEntry.FrozenBit | SegmentEntry.Protect));
        Probe.At(Place.SegmentThawed);
    }

    /// <summary>What is known of its watched pages (rule 28).</summary>
    public WatchSegment Watch => Table.Watch.Segment(Index);

    /// <summary>From now on entries of the table may carry markers. Under its lock, before the first does (rule 28).</summary>
    public void SetWatched()
    {
        if (!Load().IsWatched)
        {
            Interlocked.Or(ref *_entry, SegmentEntry.WatchedBit);
        }
    }

    /// <summary>No entry carries one any more. Under the lock of the table.</summary>
    public void ClearWatched() => Interlocked.And(ref *_entry, ~SegmentEntry.WatchedBit);

    private DenseSegment Dense => Table.Dense.Segment(Index);

    // Entries are 16 KB aligned: the table, and its links, are found from any of them.
    private SegmentTable Table => new((ulong)_entry & ~(ulong)(SegmentTable.SummaryOffset - 1));

    private int Index => (int)(((ulong)_entry & (SegmentTable.SummaryOffset - 1)) / sizeof(ulong));

    private static bool FreezesWatched => Probe.LeavesOut(Step.WatchedIsFrozen) || Probe.LeavesOut(Step.WatchedTakenFast);

    private bool TryTake(bool freezes, out PageTable table, out bool frozen)
    {
        SpinWait spin = default;
        for (; ; )
        {
            SegmentEntry entry = Load();
            frozen = entry.IsFrozen;
            table = new PageTable(entry.TableOrigin);
            if (!entry.IsTable || frozen || (freezes && entry.IsWatched && !FreezesWatched))
            {
                return false;
            }
            if (!entry.IsLocked && TryReplace(entry, freezes ? entry.WithFreeze : entry.WithLock))
            {
                Probe.At(freezes ? Place.SegmentFrozen : Place.SegmentLocked);
                return true;
            }
            Wait(ref spin);
        }
    }

    private static void Wait(ref SpinWait spin)
    {
        Probe.At(Place.Waiting);
        spin.SpinOnce(sleep1Threshold: -1);
    }

    public void Unlock()
    {
        Interlocked.And(ref *_entry, ~SegmentEntry.LockBit);
        Probe.At(Place.SegmentUnlocked);
    }

    /// <summary>Replaces a locked table entry, whose lock ends with it.</summary>
    public void Unlink(SegmentEntry value)
    {
        Interlocked.Exchange(ref *_entry, value.Value);
        Probe.At(Place.TableUnlinked);
    }
}
