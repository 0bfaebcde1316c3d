using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>What is done to the tables of a space as a whole: another top, counting, the end.</summary>
internal sealed unsafe partial class TableTree
{
    /// <summary>
    /// Puts region tables above the old top, or takes the upper ones away: those to retire are in <paramref name="old"/>, at most three.
    /// False: no memory, nothing changed.
    /// </summary>
    public bool TryChangeTop(TableType top, ITokenSource tokens, Span<nint> old, out int retired)
    {
        retired = 0;
        Asce before = Asce;
        if (before.Type == top)
        {
            return true;
        }
        ulong origin = before.Origin;
        bool done = before.Type < top
            ? TryRaise(before.Type, top, tokens, ref origin)
            : TryLower(before.Type, top, tokens, ref origin, old, ref retired);
        if (done)
        {
            Volatile.Write(ref _words->Asce, Asce.For(top, origin).Value);
            Probe.At(Place.TopChanged);
        }
        return done;
    }

    /// <summary>Tables above the old top, the lowest first: entry 0 of each designates the one below.</summary>
    private bool TryRaise(TableType from, TableType to, ITokenSource tokens, ref ulong origin)
    {
        ulong below = origin;
        for (TableType level = from + 1; level <= to; level++)
        {
            nint table = NewRegionTable(level, 0, tokens);
            if (table == 0)
            {
                while (--level > from)
                {
                    ulong next = new RegionTable(below, level).Load(0).Origin;
                    _pool.Free((nint)below, KindOf(level));
                    below = next;
                }
                return false;
            }
            var region = new RegionTable((ulong)table, level);
            _ = region.TryReplace(0, region.Load(0), RegionEntry.Table(level, below));
            below = region.Origin;
        }
        origin = below;
        return true;
    }

    /// <summary>The way down by the entries 0, which are made if need be: faults that begin at the old top make none.</summary>
    private bool TryLower(TableType from, TableType to, ITokenSource tokens, ref ulong origin, Span<nint> old, ref int retired)
    {
        if (to == TableType.Segment ? !TryMakeCell(0, tokens, out _) : !TryMakeTable(Asce, 0, to, tokens, out _))
        {
            return false;
        }
        for (TableType level = from; level > to; level--)
        {
            old[retired++] = (nint)origin;
            origin = new RegionTable(origin, level).Load(0).Origin;
        }
        return true;
    }

    /// <summary>How many tables are linked. In a section or under the configuration lock: none of them is freed meanwhile.</summary>
    public TableCount Count() => Count(Asce.Origin, Asce.Type);

    private TableCount Count(ulong origin, TableType type)
    {
        if (type == TableType.Segment)
        {
            return new TableCount(0, 1, new SegmentTable(origin).CountPageTables());
        }
        var table = new RegionTable(origin, type);
        var count = new TableCount(1, 0, 0) { WithDeposits = KindOf(type) == TableKind.RegionThird ? 1 : 0 };
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            RegionEntry entry = table.Load(i);
            bool deposit = KindOf(type) == TableKind.RegionThird && !entry.IsTable && table.Cell(i).Deposit != 0;
            TableCount below = entry.IsTable ? Count(entry.Origin, type - 1) : new TableCount(0, deposit ? 1 : 0, 0);
            count = new TableCount(count.Regions + below.Regions, count.Segments + below.Segments, count.Pages + below.Pages)
            {
                WithDeposits = count.WithDeposits + below.WithDeposits,
            };
        }
        return count;
    }

    /// <summary>Bytes of the region tables that are not there yet on the way to an address. In a section.</summary>
    public ulong MissingRegionBytes(ulong address)
    {
        ulong bytes = 0;
        TableType last = TryFindLast(address, out RegionTable table) ? table.Level : TableType.RegionThird;
        for (TableType level = TableType.RegionThird; level < last; level++)
        {
            bytes += (ulong)TableKinds.BytesOf(KindOf(level));
        }
        return bytes;
    }

    /// <summary>Gives all tables back. Nobody is in a section any more.</summary>
    public void FreeAll() => Free(Asce.Origin, Asce.Type);

    private void Free(ulong origin, TableType type)
    {
        if (type == TableType.Segment)
        {
            FreeSegmentTable(new SegmentTable(origin));
            return;
        }
        var table = new RegionTable(origin, type);
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            RegionEntry entry = table.Load(i);
            if (entry.IsTable)
            {
                Free(entry.Origin, type - 1);
            }
            else if (KindOf(type) == TableKind.RegionThird && table.Cell(i).Deposit != 0)
            {
                FreeEmpty(new SegmentTable(table.Cell(i).Deposit));
            }
        }
        _pool.Free((nint)origin, KindOf(type));
    }
}

/// <summary>Linked tables of a space, by level; deposits are segment tables.</summary>
internal readonly record struct TableCount(long Regions, long Segments, long Pages)
{
    /// <summary>Region tables that have places for deposits: 32 KB, not 16.</summary>
    public long WithDeposits { get; init; }
}
