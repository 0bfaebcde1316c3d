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
        if (space.Shadow is { } shadow)
        {
            return shadow.Faults.Translate(address, access, out outcome);
        }
        outcome = default;
        if (address > space.Limit)
        {
            return space.Faults.NoSlot(address, ref outcome);
        }
        if (!space.Tree.TryFindCell(address, out SegmentCell cell))
        {
            _ = space.Tree.TryLoadRegion(address, out RegionEntry region);
            if (region.IsLeaf)
            {
                return TranslateRegion(space, region, address, (access & Access.Write) != 0, ref outcome);
            }
            if (region.IsTable)
            {
                return Translate(space, address, access, out outcome); // it was split between the two looks
            }
            return Missing(space, address, region.IsHole, ExceptionOf(region.Level), ref outcome);
        }
        SegmentEntry entry = cell.Load();
        bool write = (access & Access.Write) != 0;
        if (entry.IsMarked && IsForbidden(space, cell.Watch, address, write))
        {
            return Forbidden(ref outcome);
        }
        if (entry.IsAged)
        {
            return Aged(Status.SegmentTranslation, ref outcome);
        }
        if (entry.IsInvalid)
        {
            return Missing(space, address, entry.IsHole, Status.SegmentTranslation, ref outcome);
        }
        if (entry.IsLeaf)
        {
            outcome.HostAddress = entry.Frame | (address & (GuestAddress.SegmentSize - 1));
            outcome.LeafSize = GuestAddress.SegmentSize;
            return Judge(space, address, write, entry.IsProtected || IsClean(space, cell, address), ref outcome);
        }
        PageEntry page = new PageTable(entry.TableOrigin).Load(GuestAddress.PageIndex(address));
        if (page.IsMarked && IsForbidden(space, cell.Watch, address, write))
        {
            return Forbidden(ref outcome);
        }
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

    private static int TranslateRegion(AddressSpace space, RegionEntry leaf, ulong address, bool write, ref FaultOutcome outcome)
    {
        bool links = leaf.Bits.IsMarked & space.Tree.TryFindLinks(address, out SegmentTable table);
        if (links && IsForbidden(space, table.Watch.Segment(GuestAddress.SegmentIndex(address)), address, write))
        {
            return Forbidden(ref outcome);
        }
        if (leaf.IsAged)
        {
            return Aged(Status.RegionThirdTranslation, ref outcome);
        }
        outcome.HostAddress = leaf.Frame | (address & (GuestAddress.RegionThirdSize - 1));
        outcome.LeafSize = GuestAddress.RegionThirdSize;
        return Judge(space, address, write, leaf.IsProtected, ref outcome);
    }

    private static int ExceptionOf(TableType level) => level switch
    {
        TableType.RegionFirst => Status.RegionFirstTranslation,
        TableType.RegionSecond => Status.RegionSecondTranslation,
        _ => Status.RegionThirdTranslation,
    };

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

    /// <summary>Whether a mapped page may not be used so (rule 28); a write to a read-only slot says so itself.</summary>
    private static bool IsForbidden(AddressSpace space, WatchSegment watch, ulong address, bool write)
    {
        bool writes = write && space.Map.Find(address) is not { IsReadOnly: true };
        return (watch.Of(GuestAddress.PageIndex(address)) & (writes ? WatchBits.Restricted : WatchBits.NoRead)) != 0;
    }

    private static int Forbidden(ref FaultOutcome outcome)
    {
        outcome.Reason = FaultReason.Protected;
        return Status.Protection;
    }

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
