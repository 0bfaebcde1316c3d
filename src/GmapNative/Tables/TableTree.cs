using System;
using System.Runtime.CompilerServices;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// The tables of one space from the ASCE down: finds and makes segment tables, changes the top. Which addresses mean anything it
/// asks an <see cref="ITokenSource"/>.
/// </summary>
/// <remarks>
/// Lookups in a section; <see cref="TryChangeTop"/> and <see cref="UnlinkRegion"/> under the space's configuration lock.
/// </remarks>
internal sealed unsafe class TableTree
{
    private readonly TablePool _pool;
    private readonly SpaceWords* _words; // in a control page of the arena, alive until the space is destroyed and graced
    private readonly bool _dense;

    private TableTree(TablePool pool, SpaceWords* words, bool dense)
    {
        _pool = pool;
        _words = words;
        _dense = dense;
    }

    /// <summary>Whether the space tracks by generation (rule 26).</summary>
    public bool HasDenseBits => _dense;

    public Asce Asce => new(Volatile.Read(ref _words->Asce));

    public ulong Generation => Volatile.Read(ref _words->Generation);

    /// <summary>A right was taken away: cached translations of older sections end (rule 4).</summary>
    public void BumpGeneration()
    {
        Interlocked.Increment(ref _words->Generation);
        Probe.At(Place.GenerationBumped);
    }

    /// <summary>The top table's type for a highest address below 4 TB.</summary>
    public static TableType TopFor(ulong limit) =>
        limit < Asce.SpanOf(TableType.Segment) ? TableType.Segment : TableType.RegionThird;

    /// <summary>
    /// A space with an empty top table; null when the arena is exhausted. <paramref name="dense"/>: segment tables have dense bits.
    /// </summary>
    public static TableTree? TryCreate(TablePool pool, SpaceWords* words, TableType top, ITokenSource tokens, bool dense)
    {
        var tree = new TableTree(pool, words, dense);
        ulong origin = tree.NewTop(top, tokens);
        if (origin == 0)
        {
            return null;
        }
        words->Generation = SpaceWords.FirstGeneration;
        Volatile.Write(ref words->Asce, Asce.For(top, origin).Value);
        return tree;
    }

    /// <summary>The segment table that serves an address; false where there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)] // each fault begins with it
    public bool TryFind(ulong address, out SegmentTable table)
    {
        Asce asce = Asce;
        table = new SegmentTable(asce.Origin);
        if (asce.Type == TableType.Segment)
        {
            return address < Asce.SpanOf(TableType.Segment);
        }
        if (address >= Asce.SpanOf(TableType.RegionThird))
        {
            return false;
        }
        RegionEntry entry = new RegionTable(asce.Origin).Load(GuestAddress.RegionThirdIndex(address));
        table = new SegmentTable(entry.Origin);
        return entry.IsTable;
    }

    /// <summary>As <see cref="TryFind"/>, for one segment.</summary>
    public bool TryFindCell(ulong address, out SegmentCell cell)
    {
        bool found = TryFind(address, out SegmentTable table);
        cell = found ? table.Cell(GuestAddress.SegmentIndex(address)) : default;
        return found;
    }

    /// <summary>The region-third entry of an address, where such a table is the top.</summary>
    public bool TryLoadRegion(ulong address, out RegionEntry entry)
    {
        Asce asce = Asce;
        entry = default;
        if (asce.Type != TableType.RegionThird || address >= Asce.SpanOf(TableType.RegionThird))
        {
            return false;
        }
        entry = new RegionTable(asce.Origin).Load(GuestAddress.RegionThirdIndex(address));
        return true;
    }

    /// <summary>The segment of an address inside the top table's span, making its segment table if need be; false: no memory.</summary>
    public bool TryMakeCell(ulong address, ITokenSource tokens, out SegmentCell cell)
    {
        while (!TryFindCell(address, out cell))
        {
            Asce asce = Asce;
            if (asce.Type == TableType.Segment)
            {
                Probe.At(Place.Waiting);
                continue; // the top is being changed; slots never lie beyond it
            }
            nint table = NewSegmentTable(address & ~(GuestAddress.RegionThirdSize - 1), tokens);
            if (table == 0)
            {
                return false;
            }
            var top = new RegionTable(asce.Origin);
            int index = GuestAddress.RegionThirdIndex(address);
            RegionEntry seen = top.Load(index);
            Probe.At(Place.EntryLoaded);
            if (!seen.IsInvalid || !top.TryReplace(index, seen, RegionEntry.Table(TableType.RegionThird, (ulong)table)))
            {
                FreeEmpty(new SegmentTable((ulong)table)); // another thread was first
            }
        }
        return true;
    }

    /// <summary>
    /// Links a segment table with leaves where a 2 GB region has none, by one compare-and-swap; false: no memory, or there is a table.
    /// In a section.
    /// </summary>
    public bool TryLinkLeaves(
        ulong regionBase, ITokenSource tokens, int first, int end, SegmentEntry leaf, bool dirty, out bool noMemory)
    {
        noMemory = false;
        Asce asce = Asce;
        if (asce.Type != TableType.RegionThird || regionBase >= Asce.SpanOf(TableType.RegionThird))
        {
            return false;
        }
        var top = new RegionTable(asce.Origin);
        int index = GuestAddress.RegionThirdIndex(regionBase);
        RegionEntry seen = top.Load(index);
        Probe.At(Place.EntryLoaded);
        if (!seen.IsInvalid)
        {
            return false;
        }
        nint table = _pool.TryAllocate(TableKind.Segment);
        if (table == 0)
        {
            noMemory = true;
            return false;
        }
        new SegmentTable((ulong)table).InitializeLeaves(regionBase, tokens, first, end, leaf, dirty);
        Probe.At(Place.ChildBuilt);
        bool linked = top.TryReplace(index, seen, RegionEntry.Table(TableType.RegionThird, (ulong)table));
        if (!linked)
        {
            _pool.Free(table, TableKind.Segment); // another thread was first
        }
        Probe.At(Place.TableLinked);
        return linked;
    }

    /// <summary>Puts tokens where a 2 GB region has no table.</summary>
    public void RefreshRegionToken(ulong address, ITokenSource tokens)
    {
        if (Asce.Type != TableType.RegionThird)
        {
            return;
        }
        var top = new RegionTable(Asce.Origin);
        int index = GuestAddress.RegionThirdIndex(address);
        RegionEntry seen = top.Load(index);
        while (seen.IsInvalid && !top.TryReplace(index, seen, RegionTable.Token(tokens, address)))
        {
            seen = top.Load(index);
        }
    }

    /// <summary>
    /// Unlinks the segment table of a 2 GB region in which there is no slot any more; 0 if there is none. The caller
    /// retires it.
    /// </summary>
    public nint UnlinkRegion(ulong address, ITokenSource tokens)
    {
        if (!TryLoadRegion(address, out RegionEntry entry) || !entry.IsTable)
        {
            return 0;
        }
        var top = new RegionTable(Asce.Origin);
        bool done = top.TryReplace(GuestAddress.RegionThirdIndex(address), entry, RegionTable.Token(tokens, address));
        Probe.At(Place.TableUnlinked);
        return done ? (nint)entry.Origin : 0;
    }

    /// <summary>
    /// Adds a region-third table above a segment table, or removes it. <paramref name="old"/> is the table to retire (0: none).
    /// False: no memory, nothing changed.
    /// </summary>
    public bool TryChangeTop(TableType top, ITokenSource tokens, out nint old)
    {
        old = 0;
        Asce before = Asce;
        if (before.Type == top)
        {
            return true;
        }
        ulong origin;
        if (top == TableType.RegionThird)
        {
            origin = NewTop(top, tokens);
            if (origin == 0)
            {
                return false;
            }
            var region = new RegionTable(origin);
            _ = region.TryReplace(0, region.Load(0), RegionEntry.Table(TableType.RegionThird, before.Origin));
        }
        else
        {
            if (!TryMakeCell(0, tokens, out _) || !TryFind(0, out SegmentTable lowest))
            {
                return false;
            }
            origin = lowest.Origin;
            old = (nint)before.Origin;
        }
        Volatile.Write(ref _words->Asce, Asce.For(top, origin).Value);
        Probe.At(Place.TopChanged);
        return true;
    }

    /// <summary>How many tables are linked. In a section or under the configuration lock: none of them is freed meanwhile.</summary>
    public TableCount Count()
    {
        Asce asce = Asce;
        if (asce.Type == TableType.Segment)
        {
            return new TableCount(0, 1, new SegmentTable(asce.Origin).CountPageTables());
        }
        var top = new RegionTable(asce.Origin);
        long segments = 0;
        long pages = 0;
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            RegionEntry entry = top.Load(i);
            if (entry.IsTable)
            {
                segments++;
                pages += new SegmentTable(entry.Origin).CountPageTables();
            }
        }
        return new TableCount(1, segments, pages);
    }

    /// <summary>Gives all tables back. Nobody is in a section any more.</summary>
    public void FreeAll()
    {
        Asce asce = Asce;
        if (asce.Type == TableType.Segment)
        {
            FreeSegmentTable(new SegmentTable(asce.Origin));
            return;
        }
        var top = new RegionTable(asce.Origin);
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            RegionEntry entry = top.Load(i);
            if (entry.IsTable)
            {
                FreeSegmentTable(new SegmentTable(entry.Origin));
            }
        }
        _pool.Free((nint)top.Origin, TableKind.Region);
    }

    private void FreeSegmentTable(SegmentTable table)
    {
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            SegmentEntry entry = table.Cell(i).Load();
            if (entry.IsTable)
            {
                _pool.Free((nint)entry.TableOrigin, TableKind.Page);
            }
        }
        FreeEmpty(table);
    }

    private void FreeEmpty(SegmentTable table)
    {
        foreach (DenseBits dense in (ReadOnlySpan<DenseBits>)[table.Dense, table.Spare, table.Retiring])
        {
            FreeDense((nint)dense.Origin);
        }
        _pool.Free((nint)table.Origin, TableKind.Segment);
    }

    /// <summary>A segment table of tokens, not linked, with its dense bits; 0: no memory.</summary>
    private nint NewSegmentTable(ulong regionBase, ITokenSource tokens)
    {
        nint dense = _dense ? _pool.TryAllocate(TableKind.DenseBits) : 0;
        nint spare = dense != 0 ? _pool.TryAllocate(TableKind.DenseBits) : 0;
        nint table = _dense && spare == 0 ? 0 : _pool.TryAllocate(TableKind.Segment);
        if (table != 0)
        {
            new SegmentTable((ulong)table).Initialize(regionBase, tokens, dense, spare);
            return table;
        }
        FreeDense(dense);
        FreeDense(spare);
        return 0;
    }

    private void FreeDense(nint dense)
    {
        if (dense != 0)
        {
            _pool.Free(dense, TableKind.DenseBits);
        }
    }

    private ulong NewTop(TableType top, ITokenSource tokens)
    {
        if (top == TableType.Segment)
        {
            return (ulong)NewSegmentTable(0, tokens);
        }
        nint table = _pool.TryAllocate(TableKind.Region);
        if (table != 0)
        {
            new RegionTable((ulong)table).Initialize(tokens);
        }
        return (ulong)table;
    }
}

/// <summary>Linked tables of a space, by level.</summary>
internal readonly record struct TableCount(long Regions, long Segments, long Pages);
