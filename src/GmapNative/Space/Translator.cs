using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// What the tables say about an access, without side effect; the slots are asked where the tables do not decide. In a section.
/// </summary>
internal static class Translator
{
    /// <summary>0 or a program-interruption code with a reason, in the order in which the machine would find it.</summary>
    public static int Translate(AddressSpace space, ulong address, Access access, out FaultOutcome outcome)
    {
        outcome = default;
        if (address > space.Limit)
        {
            return space.Faults.NoSlot(address, ref outcome);
        }
        if (!space.Tree.TryFindCell(address, out SegmentCell cell))
        {
            _ = space.Tree.TryLoadRegion(address, out RegionEntry region);
            return Missing(space, address, region.IsHole, Status.RegionThirdTranslation, ref outcome);
        }
        SegmentEntry entry = cell.Load();
        if (entry.IsAged)
        {
            return Aged(Status.SegmentTranslation, ref outcome);
        }
        if (entry.IsInvalid)
        {
            return Missing(space, address, entry.IsHole, Status.SegmentTranslation, ref outcome);
        }
        bool write = (access & Access.Write) != 0;
        if (entry.IsLeaf)
        {
            outcome.HostAddress = entry.Frame | (address & (GuestAddress.SegmentSize - 1));
            outcome.LeafSize = GuestAddress.SegmentSize;
            return Judge(space, address, write, entry.IsProtected || IsClean(space, cell, address), ref outcome);
        }
        PageEntry page = new PageTable(entry.TableOrigin).Load(GuestAddress.PageIndex(address));
        if (page.IsAged)
        {
            return Aged(Status.PageTranslation, ref outcome);
        }
        if (page.IsInvalid)
        {
            return Missing(space, address, page.IsHole, Status.PageTranslation, ref outcome);
        }
        outcome.HostAddress = page.Frame | (address & (GuestAddress.PageSize - 1));
        outcome.LeafSize = GuestAddress.PageSize;
        return Judge(space, address, write, page.IsProtected || entry.IsProtected || IsClean(space, cell, address), ref outcome);
    }

    /// <summary>
    /// The exception of the level, or addressing where there is no slot: an empty region or segment may have slots elsewhere in it.
    /// </summary>
    private static int Missing(AddressSpace space, ulong address, bool isHole, int exceptionOfLevel, ref FaultOutcome outcome)
    {
        if (isHole || space.Map.Find(address) is null)
        {
            return space.Faults.NoSlot(address, ref outcome);
        }
        outcome.Reason = FaultReason.NotMapped;
        return exceptionOfLevel;
    }

    /// <summary>Whether a store must be marked first although its entry has P = 0: only by generation (rule 26).</summary>
    private static bool IsClean(AddressSpace space, SegmentCell cell, ulong address) =>
        space.Options.ByGeneration && !cell.IsMarked(GuestAddress.PageIndex(address)) && space.Map.Find(address)?.Tracking is not null;

    private static int Aged(int exceptionOfLevel, ref FaultOutcome outcome)
    {
        outcome.Reason = FaultReason.NeedsFault;
        return exceptionOfLevel;
    }

    /// <summary>
    /// Whether it is read-only the slot says: an entry loses its right to write for a moment while its table collapses (rule 23).
    /// </summary>
    private static int Judge(AddressSpace space, ulong address, bool write, bool isProtected, ref FaultOutcome outcome)
    {
        outcome.Rights = isProtected ? Access.Read : Access.Read | Access.Write;
        if (!write || !isProtected)
        {
            return Status.Ok;
        }
        outcome.Reason = space.Map.Find(address) is { IsReadOnly: true } ? FaultReason.ReadOnlySlot : FaultReason.NeedsFault;
        return Status.Protection;
    }
}
