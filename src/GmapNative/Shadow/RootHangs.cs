using System;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>
/// What of a root's shadows hangs on which of its pages, and what is armed in those pages because of it: a page whose last hang goes is
/// watched by them no longer; one of tables after a grace only, for nobody waits before a write into what is not armed (rule 36). Under
/// the family lock; changes in a section of the root.
/// </summary>
internal sealed class RootHangs(AddressSpace space) : IDisposable
{
    private readonly ReverseMap _map = new();
    private readonly List<Hang> _gone = [];
    private readonly Dictionary<ulong, ulong> _released = []; // pages of tables: armed until a grace of that number or later is over
    private ulong _graces = 1; // that have begun
    private int _releasedCount;

    public int Count => _map.Count;

    public ulong Bytes => _map.Bytes;

    public int CountOf(HangKind kind) => _map.CountOf(kind);

    public bool Has(in Hang hang) => _map.Has(hang);

    /// <summary>Whether <see cref="DisarmReleased"/> may have something to do. Without the lock, by who has held it since.</summary>
    public bool HasReleased => Volatile.Read(ref _releasedCount) != 0;

    /// <summary>What keeps a page armed: memory by pages or by a leaf, and tables.</summary>
    private WatchBits NeededBy(ulong page)
    {
        bool memory = Has(page, GuestAddress.PageShift, HangKind.Memory)
            || Has(GuestAddress.SegmentBase(page), GuestAddress.SegmentShift, HangKind.Memory)
            || Has(GuestAddress.RegionBase(page), GuestAddress.RegionThirdShift, HangKind.Memory);
        bool table = Has(page, GuestAddress.PageShift, HangKind.Table);
        return (memory ? WatchBits.Inner : WatchBits.None) | (table ? WatchBits.Table : WatchBits.None);
    }

    /// <summary>Makes sure that <paramref name="more"/> calls of <see cref="Add"/> find room; false: no memory, nothing changed.</summary>
    public bool TryReserve(int more) => _map.TryReserve(more);

    /// <inheritdoc cref="ReverseMap.Add"/>
    public void Add(in Hang hang, ulong ticket = 0) => _map.Add(hang, ticket);

    /// <summary>Whether a page of tables has hangs, and their ticket.</summary>
    public bool TryFindTable(ulong page, out ulong ticket) =>
        _map.TryFind(page, GuestAddress.PageShift, HangKind.Table, out _, out ticket);

    public bool TryFind(ulong address, byte shift, HangKind kind, out Hang hang) => _map.TryFind(address, shift, kind, out hang);

    /// <inheritdoc cref="ReverseMap.Renew"/>
    public void Renew(ulong page, ulong ticket) => _map.Renew(page, ticket);

    public void Remove(in Hang hang)
    {
        if (_map.Remove(hang))
        {
            Release(hang);
        }
    }

    /// <summary>
    /// Removes all of a shadow whose inner range lies in 2^shift bytes from <paramref name="inner"/> on. Looks at everything.
    /// </summary>
    public void RemoveAll(uint shadow, ulong inner, int shift)
    {
        _map.RemoveAll(shadow, inner, shift, _gone);
        foreach (Hang hang in _gone)
        {
            Release(hang);
        }
        _gone.Clear();
    }

    /// <summary>
    /// What nothing on 2^shift bytes needs is armed no longer. The markers of entries stay, which harms nobody (rule 28).
    /// </summary>
    public void Disarm(ulong root, byte shift, WatchBits kind)
    {
        ulong last = root + ((1UL << shift) - 1);
        for (ulong page = root; page < last; page += GuestAddress.PageSize)
        {
            WatchSegment watch = space.Tree.TryFindLinks(page, out SegmentTable table)
                ? table.Watch.Segment(GuestAddress.SegmentIndex(page)) : default;
            WatchBits unneeded = watch.IsNone ? WatchBits.None : kind & ~NeededBy(page);
            if (unneeded != WatchBits.None)
            {
                _ = watch.Change(GuestAddress.PageIndex(page), unneeded, WatchBits.None);
            }
        }
    }

    /// <summary>A grace of the root begins: its number.</summary>
    public ulong BeginGrace() => _graces++;

    /// <summary>
    /// That grace is over, and everybody has left: what was released before it is armed no longer, unless it is needed again.
    /// </summary>
    public void DisarmReleased(ulong grace)
    {
        foreach ((ulong page, ulong since) in _released)
        {
            if (since <= grace)
            {
                Disarm(page, GuestAddress.PageShift, WatchBits.Table);
                _ = _released.Remove(page);
            }
        }
        Volatile.Write(ref _releasedCount, _released.Count);
    }

    public void Dispose() => _map.Dispose();

    private bool Has(ulong address, byte shift, HangKind kind) => _map.TryFind(address, shift, kind, out _);

    /// <summary>What only this hang kept armed is armed no longer: memory now, tables later.</summary>
    private void Release(in Hang hang)
    {
        if (Has(hang.Root, hang.RootShift, hang.Kind))
        {
            return;
        }
        if (hang.Kind == HangKind.Memory || Probe.LeavesOut(Step.TableDisarmedEarly))
        {
            Disarm(hang.Root, hang.RootShift, hang.Kind == HangKind.Memory ? WatchBits.Inner : WatchBits.Table);
            return;
        }
        try
        {
            _released[hang.Root] = _graces; // also of one that was released before: others may have used it since
            Volatile.Write(ref _releasedCount, _released.Count);
        }
        catch (OutOfMemoryException)
        {
            // It stays armed, then: who writes there next waits once more, and that ends it.
        }
    }
}
