using System;
using System.Diagnostics;
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
/// Lookups in a section; <see cref="TryChangeTop"/> and <see cref="Unlink"/> under the space's configuration lock.
/// </remarks>
internal sealed unsafe partial class TableTree
{
    private readonly TablePool _pool;
    private readonly SpaceWords* _words; // in a control page of the arena, alive until the space is destroyed and graced
    private readonly bool _dense;

    private TableTree(TablePool pool, SpaceWords* words, bool dense, bool pgstes, bool regionLeaves)
    {
        HasRegionLeaves = regionLeaves;
        _pool = pool;
        PageTables = new PageTablePool(pool, pgstes);
        _words = words;
        _dense = dense;
    }

    /// <summary>Where the space's page tables come from, all of one format.</summary>
    public PageTablePool PageTables { get; }

    /// <summary>Whether region-third entries may be leaves: their tables have deposits then (rule 33).</summary>
    public bool HasRegionLeaves { get; }

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

    /// <summary>The lowest top table that reaches a highest address.</summary>
    public static TableType TopFor(ulong limit)
    {
        TableType top = TableType.Segment;
        while (top < TableType.RegionFirst && !Asce.Reaches(top, limit))
        {
            top++;
        }
        Debug.Assert(Asce.Reaches(top, limit), "a region-first table reaches every address");
        return top;
    }

    /// <summary>
    /// A space with an empty top table; null when the arena is exhausted. <paramref name="dense"/>: segment tables have dense bits;
    /// <paramref name="pgstes"/>: page tables have PGSTEs; <paramref name="regionLeaves"/>: region-third entries may be leaves.
    /// </summary>
    public static TableTree? TryCreate(
        TablePool pool, SpaceWords* words, TableType top, ITokenSource tokens, bool dense, bool pgstes, bool regionLeaves = false)
    {
        var tree = new TableTree(pool, words, dense, pgstes, regionLeaves);
        ulong origin = (ulong)tree.NewTop(top, tokens);
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
        ulong third = asce.Origin;
        table = new SegmentTable(third);
        if (asce.Type == TableType.Segment)
        {
            return address < Asce.SpanOf(TableType.Segment);
        }
        if (asce.Type != TableType.RegionThird ? !TryFindThird(asce, address, out third) : address >= Asce.SpanOf(TableType.RegionThird))
        {
            return false;
        }
        RegionEntry entry = new RegionTable(third, TableType.RegionThird).Load(GuestAddress.RegionThirdIndex(address));
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

    /// <summary>
    /// The last region entry on the way to an address: a table's (region-third, of its segment table) or one that maps nothing. False:
    /// the top is a segment table, or does not reach the address.
    /// </summary>
    public bool TryLoadRegion(ulong address, out RegionEntry entry)
    {
        bool found = TryFindLast(address, out RegionTable table);
        entry = found ? table.Load(table.IndexOf(address)) : default;
        return found;
    }

    /// <summary>
    /// The segment of an address inside the top table's span, making the tables on the way if need be, of a 2 GB leaf too; false: no
    /// memory.
    /// </summary>
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
            if (!TryMakeTable(asce, address, TableType.RegionThird, tokens, out RegionTable third))
            {
                return false;
            }
            if (HasRegionLeaves)
            {
                if (!TryMakeSegments(third.Cell(third.IndexOf(address)), address, tokens))
                {
                    return false;
                }
                continue;
            }
            nint table = NewSegmentTable(GuestAddress.RegionBase(address), tokens);
            if (table == 0)
            {
                return false;
            }
            int index = third.IndexOf(address);
            RegionEntry seen = third.Load(index);
            Probe.At(Place.EntryLoaded);
            if (!third.TryLink(index, seen, table))
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
        if (asce.Type == TableType.Segment || !Asce.Reaches(asce.Type, regionBase))
        {
            return false;
        }
        noMemory = !TryMakeTable(asce, regionBase, TableType.RegionThird, tokens, out RegionTable third);
        if (noMemory)
        {
            return false;
        }
        int index = third.IndexOf(regionBase);
        RegionEntry seen = third.Load(index);
        Probe.At(Place.EntryLoaded);
        if (!seen.IsInvalid || HasRegionLeaves)
        {
            return false; // where a leaf of 2 GB may be, faults link what suits
        }
        nint table = _pool.TryAllocate(TableKind.Segment);
        if (table == 0)
        {
            noMemory = true;
            return false;
        }
        new SegmentTable((ulong)table).InitializeLeaves(regionBase, tokens, first, end, leaf, dirty);
        Probe.At(Place.ChildBuilt);
        bool linked = third.TryLink(index, seen, table);
        if (!linked)
        {
            _pool.Free(table, TableKind.Segment); // another thread was first
        }
        Probe.At(Place.TableLinked);
        return linked;
    }

    /// <summary>
    /// The last address that shares the way to an address as far as it goes: the end of 2 GB, or of what an upper entry that maps nothing
    /// stands for.
    /// </summary>
    public ulong LastOnTheWay(ulong address)
    {
        TableType level = TryFindLast(address, out RegionTable table) ? table.Level : TableType.RegionThird;
        return address | (GuestAddress.SpanOf(level) - 1);
    }

    /// <summary>Puts a token where the way to a 2 GB region ends.</summary>
    public void RefreshRegionToken(ulong address, ITokenSource tokens)
    {
        bool done = !TryFindLast(address, out RegionTable table);
        while (!done)
        {
            RegionEntry seen = table.Load(table.IndexOf(address));
            done = !seen.MapsNothing || table.TryReplace(table.IndexOf(address), seen, table.Token(tokens, address));
        }
    }

    /// <summary>
    /// Unlinks the table that the entry of an address in a table of <paramref name="level"/> designates, in whose span there is no slot
    /// any more; 0 if there is none. The caller retires it.
    /// </summary>
    public nint Unlink(TableType level, ulong address, ITokenSource tokens)
    {
        Asce asce = Asce;
        if (asce.Type < level || !Asce.Reaches(asce.Type, address))
        {
            return 0;
        }
        var table = new RegionTable(asce.Origin, asce.Type);
        RegionEntry entry = table.Load(table.IndexOf(address));
        while (table.Level != level && entry.IsTable)
        {
            table = new RegionTable(entry.Origin, table.Level - 1);
            entry = table.Load(table.IndexOf(address));
        }
        bool done = entry.IsTable && table.TryReplace(table.IndexOf(address), entry, table.Token(tokens, address));
        Probe.At(Place.TableUnlinked);
        return done ? (nint)entry.Origin : 0;
    }

    /// <summary>The region-third table that serves an address, where the top is above it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)] // for the few spaces beyond 4 TB
    private static bool TryFindThird(Asce asce, ulong address, out ulong third)
    {
        third = asce.Origin;
        bool found = Asce.Reaches(asce.Type, address);
        for (TableType level = asce.Type; found && level > TableType.RegionThird; level--)
        {
            var table = new RegionTable(third, level);
            RegionEntry entry = table.Load(table.IndexOf(address));
            third = entry.Origin;
            found = entry.IsTable;
        }
        return found;
    }

    /// <summary>The table of a level on the way to an address, made if need be, with those above it; false: no memory.</summary>
    private bool TryMakeTable(Asce asce, ulong address, TableType level, ITokenSource tokens, out RegionTable table)
    {
        table = new RegionTable(asce.Origin, asce.Type);
        while (table.Level != level)
        {
            int index = table.IndexOf(address);
            RegionEntry entry = table.Load(index);
            Probe.At(Place.EntryLoaded);
            if (entry.IsTable)
            {
                table = new RegionTable(entry.Origin, table.Level - 1);
                continue;
            }
            ulong span = GuestAddress.SpanOf(table.Level);
            nint made = NewRegionTable(table.Level - 1, address & ~(span - 1), tokens);
            if (made == 0)
            {
                return false;
            }
            if (!table.TryLink(index, entry, made))
            {
                _pool.Free(made, KindOf(table.Level - 1)); // another thread was first
            }
        }
        return true;
    }

    /// <summary>The lowest region table on the way to an address.</summary>
    private bool TryFindLast(ulong address, out RegionTable table)
    {
        Asce asce = Asce;
        table = new RegionTable(asce.Origin, asce.Type);
        if (asce.Type == TableType.Segment || !Asce.Reaches(asce.Type, address))
        {
            return false;
        }
        RegionEntry entry = table.Load(table.IndexOf(address));
        while (table.Level != TableType.RegionThird && entry.IsTable)
        {
            table = new RegionTable(entry.Origin, table.Level - 1);
            entry = table.Load(table.IndexOf(address));
        }
        return true;
    }

    private void FreeSegmentTable(SegmentTable table)
    {
        FreePageTables(table);
        FreeEmpty(table);
    }

    private void FreePageTables(SegmentTable table)
    {
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            SegmentEntry entry = table.Cell(i).Load();
            if (entry.IsTable)
            {
                PageTables.Free((nint)entry.TableOrigin);
            }
        }
    }

    private void FreeEmpty(SegmentTable table)
    {
        foreach (DenseBits dense in (ReadOnlySpan<DenseBits>)[table.Dense, table.Spare, table.Retiring])
        {
            FreeDense((nint)dense.Origin);
        }
        Span<nint> watch = stackalloc nint[WatchDirectory.Links + 1];
        foreach (nint one in watch[..table.Watch.CopyTo(watch)])
        {
            _pool.Free(one, TableKind.Watch);
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

    private nint NewTop(TableType top, ITokenSource tokens) =>
        top == TableType.Segment ? NewSegmentTable(0, tokens) : NewRegionTable(top, 0, tokens);

    /// <summary>A region table of tokens, not linked, whose first entry is for an address; 0: no memory.</summary>
    private nint NewRegionTable(TableType level, ulong address, ITokenSource tokens)
    {
        nint table = _pool.TryAllocate(KindOf(level));
        if (table != 0)
        {
            new RegionTable((ulong)table, level).Initialize(address, tokens, deposits: KindOf(level) == TableKind.RegionThird);
        }
        return table;
    }
}
