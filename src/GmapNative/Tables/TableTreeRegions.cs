using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>Leaves of 2 GB and their deposits (rule 33).</summary>
internal sealed partial class TableTree
{
    /// <summary>What a region table of a level is to the pool.</summary>
    public TableKind KindOf(TableType level) =>
        HasRegionLeaves && level == TableType.RegionThird ? TableKind.RegionThird : TableKind.Region;

    /// <summary>
    /// The place of the 2 GB of an address, where one leaf may be; false: the space has no such leaves, the top is a segment table, or the
    /// tables end above. In a section.
    /// </summary>
    public bool TryFindRegion(ulong address, out RegionCell cell)
    {
        cell = default;
        if (!HasRegionLeaves || !TryFindLast(address, out RegionTable table) || table.Level != TableType.RegionThird)
        {
            return false;
        }
        cell = table.Cell(table.IndexOf(address));
        return true;
    }

    /// <summary>The 2 GB leaf that an address lies in, mapped or aged. In a section.</summary>
    public bool TryFindRegionLeaf(ulong address, out RegionCell cell, out RegionEntry leaf)
    {
        leaf = default;
        if (TryFindRegion(address, out cell))
        {
            leaf = cell.Load();
        }
        return leaf.IsLeaf;
    }

    /// <summary>
    /// The segment table of an address, linked or deposited: for its links. Where it is only deposited its entries say nothing. In a
    /// section.
    /// </summary>
    public bool TryFindLinks(ulong address, out SegmentTable table) =>
        TryFind(address, out table) || (TryFindRegion(address, out RegionCell cell) && cell.TryFindTable(out table));

    /// <summary>
    /// As <see cref="TryFindRegion"/>, making the tables on the way. False and <paramref name="noMemory"/>: that; else the top is a segment
    /// table. In a section.
    /// </summary>
    public bool TryMakeRegion(ulong address, ITokenSource tokens, out RegionCell cell, out bool noMemory)
    {
        noMemory = false;
        cell = default;
        Asce asce = Asce;
        if (asce.Type == TableType.Segment || !Asce.Reaches(asce.Type, address))
        {
            return false;
        }
        noMemory = !TryMakeTable(asce, address, TableType.RegionThird, tokens, out RegionTable third);
        cell = noMemory ? default : third.Cell(third.IndexOf(address));
        return !noMemory;
    }

    /// <summary>Makes sure that a segment table serves the 2 GB or is deposited there; false: no memory. In a section.</summary>
    public bool TryMakeDeposit(RegionCell cell)
    {
        if (cell.TryFindTable(out _))
        {
            return true;
        }
        nint spare = _pool.TryAllocate(TableKind.Segment);
        if (spare == 0)
        {
            return false;
        }
        new SegmentTable((ulong)spare).InitializeDeposit();
        ulong deposit = cell.LockDeposit();
        bool takes = deposit == 0 && !cell.Load().IsTable;
        cell.UnlockDeposit(takes ? (ulong)spare : deposit);
        if (!takes)
        {
            _pool.Free(spare, TableKind.Segment); // another thread was first
        }
        return true;
    }

    /// <summary>
    /// Installs a leaf where nothing is mapped, after its deposit. <see cref="Status.TryAgain"/>: done, or another thread was quicker
    /// (<paramref name="installed"/>); or no memory. In a section.
    /// </summary>
    public int TryInstallLeaf(RegionCell cell, RegionEntry seen, RegionEntry leaf, out bool installed)
    {
        installed = false;
        if (!TryMakeDeposit(cell))
        {
            return Status.NoMemory;
        }
        ulong deposit = cell.LockDeposit();
        installed = deposit != 0 && cell.TryReplace(seen, leaf); // else the deposit was linked meanwhile
        cell.UnlockDeposit(deposit);
        return Status.TryAgain;
    }

    /// <summary>
    /// As <see cref="TryFindLinks"/>, making the table: as a deposit where the 2 GB may be one leaf. False: no memory. In a section or
    /// under the configuration lock.
    /// </summary>
    public bool TryMakeLinks(ulong address, ITokenSource tokens, out SegmentTable table)
    {
        bool made = MayBeRegionLeaf(address, tokens) && TryMakeRegion(address, tokens, out RegionCell cell, out _) && TryMakeDeposit(cell);
        made = made || TryMakeCell(address, tokens, out _);
        table = default;
        return made && TryFindLinks(address, out table);
    }

    /// <summary>Whether the 2 GB of an address are one leaf, or a fault may make them one: there is no segment table.</summary>
    public bool MayBeRegionLeaf(ulong address, ITokenSource tokens) =>
        HasRegionLeaves && tokens.FitsRegion(GuestAddress.RegionBase(address)) && !TryFind(address, out _)
        && Asce.Type != TableType.Segment;

    /// <summary>
    /// Takes the deposit of 2 GB away in which there is no slot any more; 0: there is none. Under the configuration lock, while no call
    /// runs that knows the slot. The caller retires it.
    /// </summary>
    public nint TakeDeposit(ulong address)
    {
        if (!TryFindRegion(address, out RegionCell cell) || cell.Deposit == 0)
        {
            return 0;
        }
        ulong deposit = cell.LockDeposit();
        cell.UnlockDeposit(0);
        return (nint)deposit;
    }

    /// <summary>
    /// Puts a leaf in the place of a segment table, with a deposit of its own; the table, which the caller retires, or 0: no memory. Under
    /// the configuration lock.
    /// </summary>
    public nint TryCollapse(RegionCell cell, RegionEntry table, RegionEntry leaf)
    {
        nint spare = _pool.TryAllocate(TableKind.Segment);
        if (spare == 0)
        {
            return 0;
        }
        new SegmentTable((ulong)spare).InitializeDeposit();
        _ = cell.LockDeposit();
        cell.SetDeposit((ulong)spare);
        _ = cell.TryReplace(table, leaf); // who may unlink a table holds the configuration lock
        Probe.At(Place.TableUnlinked);
        cell.UnlockDeposit((ulong)spare);
        return (nint)table.Origin;
    }

    /// <summary>Frees a segment table that was unlinked with what was mapped in it, and the page tables that hang on it.</summary>
    public void FreeUnlinked(nint table)
    {
        FreePageTables(new SegmentTable((ulong)table));
        _pool.Free(table, TableKind.Segment);
    }

    /// <summary>
    /// Makes a segment table serve the 2 GB of an address: the leaf is split, the deposit filled with tokens, or one comes new. False: no
    /// memory.
    /// </summary>
    private bool TryMakeSegments(RegionCell cell, ulong address, ITokenSource tokens)
    {
        if (cell.Load().IsLeaf)
        {
            _ = RegionSplitter.Split(cell);
            return true;
        }
        if (!TryMakeDeposit(cell))
        {
            return false;
        }
        ulong deposit = cell.LockDeposit();
        RegionEntry seen = cell.Load();
        bool links = deposit != 0 && seen.MapsNothing;
        if (links)
        {
            new SegmentTable(deposit).FillDeposit(GuestAddress.RegionBase(address), tokens);
            Probe.At(Place.ChildBuilt);
            links = cell.TryReplace(seen, RegionEntry.Table(TableType.RegionThird, deposit));
            Probe.At(Place.TableLinked);
        }
        cell.UnlockDeposit(links ? 0 : deposit);
        return true;
    }

    /// <summary>
    /// Whether the entry that ends the way to an address says that no slot is there (its token), so that nobody need ask the slots. False
    /// also where it says nothing.
    /// </summary>
    public bool IsHole(ulong address)
    {
        if (!TryFindCell(address, out SegmentCell cell))
        {
            return TryLoadRegion(address, out RegionEntry region) && region.IsHole;
        }
        SegmentEntry entry = cell.Load();
        return entry.IsTable ? new PageTable(entry.TableOrigin).Load(GuestAddress.PageIndex(address)).IsHole : entry.IsHole;
    }
}
