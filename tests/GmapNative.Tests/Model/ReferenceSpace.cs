using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>What the reference model answers to an access.</summary>
internal readonly record struct Answer(
    int Status, FaultReason Reason = 0, FaultDone Done = 0, ulong Host = 0, ulong LeafSize = 0, Access Rights = 0)
{
    public static Answer Of(int status, in FaultOutcome outcome) => status == 0
        ? new(status, 0, outcome.Done, outcome.HostAddress, outcome.LeafSize, outcome.Rights)
        : new(status, outcome.Reason);
}

internal sealed record ReferenceSlot(uint Id, ulong Start, ulong Size, ulong Host, bool ReadOnly)
{
    /// <summary>Dirty pages (guest numbers) that are in no mapping; null where logging is off.</summary>
    public HashSet<ulong>? Log { get; init; }

    /// <summary>Whether it logs for its own sake, and not because another one asks.</summary>
    public bool Asks { get; init; }

    /// <summary>What consumers have of it while it logs.</summary>
    public List<ReferencePart> Parts { get; init; } = [];

    /// <summary>Pages (guest numbers) that the kernel saw written, where a backing is the truth; else null.</summary>
    public HashSet<ulong>? Kernel { get; init; }

    /// <summary>Pages (guest numbers) that are to come, where some are; null: there is nothing of the kind.</summary>
    public HashSet<ulong>? Missing { get; init; }

    /// <summary>Whether its mappings alone say what may be done.</summary>
    public bool IsPlain => Kernel is null && Missing is null;

    /// <summary>Whether mappings are the truth of what is dirty.</summary>
    public bool Tracked => Log is not null && Kernel is null && Marked is null;

    /// <summary>Pages (guest numbers) written since they were last taken, where the space tracks by generation; else null.</summary>
    public HashSet<ulong>? Marked { get; init; }

    public ulong End => Start + Size;

    public ulong FirstPage => Start >> 12;

    public ulong Pages => Size >> 12;

    /// <summary>Pages that are dirty now, for everybody.</summary>
    public void Pour(IEnumerable<ulong> pages)
    {
        ulong[] all = Log is null ? [] : [.. pages];
        Log?.UnionWith(all);
        Parts.ForEach(part => part.Log.UnionWith(all));
    }

    public bool Covers(ulong start, ulong size) => start >= Start && start < End && End - start >= size;
}

/// <summary>
/// A space as it is documented, slow and without tables: a dictionary of mapped 4 KB pages (true: written since it was last made
/// clean), the segments that are leaves or have page tables, and the slots.
/// </summary>
internal sealed partial class ReferenceSpace(
    ulong limit, SplitPolicy policy, bool huge, bool byGeneration = false, bool pgstes = false, bool globalDirty = false)
{
    private readonly Dictionary<ulong, bool> _pages = [];
    private readonly HashSet<ulong> _leaves = [];
    private readonly HashSet<ulong> _tables = [];
    private readonly HashSet<ulong> _regions = []; // segment tables, by address >> 31
    private readonly HashSet<ulong> _thirds = [];  // region-third tables that are not the top, by address >> 42
    private readonly HashSet<ulong> _seconds = []; // region-second tables, likewise, by address >> 53

    public SortedList<uint, ReferenceSlot> Slots { get; } = [];

    public ulong Limit { get; private set; } = limit | 0xFFF;

    public bool ByGeneration => byGeneration;

    public long Splits { get; private set; }

    public long SegmentsMapped { get; private set; }

    public long PagesMapped { get; private set; }

    public long PagesGranted { get; private set; }

    public long SegmentsGranted { get; private set; }

    public long PagesUnmapped { get; private set; }

    public long Armings { get; private set; }

    public long PagesTaken { get; private set; }

    public int PageTables => _tables.Count;

    public int Mapped => _pages.Count;

    private bool HasRegions => Levels != 0;

    /// <summary>Region tables above a segment table.</summary>
    public int Levels => Limit >> 31 == 0 ? 0 : Limit >> 42 == 0 ? 1 : Limit >> 53 == 0 ? 2 : 3;

    public ReferenceSlot? Find(ulong address) => Slots.Values.FirstOrDefault(s => address >= s.Start && address < s.End);

    public Answer Fault(ulong address, bool write)
    {
        ReferenceSlot? slot = Find(address);
        if (slot is null)
        {
            return NoSlot(address);
        }
        if (write && slot.ReadOnly)
        {
            return new(Status.Protection, FaultReason.ReadOnlySlot);
        }
        ulong segment = address >> 20, page = address >> 12;
        if (slot.Missing?.Contains(page) is true)
        {
            return new(Status.TryAgain, FaultReason.Missing);
        }
        AddTables(address);
        if (Forbids(address, write))
        {
            _ = _leaves.Contains(segment) && !Forbids(address, write: false) && UseLeaf(address);
            return new(Status.Protection, FaultReason.Protected);
        }
        UseFor(address, write);
        bool tracked = slot.Tracked;
        bool splits = tracked && policy != SplitPolicy.Never;
        bool beginsDirty = !slot.ReadOnly && (write || (!tracked && !Forbids(address, write: true)));
        FaultDone done = 0;
        if (!_leaves.Contains(segment) && !_tables.Contains(segment))
        {
            done |= MapSegment(slot, segment, beginsDirty && !splits);
        }
        if (_leaves.Contains(segment) && write && !IsOpen(page))
        {
            done |= splits ? Split(segment) : _pages[page] ? Regrant(segment) : Grant(segment << 8, 256);
        }
        if (!_pages.TryGetValue(page, out bool dirty))
        {
            _pages[page] = beginsDirty;
            PagesMapped++;
            done |= FaultDone.Mapped | (beginsDirty && slot.Marked is null ? FaultDone.Granted : 0);
        }
        else if (write && dirty && _asks.Contains(page) && _shadowed.Contains(page))
        {
            GrantAfterShadows(page);
        }
        else if (write && (!dirty || _asks.Contains(page)))
        {
            Regranted += dirty ? 1 : 0;
            done |= Grant(page, 1);
        }
        done |= write ? Mark(slot, page) : 0;
        return Mapping(slot, address) with { Done = done };
    }

    /// <summary>A store that was marked, by generation.</summary>
    public void Stored(ReferenceSlot slot, ulong page) => slot.Marked?.Add(page);

    /// <summary>What the mappings say, as the machine would find it from the top table down.</summary>
    public Answer Translate(ulong address, bool write)
    {
        ReferenceSlot? slot = Find(address);
        ulong segment = address >> 20;
        if (address > Limit)
        {
            return NoSlot(address);
        }
        if (MissingTable(address) is int missing)
        {
            return Missing(slot, missing);
        }
        if (!_leaves.Contains(segment) && !_tables.Contains(segment))
        {
            return Missing(slot, Status.SegmentTranslation);
        }
        if (!_pages.TryGetValue(address >> 12, out bool dirty))
        {
            return Missing(slot, Status.PageTranslation);
        }
        if (slot is not null && Forbids(address, write && !slot.ReadOnly))
        {
            return new(Status.Protection, FaultReason.Protected);
        }
        if (_aged.Contains(address >> 12))
        {
            return new(_leaves.Contains(segment) ? Status.SegmentTranslation : Status.PageTranslation, FaultReason.NeedsFault);
        }
        return !write || (dirty && !_asks.Contains(address >> 12) && !IsClean(slot!, address >> 12)) ? Mapping(slot!, address)
            : new(Status.Protection, slot!.ReadOnly ? FaultReason.ReadOnlySlot : FaultReason.NeedsFault);
    }

    private void Make(ReferenceSlot slot, bool initiallyDirty)
    {
        slot = Joined(slot with { Marked = byGeneration ? [] : null });
        Slots.Add(slot.Id, slot);
        Armings += slot.Log is null ? 0 : 1;
        slot.Pour(initiallyDirty ? PagesOf(slot) : []);
    }

    private HashSet<ulong> Remove(ReferenceSlot slot)
    {
        UnmapSlot(slot, slot.Start, slot.End, goes: true);
        Slots.Remove(slot.Id);
        _tables.RemoveWhere(segment => !AnySlot(segment << 20, GuestAddress.SegmentSize));
        RemoveTables(slot);
        RemoveWatchTables();
        Collect(slot);
        slot.Parts.ForEach(part => part.IsGone = true);
        return slot.Log ?? [];
    }

    /// <summary>Logging and the right to write. The last dirty pages, where logging ends and they are asked for.</summary>
    private HashSet<ulong> Switch(ReferenceSlot old, bool readOnly, bool log, bool initiallyDirty, bool wantsFinal)
    {
        HashSet<ulong> final = [];
        if (readOnly != old.ReadOnly)
        {
            UnmapSlot(old, old.Start, old.End);
        }
        if (old.Log is not null && !log && (wantsFinal || old.Parts.Count != 0))
        {
            if (old.Kernel is null)
            {
                Take(old, old.FirstPage, old.Pages);
            }
            Collect(old);
            final = wantsFinal ? old.Log : [];
        }
        bool arms = old.Log is null && log;
        ReferenceSlot slot = old with { ReadOnly = readOnly, Log = !log ? null : old.Log ?? [], Parts = log ? old.Parts : [] };
        Slots[old.Id] = slot;
        if (old.Log is not null && !log)
        {
            old.Parts.ForEach(part => part.IsGone = true);
            Collapse(slot.Start, slot.End);
        }
        if (arms)
        {
            Armings++;
            if (slot.Tracked && !initiallyDirty)
            {
                Take(slot, slot.FirstPage, slot.Pages); // what was dirty before logging is history
            }
            slot.Kernel?.Clear();
            if (!initiallyDirty)
            {
                slot.Marked?.Clear(); // else nothing is walked: the first harvest of a page takes its mark
            }
            slot.Log!.Clear();
            Slots[old.Id] = slot = Joined(slot);
            slot.Pour(initiallyDirty ? PagesOf(slot) : []);
        }
        return final;
    }

    public bool CanLimit(ulong limit) => Slots.Values.All(slot => slot.End - 1 <= (limit | 0xFFF));

    public void SetLimit(ulong limit)
    {
        int levels = Levels;
        Limit = limit | 0xFFF;
        ChangeTop(levels);
    }

    public void Unmap(ulong start, ulong end)
    {
        foreach (ReferenceSlot slot in Slots.Values)
        {
            UnmapSlot(slot, Math.Max(start, slot.Start), Math.Min(end, slot.End));
        }
    }

    /// <summary>Dirty pages of a range (guest page numbers), nothing changed.</summary>
    public HashSet<ulong> Get(ReferenceSlot slot, ulong first, ulong count) =>
        [.. Pages(first, count).Where(page => slot.Log!.Contains(page) || DirtyInTruth(slot, page))];

    public HashSet<ulong> Harvest(ReferenceSlot slot, ulong first, ulong count, bool rearm)
    {
        HashSet<ulong> found = Get(slot, first, count);
        if (rearm)
        {
            PagesTaken += Take(slot, first, count);
        }
        slot.Log!.ExceptWith(found);
        return found;
    }

    public void Clear(ReferenceSlot slot, IEnumerable<ulong> pages)
    {
        foreach (ulong page in pages)
        {
            PagesTaken += Take(slot, page, 1);
            slot.Log!.Remove(page);
        }
    }

    /// <summary>Every page from the first byte to the last, if all have slots.</summary>
    public bool Mark(ulong address, ulong size)
    {
        ulong[] pages = size == 0 ? [] : [.. Pages(address >> 12, ((address + size - 1) >> 12) - (address >> 12) + 1)];
        bool wraps = size != 0 && address + size - 1 < address;
        bool all = !wraps && pages.All(page => Find(page << 12) is not null);
        foreach (ulong page in all ? pages : [])
        {
            Find(page << 12)!.Pour([page]);
        }
        return all;
    }

    public Answer NoSlot(ulong address) => address <= Limit
        ? new(Status.Addressing, FaultReason.NoSlot)
        : new(Levels < 3 && address >> (31 + (11 * Levels)) != 0 ? Status.AsceType : Status.Addressing, FaultReason.BeyondLimit);

    private Answer Mapping(ReferenceSlot slot, ulong address) => new(
        Status.Ok,
        Host: slot.Host + (address - slot.Start),
        LeafSize: _leaves.Contains(address >> 20) ? GuestAddress.SegmentSize : GuestAddress.PageSize,
        Rights: IsOpen(address >> 12) && !IsClean(slot, address >> 12) ? Access.Read | Access.Write : Access.Read);

    private static bool IsClean(ReferenceSlot slot, ulong page) => slot.Log is not null && slot.Marked?.Contains(page) == false;

    private FaultDone Mark(ReferenceSlot slot, ulong page)
    {
        bool granted = slot.Marked?.Add(page) == true && slot.Log is not null;
        PagesGranted += granted ? 1 : 0;
        return granted ? FaultDone.Granted : 0;
    }

    private static Answer Missing(ReferenceSlot? slot, int code) =>
        slot is null ? new(Status.Addressing, FaultReason.NoSlot) : new(code, FaultReason.NotMapped);

    private bool AnySlot(ulong start, ulong size) => Slots.Values.Any(slot => slot.Start <= start + (size - 1) && slot.End > start);

    private FaultDone MapSegment(ReferenceSlot slot, ulong segment, bool dirty)
    {
        if (!FitsLeaf(slot, segment) || !Agrees(segment))
        {
            _tables.Add(segment);
            return FaultDone.None;
        }
        _leaves.Add(segment);
        SegmentsMapped++;
        foreach (ulong page in Pages(segment << 8, 256))
        {
            _pages[page] = dirty;
        }
        return FaultDone.Mapped;
    }

    private FaultDone Split(ulong segment)
    {
        _leaves.Remove(segment);
        _tables.Add(segment);
        Splits++;
        return FaultDone.Split;
    }

    private FaultDone Grant(ulong first, ulong count)
    {
        PagesGranted += count == 1 ? 1 : 0;
        SegmentsGranted += count == 1 ? 0 : 1;
        foreach (ulong page in Pages(first, count))
        {
            _pages[page] = true;
            _asks.Remove(page);
        }
        return FaultDone.Granted;
    }

    /// <summary>A leaf that is dirty and asked all the same: nothing becomes dirty.</summary>
    private FaultDone Regrant(ulong segment)
    {
        _asks.ExceptWith(Pages(segment << 8, 256));
        return FaultDone.None;
    }

    /// <summary>Moves dirt from mappings into the log and protects them. A leaf goes as a whole. How many pages went.</summary>
    private long Take(ReferenceSlot slot, ulong first, ulong count)
    {
        long taken = 0;
        foreach (ulong page in Pages(first, count).Where(page => DirtyInTruth(slot, page)))
        {
            if ((slot.Kernel ?? slot.Marked) is { } truth)
            {
                truth.Remove(page);
                slot.Pour([page]);
                taken++;
                continue;
            }
            bool leaf = _leaves.Contains(page >> 8);
            foreach (ulong one in leaf ? Pages(page & ~255UL, 256) : [page])
            {
                _pages[one] = false;
                _asks.Remove(one);
                slot.Pour([one]);
                taken++;
            }
        }
        return taken;
    }

    private void UnmapSlot(ReferenceSlot slot, ulong start, ulong end, bool goes = false)
    {
        for (ulong at = start, stop; at < end; at = stop)
        {
            ulong segment = at >> 20;
            stop = Math.Min(end - 1, at | (GuestAddress.SegmentSize - 1)) + 1;
            bool whole = stop - at == GuestAddress.SegmentSize || (_leaves.Contains(segment) && policy == SplitPolicy.Never);
            if (_leaves.Contains(segment) && !whole)
            {
                Split(segment);
            }
            foreach (ulong page in whole ? Pages(segment << 8, 256) : Pages(at >> 12, (stop - at) >> 12))
            {
                bool mapped = _pages.Remove(page, out bool dirty);
                _aged.Remove(page);
                _asks.Remove(page);
                PagesUnmapped += mapped ? 1 : 0;
                if (mapped && dirty && slot.Tracked)
                {
                    slot.Pour([page]);
                }
            }
            DropPgstes(goes, at, stop);
            DropRestrictions(goes, at, stop);
            if (whole)
            {
                _leaves.Remove(segment);
                _ = !HasPgste(segment) && _tables.Remove(segment);
            }
        }
    }

    private static IEnumerable<ulong> PagesOf(ReferenceSlot slot) => Pages(slot.FirstPage, slot.Pages);

    private static IEnumerable<ulong> Pages(ulong first, ulong count)
    {
        for (ulong page = first; page < first + count; page++)
        {
            yield return page;
        }
    }
}
