using System.Runtime.CompilerServices;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// What the inline header does, for the library's own calls: an access that the tables answer, and the grant of a page that is
/// grantable. It asks no slot, takes no lock and makes no table; what it refuses is for <see cref="FaultResolver"/>. In a section,
/// which it is part of: the segment table of the last access is kept.
/// </summary>
internal struct MappedAccess(TableTree tree)
{
    private const ulong Nowhere = ulong.MaxValue;

    // Lasts as long as the section; an unlinked one has invalid entries only (rule 18), or nobody needs what is marked there (rule 33).
    private SegmentTable _table;
    private ulong _region = Nowhere;

    /// <summary>Pages granted so far.</summary>
    public int Granted { get; private set; }

    /// <summary>False: nothing is changed, and <paramref name="outcome"/> is as it was.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryResolve(ulong address, bool write, ref FaultOutcome outcome)
    {
        ulong region = address >> GuestAddress.RegionThirdShift;
        if (tree.HasDenseBits)
        {
            return false; // what a write marks there, and what a read may do, depends on the slot (rule 26)
        }
        if (region != _region)
        {
            if (!tree.TryFind(address, out _table))
            {
                _region = Nowhere;
                return tree.HasRegionLeaves && TryRegion(address, write, ref outcome);
            }
            _region = region;
        }
        SegmentCell cell = _table.Cell(GuestAddress.SegmentIndex(address));
        SegmentEntry entry = cell.Load();
        Probe.At(Place.EntryLoaded);
        if (entry.IsTable)
        {
            return TryPage(cell, entry, address, write, ref outcome);
        }
        if (entry.IsInvalid || (write && entry.IsProtected))
        {
            return false;
        }
        if (write)
        {
            cell.SetSummary(LineOf(address)); // rule 1
        }
        outcome.HostAddress = entry.Frame | (address & (GuestAddress.SegmentSize - 1));
        outcome.LeafSize = GuestAddress.SegmentSize;
        outcome.Rights = entry.IsProtected ? Access.Read : Access.Read | Access.Write;
        return true;
    }

    /// <summary>By a 2 GB leaf: a store through P = 0 needs no mark (rule 33).</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private readonly bool TryRegion(ulong address, bool write, ref FaultOutcome outcome)
    {
        if (!tree.TryFindRegionLeaf(address, out _, out RegionEntry leaf) || leaf.IsInvalid || (write && leaf.IsProtected))
        {
            return false;
        }
        Probe.At(Place.EntryLoaded);
        outcome.HostAddress = leaf.Frame | (address & (GuestAddress.RegionThirdSize - 1));
        outcome.LeafSize = GuestAddress.RegionThirdSize;
        outcome.Rights = leaf.IsProtected ? Access.Read : Access.Read | Access.Write;
        return true;
    }

    private static uint LineOf(ulong address) => 1u << (GuestAddress.PageIndex(address) / PageTable.LinePages);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryPage(SegmentCell cell, SegmentEntry entry, ulong address, bool write, ref FaultOutcome outcome)
    {
        int index = GuestAddress.PageIndex(address);
        var table = new PageTable(entry.TableOrigin);
        PageEntry page = table.Load(index);
        Probe.At(Place.EntryLoaded);
        bool granted = false;
        while (write && page.IsProtected)
        {
            if (!page.IsGrantable || (entry.IsProtected && !Probe.LeavesOut(Step.FaultGrantsFrozen)))
            {
                return false; // a page of a frozen segment waits for the thaw (rule 20)
            }
            PageEntry next = page.WithGrant;
            granted = table.TryReplace(index, page, next);
            page = granted ? next : table.Load(index);
        }
        if (page.IsInvalid)
        {
            return false;
        }
        if (granted)
        {
            Granted++;
            outcome.Done = FaultDone.Granted;
            outcome.Dirtied = 1;
            Probe.At(Place.EntryGrants);
        }
        if (write && (granted || !Probe.LeavesOut(Step.NoSummaryForSecond)))
        {
            cell.SetSummary(LineOf(address)); // rule 1, also for the second writer
        }
        outcome.HostAddress = page.Frame | (address & (GuestAddress.PageSize - 1));
        outcome.LeafSize = GuestAddress.PageSize;
        outcome.Rights = page.IsProtected ? Access.Read : Access.Read | Access.Write;
        return true;
    }
}
