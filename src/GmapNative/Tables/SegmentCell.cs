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

    /// <summary>Sets bits; by a locked instruction only where one is missing (rule 1).</summary>
    public void SetSummary(uint lines)
    {
        if ((Volatile.Read(ref *_summary) & lines) != lines)
        {
            Probe.At(Place.SummaryTested);
            Interlocked.Or(ref *_summary, lines);
            Probe.At(Place.SummarySet);
        }
    }

    public void ClearSummary(uint lines)
    {
        Interlocked.And(ref *_summary, ~lines);
        Probe.At(Place.SummaryCleared);
    }

    /// <summary>
    /// Takes the lock of a segment that has a page table, waiting for its holder, who never blocks. False if the entry is no table
    /// (any more). Rule 17.
    /// </summary>
    public bool TryLock(out PageTable table)
    {
        SpinWait spin = default;
        for (; ; )
        {
            SegmentEntry entry = Load();
            if (!entry.IsTable)
            {
                table = default;
                return false;
            }
            if (!entry.IsLocked && TryReplace(entry, entry.WithLock))
            {
                Probe.At(Place.SegmentLocked);
                table = new PageTable(entry.TableOrigin);
                return true;
            }
            Probe.At(Place.Waiting);
            spin.SpinOnce(sleep1Threshold: -1);
        }
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
