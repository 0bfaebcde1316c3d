using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What the tables say about an access, without side effect and without a slot lookup. In a section.</summary>
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
            return Missing(region.Value, region.IsHole, Status.RegionThirdTranslation, ref outcome);
        }
        SegmentEntry entry = cell.Load();
        if (entry.IsInvalid)
        {
            return Missing(entry.Value, entry.IsHole, Status.SegmentTranslation, ref outcome);
        }
        bool write = (access & Access.Write) != 0;
        if (entry.IsLeaf)
        {
            outcome.HostAddress = entry.Frame | (address & (GuestAddress.SegmentSize - 1));
            outcome.LeafSize = GuestAddress.SegmentSize;
            return Judge(write, entry.IsProtected, entry.IsWritable, ref outcome);
        }
        PageEntry page = new PageTable(entry.TableOrigin).Load(GuestAddress.PageIndex(address));
        if (page.IsInvalid)
        {
            return Missing(page.Value, page.IsHole, Status.PageTranslation, ref outcome);
        }
        outcome.HostAddress = page.Frame | (address & (GuestAddress.PageSize - 1));
        outcome.LeafSize = GuestAddress.PageSize;
        return Judge(write, page.IsProtected || entry.IsProtected, page.IsWritable, ref outcome);
    }

    /// <summary>A hole delivers the code that its token carries; an empty entry the exception of its level.</summary>
    private static int Missing(ulong entry, bool isHole, int exceptionOfLevel, ref FaultOutcome outcome)
    {
        outcome.Reason = isHole ? FaultReason.NoSlot : FaultReason.NotMapped;
        return isHole ? Token.ParameterOf(entry) : exceptionOfLevel;
    }

    private static int Judge(bool write, bool isProtected, bool isWritable, ref FaultOutcome outcome)
    {
        outcome.Rights = isProtected ? Access.Read : Access.Read | Access.Write;
        if (!write || !isProtected)
        {
            return Status.Ok;
        }
        outcome.Reason = isWritable ? FaultReason.NeedsFault : FaultReason.ReadOnlySlot;
        return Status.Protection;
    }
}
