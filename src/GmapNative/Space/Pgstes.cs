using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Reads and changes PGSTEs, for hosts that keep keys or guests' hints there (rule 32).</summary>
internal static class Pgstes
{
    /// <summary>See <c>gmap_pgste_get</c>. In a section.</summary>
    public static int Get(AddressSpace space, ulong address, out ulong pgste)
    {
        pgste = 0;
        if (!space.Tree.PageTables.HasPgstes)
        {
            return Status.NotSupported;
        }
        if (space.Map.Find(address) is null)
        {
            return Status.Fault;
        }
        SegmentEntry entry = space.Tree.TryFindCell(address, out SegmentCell cell) ? cell.Load() : SegmentEntry.Empty;
        pgste = entry.IsTable ? new PageTable(entry.TableOrigin).LoadPgste(GuestAddress.PageIndex(address)).Value : 0;
        return Status.Ok;
    }

    /// <summary>See <c>gmap_pgste_update</c>. In sections of its own: for the thaw of a segment it waits between them (rule 20).</summary>
    public static int Update(AddressSpace space, ulong address, ulong mask, ulong value, out ulong before)
    {
        before = 0;
        if (!space.Tree.PageTables.HasPgstes || (mask & Pgste.Lock) != 0)
        {
            return (mask & Pgste.Lock) != 0 ? Status.Invalid : Status.NotSupported;
        }
        for (; ; )
        {
            int thaws = space.Thaws.Now; // before the look at the segment
            int section = LibrarySections.Enter();
            int status = space.IsDead ? Status.BadHandle : UpdateNow(space, address, mask, value, ref before);
            LibrarySections.Leave(section);
            if (status != FaultResolver.Frozen)
            {
                return status;
            }
            space.Thaws.WaitPast(thaws);
        }
    }

    /// <summary>
    /// Under <c>LOCK</c>: whoever unlinks the table has looked at its PGSTEs under the same lock. Where there is no table all are zero, and
    /// zero needs none.
    /// </summary>
    private static int UpdateNow(AddressSpace space, ulong address, ulong mask, ulong value, ref ulong before)
    {
        SlotMap map = space.Map;
        if (map.Find(address) is null)
        {
            return Status.Fault;
        }
        bool makes = (value & mask) != 0;
        if (makes && space.Options.Policy == SplitPolicy.Never && space.Tree.TryFindRegionLeaf(address, out _, out _))
        {
            return Status.NotSupported;
        }
        _ = makes && space.SplitRegion(address);
        SegmentCell cell;
        if (makes ? !space.Tree.TryMakeCell(address, map, out cell) : !space.Tree.TryFindCell(address, out cell))
        {
            return makes ? Status.NoMemory : Status.Ok;
        }
        int status = Status.TryAgain;
        while (status == Status.TryAgain)
        {
            if (cell.TryLock(out PageTable table, out bool frozen))
            {
                before = table.UpdatePgste(GuestAddress.PageIndex(address), mask, value).Value;
                cell.Unlock();
                return Status.Ok;
            }
            status = frozen ? FaultResolver.Frozen
                : makes ? MakeTable(space, cell, address, map)
                : cell.Load().IsTable ? Status.TryAgain : Status.Ok;
        }
        return status;
    }

    /// <summary>Whoever is quicker; <see cref="Status.TryAgain"/>: there may be one now.</summary>
    private static int MakeTable(AddressSpace space, SegmentCell cell, ulong address, SlotMap map)
    {
        SegmentEntry entry = cell.Load();
        if (entry.IsTable)
        {
            return Status.TryAgain;
        }
        if (entry.IsLeaf && space.Options.Policy == SplitPolicy.Never)
        {
            return Status.NotSupported;
        }
        bool noMemory = entry.IsLeaf
            ? space.Split(cell, address) == SplitOutcome.NoMemory
            : !space.Faults.InstallTable(cell, entry, GuestAddress.SegmentBase(address), map);
        return noMemory ? Status.NoMemory : Status.TryAgain;
    }
}
