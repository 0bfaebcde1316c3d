using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>
/// Pages that are restricted, and calls that arm pages: what is armed is cancelled before anything else happens, so that only what
/// arming does to mappings is known here.
/// </summary>
internal sealed partial class ReferenceSpace
{
    private const Protection All = Protection.Read | Protection.Write;
    private const NotifyFlags Kinds = NotifyFlags.Change | NotifyFlags.Write | NotifyFlags.Shadow;
    private const NotifyFlags BeforeWrite = NotifyFlags.Write | NotifyFlags.Shadow;

    private readonly Dictionary<ulong, Protection> _allowed = []; // of restricted pages: what is left to the guest
    private readonly HashSet<ulong> _asks = [];                   // dirty pages whose next write asks all the same; all of a leaf or none
    private readonly HashSet<ulong> _armed = [];                  // pages, until the next call cancels it
    private readonly HashSet<ulong> _watch = [];                  // watch tables, by address >> 23

    /// <summary>Pages of the calls that were not refused.</summary>
    public long PagesProtected { get; private set; }

    /// <summary>Pages that were granted again though they were dirty: a vcpu's rate counts them.</summary>
    public long Regranted { get; private set; }

    /// <summary>A directory for each segment table that has any.</summary>
    public int WatchTables => _watch.Count + _watch.Select(table => table >> 8).Distinct().Count();

    public bool IsRestricted(ReferenceSlot slot) => _allowed.Keys.Any(page => slot.Covers(page << 12, 1));

    public bool Forbids(ulong address, bool write) => ((write ? All : Protection.Read) & ~AllowedOf(address >> 12)) != 0;

    /// <summary>
    /// See <c>gmap_protect</c>; of a good range. What it arms has to be cancelled by the next call, which restricts the same.
    /// </summary>
    public int Protect(ulong start, ulong end, Protection protection, NotifyFlags notify)
    {
        if (byGeneration || start == end)
        {
            return byGeneration ? Status.NotSupported : Status.Ok;
        }
        for (ulong at = start; at < end; at = Find(at)!.End)
        {
            if (Find(at) is not { IsPlain: true })
            {
                return Find(at) is null ? Status.Fault : Status.NotSupported;
            }
        }
        bool mapped = (notify & NotifyFlags.Mapped) != 0, cancels = (notify & NotifyFlags.Cancel) != 0;
        NotifyFlags arms = cancels ? NotifyFlags.None : notify & Kinds;
        if (mapped && !Pages(start >> 12, (end - start) >> 12).All(page => Serves(page, protection)))
        {
            return Status.TryAgain;
        }
        ulong[] cut = [.. new[] { start >> 20, (end - 1) >> 20 }.Distinct().Where(one => Cuts(one, start, end, protection, arms))];
        if (cut.Length != 0 && policy == SplitPolicy.Never)
        {
            return Status.NotSupported;
        }
        if (protection != All || arms != 0)
        {
            MakeWatchTables(start, end);
        }
        foreach (ulong segment in cut.Where(_leaves.Contains))
        {
            Split(segment);
        }
        Apply(start, end, protection, arms, mapped);
        PagesProtected += (long)((end - start) >> 12);
        return Status.Ok;
    }

    /// <summary>
    /// A call for which there was no memory may have made a part of the way to an address, which <paramref name="seen"/> (a translation)
    /// tells. False: it did something else.
    /// </summary>
    public bool WayWithoutMemory(ulong address, Answer seen)
    {
        (HashSet<ulong> Tables, int Shift)[] levels = [(_seconds, 53), (_thirds, 42), (_regions, 31)];
        bool same = seen == Translate(address, write: false);
        for (int i = 0; !same && i < levels.Length; i++)
        {
            levels[i].Tables.Add(address >> levels[i].Shift);
            same = seen == Translate(address, write: false);
        }
        return same;
    }

    private Protection AllowedOf(ulong page) => _allowed.GetValueOrDefault(page, All);

    private bool IsWatched(ulong segment) => _allowed.Count != 0 && Pages(segment << 8, 256).Any(_allowed.ContainsKey);

    private bool Agrees(ulong segment) =>
        _allowed.Count == 0 || Pages(segment << 8, 256).All(page => AllowedOf(page) == AllowedOf(segment << 8));

    private bool IsOpen(ulong page) => _pages.GetValueOrDefault(page) && !_asks.Contains(page);

    private bool Serves(ulong page, Protection protection) =>
        _pages.ContainsKey(page) && (IsOpen(page) || (protection & Protection.Write) == 0);

    /// <summary>Whether the range has a part of a segment only, in which a leaf could be but not stay.</summary>
    private bool Cuts(ulong segment, ulong start, ulong end, Protection protection, NotifyFlags arms)
    {
        ulong first = Math.Max(start >> 12, segment << 8);
        ulong count = Math.Min(end >> 12, (segment + 1) << 8) - first;
        return count != 256 && FitsLeaf(Find(first << 12)!, segment)
            && (Pages(first, count).Any(page => AllowedOf(page) != protection) || (policy == SplitPolicy.Eager && arms != 0));
    }

    private void MakeWatchTables(ulong start, ulong end)
    {
        for (ulong table = start >> 23; table <= (end - 1) >> 23; table++)
        {
            AddTables(table << 23);
            _watch.Add(table);
        }
    }

    private void Apply(ulong start, ulong end, Protection protection, NotifyFlags arms, bool mapped)
    {
        bool gate = (protection & Protection.Write) == 0 || (arms & BeforeWrite) != 0;
        foreach (ulong page in Pages(start >> 12, (end - start) >> 12))
        {
            bool wasWatched = _armed.Remove(page) || _allowed.ContainsKey(page);
            _ = arms != 0 && _armed.Add(page);
            _allowed[page] = protection;
            _ = protection == All && _allowed.Remove(page);
            if (!_pages.ContainsKey(page))
            {
                continue;
            }
            bool isWatched = protection != All || arms != 0;
            if (!isWatched && wasWatched && _tables.Contains(page >> 8))
            {
                _asks.Remove(page); // a leaf gets the right to write back by a fault
            }
            foreach (ulong one in _leaves.Contains(page >> 8) && (page & 255) != 0 && page << 12 != start ? [] : MappedWith(page))
            {
                _ = gate && _pages[one] && _asks.Add(one);
                _ = (protection & Protection.Read) == 0 ? _aged.Add(one) : mapped && isWatched && _aged.Remove(one);
            }
            LookWhetherAsks(page);
        }
    }

    private void DropRestrictions(bool drops, ulong start, ulong end)
    {
        foreach (ulong page in drops ? _allowed.Keys.Where(page => page << 12 >= start && page << 12 < end).ToArray() : [])
        {
            _allowed.Remove(page);
        }
        _ = drops && _shadowed.RemoveWhere(page => page << 12 >= start && page << 12 < end) != 0;
    }

    /// <summary>They are as old as their segment tables.</summary>
    private void RemoveWatchTables() => _watch.RemoveWhere(table => HasRegions && !_regions.Contains(table >> 8));
}
