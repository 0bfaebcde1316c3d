using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Diagnostics;

/// <summary>What must hold of 2 GB leaves and their deposits (rule 33).</summary>
internal sealed partial class InvariantChecker
{
    /// <summary>A deposit is nobody else's, stands beside no table, and only where a slot may have a leaf.</summary>
    private string? CheckDeposit(AddressSpace space, RegionCell cell, ulong region)
    {
        if (cell.IsLocked || cell.Deposit == 0)
        {
            return cell.IsLocked ? $"the deposit of region {region:x} is locked"
                : cell.Load().IsLeaf ? $"the leaf of region {region:x} has no deposit" : null;
        }
        Slot? slot = space.Map.Find(region);
        return cell.Load().IsTable || slot?.FitsRegion(region) != true
            ? $"region {region:x} has a deposit, and a table or no slot that fits"
            : Own(cell.Deposit, TableKind.Segment, $"deposit of region {region:x}")
                ?? CheckWatchTables(space, new SegmentTable(cell.Deposit), region);
    }

    private static string? CheckRegionLeaf(AddressSpace space, RegionCell cell, RegionEntry entry, ulong region)
    {
        Slot? slot = space.Map.Find(region);
        string leaf = $"leaf {entry.Value:x} at {region:x}";
        if (slot is null || !space.Options.HasRegionLeaves || !slot.FitsRegion(region))
        {
            return $"{leaf} does not fit slot {slot}";
        }
        const ulong Never = SegmentEntry.AccessValidity | SegmentEntry.Special | SegmentEntry.InstructionExecutionProtection
            | SegmentEntry.Common;
        SegmentEntry bits = entry.Bits;
        if ((entry.Value & Never) != 0 || (entry.Value & SegmentEntry.Present) == 0 || entry.Frame != slot.HostOf(region))
        {
            return $"{leaf} is malformed or has another frame than {slot.HostOf(region):x}";
        }
        if (entry.IsInvalid != ((entry.Value & SegmentEntry.Young) == 0))
        {
            return $"{leaf} is young and aged, or neither";
        }
        return CheckWatchedRegion(leaf, cell.Watch, bits)
            ?? CheckRights(leaf, slot, bits.IsWritable, bits.IsProtected, bits.IsDirty, bits.IsSoftDirty);
    }

    private static string? CheckWatchedRegion(string leaf, WatchDirectory watch, SegmentEntry entry)
    {
        bool any = watch.Any(WatchBits.All);
        for (int i = 0; any && i < GuestAddress.TableEntries; i++)
        {
            string? wrong = watch.Table(i) == 0 ? $"{leaf} is watched, and not all its pages have halfwords"
                : CheckWatchedLeaf(leaf, watch.Segment(i), entry);
            if (wrong is not null)
            {
                return wrong;
            }
        }
        return watch.Agree(WatchBits.Restricted) ? null : $"{leaf} is restricted in part";
    }
}
