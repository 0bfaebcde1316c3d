using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Diagnostics;

/// <summary>What must hold of watched pages (rule 28).</summary>
internal sealed partial class InvariantChecker
{
    /// <summary>Watch tables are nobody else's; a halfword that is not zero is a slot's; where no call runs nothing is due.</summary>
    private string? CheckWatchTables(AddressSpace space, SegmentTable table, ulong regionBase)
    {
        Span<nint> tables = stackalloc nint[WatchDirectory.Links + 1];
        string? wrong = table.Watch.IsNone ? null
            : space.Options.ByGeneration ? $"region {regionBase:x} has watch tables in a space that tracks by generation"
            : space.Watches.IsQuiet ? null : "something is due, or just told";
        foreach (nint one in tables[..table.Watch.CopyTo(tables)])
        {
            wrong ??= Own((ulong)one, TableKind.Watch, $"region {regionBase:x}");
        }
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries && !table.Watch.IsNone; i++)
        {
            WatchSegment watch = table.Watch.Segment(i);
            int page = watch.Next(0, WatchSegment.Pages, WatchBits.All);
            for (; wrong is null && page < WatchSegment.Pages; page = watch.Next(page + 1, WatchSegment.Pages, WatchBits.All))
            {
                ulong address = regionBase + ((ulong)i << GuestAddress.SegmentShift) + ((ulong)page << GuestAddress.PageShift);
                wrong = space.Map.Find(address) is null ? $"page {address:x} is watched, and there is no slot"
                    : (watch.Of(page) & WatchBits.Due) != 0 ? $"page {address:x} is due: {watch.Of(page)}"
                    : null;
            }
        }
        return wrong;
    }

    private static string? CheckWatchedLeaf(string leaf, WatchSegment watch, SegmentEntry entry) =>
        !watch.Any(WatchBits.All) ? null
        : !entry.IsMarked ? $"{leaf} has a watched page and no marker"
        : !watch.Agree(WatchBits.Restricted) ? $"{leaf} is restricted in part"
        : watch.Any(WatchBits.Gate) && !entry.IsProtected ? $"{leaf} is writable, and asks before a write"
        : watch.Any(WatchBits.NoRead) && !entry.IsInvalid ? $"{leaf} is readable, and may not be read"
        : watch.Any(WatchBits.Shadowed) && (entry.Value & SegmentEntry.ShadowMarker) == 0 ? $"{leaf} has no shadow marker"
        : null;

    private static string? CheckWatchedPage(WatchBits watch, PageEntry page, ulong address, bool isWatched)
    {
        string entry = $"page {page.Value:x} at {address:x} ({watch})";
        return page.IsMarked && !isWatched ? $"{entry} is marked in a table that is not watched"
            : watch == WatchBits.None ? null
            : !page.IsMarked ? $"{entry} has no marker"
            : (watch & WatchBits.Gate) != 0 && !page.IsProtected ? $"{entry} is writable, and asks before a write"
            : (watch & WatchBits.NoRead) != 0 && !page.IsInvalid ? $"{entry} is readable, and may not be read"
            : (watch & WatchBits.Shadowed) != 0 && (page.Value & PageEntry.ShadowMarker) == 0 ? $"{entry} has no shadow marker"
            : null;
    }
}
