using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;

namespace GmapNative.Tests.Model;

/// <summary>What is done to ranges: split, collapse, discard, age.</summary>
internal sealed partial class ReferenceSpace
{
    private readonly HashSet<ulong> _aged = []; // mapped pages that were not used since they were aged; all of a leaf or none

    public long Collapses { get; private set; }

    public long PagesDiscarded { get; private set; }

    public long PagesAged { get; private set; }

    /// <summary>Splits the leaves that a range touches; how many.</summary>
    public int SplitRange(ulong start, ulong end)
    {
        ulong[] leaves = [.. _leaves.Where(segment => start < end && segment << 20 < end && (segment << 20 | 0xFFFFF) >= start)];
        foreach (ulong segment in leaves)
        {
            Split(segment);
        }
        return leaves.Length;
    }

    /// <summary>Makes leaves of the uniform tables wholly in a range; how many.</summary>
    public int Collapse(ulong start, ulong end)
    {
        int collapsed = 0;
        foreach (ulong segment in _tables.Where(table => table << 20 >= start && (table << 20 | 0xFFFFF) < end).ToArray())
        {
            ReferenceSlot? slot = Find(segment << 20);
            ulong[] pages = [.. Pages(segment << 8, 256)];
            if (slot is null || !FitsLeaf(slot, segment) || HasPgste(segment) || IsWatched(segment) || !pages.All(_pages.ContainsKey)
                || (slot.Tracked && pages.Any(page => _pages[page] != _pages[pages[0]] || AsksForHosts(page))) || StaysTable(segment))
            {
                continue;
            }
            bool dirty = slot.Tracked ? _pages[pages[0]] : !slot.ReadOnly;
            bool aged = pages.All(_aged.Contains);
            foreach (ulong page in pages)
            {
                _pages[page] = dirty;
                _asks.Remove(page);
                _ = !aged && _aged.Remove(page);
            }
            _tables.Remove(segment);
            _leaves.Add(segment);
            collapsed++;
        }
        Collapses += collapsed;
        return collapsed;
    }

    public void Discard(ulong start, ulong end)
    {
        Unmap(start, end);
        PourMarked(start, end);
        bool Goes(ulong page) => page << 12 >= start && page << 12 < end;
        foreach (ReferenceSlot slot in Slots.Values.Where(slot => slot.Log is not null))
        {
            slot.Parts.FindAll(part => part.CountsDiscards).ForEach(part => part.Log.UnionWith(PagesOf(slot).Where(Goes)));
        }
        foreach (ReferenceSlot slot in Slots.Values.Where(slot => slot is { Log: not null, Kernel: null }))
        {
            PagesDiscarded += slot.Log!.RemoveWhere(Goes);
            foreach (ReferencePart part in slot.Parts.Where(part => !part.CountsDiscards))
            {
                part.Log.RemoveWhere(Goes);
                part.Epoch.RemoveWhere(Goes);
            }
        }
    }

    /// <summary>A discard whose readers did not leave: nothing is forgotten, and the pages come with the next harvest.</summary>
    public void PourMarked(ulong start, ulong end)
    {
        foreach (ReferenceSlot slot in Slots.Values.Where(slot => slot.Log is not null))
        {
            ulong[] marked = [.. slot.Marked?.Where(page => page << 12 >= start && page << 12 < end) ?? []];
            slot.Marked?.ExceptWith(marked);
            slot.Log!.UnionWith(marked);
        }
    }

    /// <summary>How many pages of a range were young. A leaf that it touches is aged as a whole.</summary>
    public int Age(ulong start, ulong end)
    {
        ulong[] young = [.. _pages.Keys.Where(page => page << 12 >= start && page << 12 < end && !_aged.Contains(page))];
        foreach (ulong page in young.Where(page => !StaysYoung(page)))
        {
            _aged.UnionWith(MappedWith(page));
        }
        PagesAged += young.Length;
        return young.Length;
    }

    private bool UseLeaf(ulong address)
    {
        Use(address);
        return true;
    }

    private void Use(ulong address) => _aged.ExceptWith(MappedWith(address >> 12));

    /// <summary>The pages that one entry maps.</summary>
    private IEnumerable<ulong> MappedWith(ulong page) => _leaves.Contains(page >> 8) ? Pages(page & ~255UL, 256) : [page];

    private bool FitsLeaf(ReferenceSlot slot, ulong segment) =>
        huge && slot.Covers(segment << 20, GuestAddress.SegmentSize) && (slot.Start - slot.Host) % GuestAddress.SegmentSize == 0
        && slot.Missing?.Any(page => page >> 8 == segment) is not true;
}
