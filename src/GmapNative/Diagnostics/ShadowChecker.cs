using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Diagnostics;

/// <summary>What must hold of shadows (rules 34 to 36), where no call runs.</summary>
internal sealed partial class InvariantChecker
{
    private ulong _shadowEntries;

    /// <summary>Spaces, and the shadows over them.</summary>
    private static AddressSpace[] WithShadows(AddressSpace[] spaces)
    {
        List<AddressSpace> all = [.. spaces];
        foreach (AddressSpace space in spaces)
        {
            all.AddRange(space.Shadows is ShadowFamily family ? family.Spaces : []);
        }
        return [.. all];
    }

    /// <summary>As many hangs of memory as there are entries: none is there twice, none has leaked.</summary>
    private string? CheckHangs(AddressSpace[] spaces)
    {
        ulong hangs = 0;
        foreach (AddressSpace space in spaces)
        {
            hangs += space.Shadows is ShadowFamily family ? (ulong)family.Hangs.CountOf(HangKind.Memory) : 0;
            foreach (AddressSpace shadow in space.Shadows is ShadowFamily shadows ? shadows.Spaces : [])
            {
                if (CheckShadowBytes((ShadowSpace)shadow.Shadow!) is { } wrong)
                {
                    return wrong;
                }
            }
        }
        return hangs == _shadowEntries ? null : $"{_shadowEntries} entries of shadows, and {hangs} hangs of memory";
    }

    /// <summary>What a shadow's tables take is what it is counted for; a top counts as a segment table.</summary>
    private static string? CheckShadowBytes(ShadowSpace shadow)
    {
        TableTree tree = shadow.Space.Tree;
        TableCount count = tree.Count();
        TableType top = tree.Asce.Type;
        int saved = top == TableType.Segment ? 0
            : TableKinds.BytesOf(TableKind.Segment) - TableKinds.BytesOf(tree.KindOf(top));
        long bytes = (count.Regions * TableKinds.BytesOf(TableKind.Region)) + (count.Segments * TableKinds.BytesOf(TableKind.Segment))
            + (count.WithDeposits * (TableKinds.BytesOf(TableKind.RegionThird) - TableKinds.BytesOf(TableKind.Region)))
            + (count.Pages * TableKinds.BytesOf(TableKind.PagePgste)) + saved;
        return (ulong)bytes == shadow.Tables.Bytes ? null
            : $"shadow {shadow.Id} is counted for {shadow.Tables.Bytes} bytes of tables, and has {bytes} ({count})";
    }

    private string? CheckShadowSegment(ShadowSpace shadow, SegmentEntry entry, ulong segment)
    {
        if (entry.IsLeaf)
        {
            return shadow.Tables.TryFindLeaf(segment, GuestAddress.SegmentShift, out ulong root)
                ? CheckShadowEntry(shadow, segment, GuestAddress.SegmentShift, root, entry.Frame, !entry.IsProtected)
                : $"leaf {segment:x} of a shadow is nowhere in the root";
        }
        if (!entry.IsTable)
        {
            return Expect(entry.Value, SegmentEntry.Hole(Status.Addressing).Value, "segment entry of a shadow", segment);
        }
        string? wrong = Own(entry.TableOrigin, TableKind.PagePgste, $"segment {segment:x} of a shadow");
        var table = new ShadowPageTable(entry.TableOrigin);
        for (int page = 0; wrong is null && page < GuestAddress.PageTableEntries; page++)
        {
            PageEntry one = table.Load(page);
            ulong inner = segment + ((ulong)page << GuestAddress.PageShift);
            wrong = one.IsPresent
                ? CheckShadowEntry(shadow, inner, GuestAddress.PageShift, table.Root(page), one.Frame, !one.IsProtected)
                : Expect(one.Value, PageEntry.Empty.Value, "page entry of a shadow", inner);
        }
        return wrong;
    }

    private string? CheckShadowRegion(ShadowSpace shadow, RegionEntry entry, ulong region) =>
        shadow.Tables.TryFindLeaf(region, GuestAddress.RegionThirdShift, out ulong root)
            ? CheckShadowEntry(shadow, region, GuestAddress.RegionThirdShift, root, entry.Frame, !entry.IsProtected)
            : $"leaf {region:x} of a shadow is nowhere in the root";

    /// <summary>The root maps the same frame, armed for whatever weakens it; and what a shadow may write is granted there.</summary>
    private string? CheckShadowEntry(ShadowSpace shadow, ulong inner, int shift, ulong root, ulong frame, bool writable)
    {
        _shadowEntries++;
        AddressSpace below = shadow.Family.Root;
        string name = $"shadow {shadow.Id}, {inner:x} at {root:x}";
        if (!shadow.Family.Hangs.Has(new Hang(root, (byte)shift, HangKind.Memory, shadow.Id, inner, (byte)shift)))
        {
            return $"{name}: does not hang there";
        }
        if (below.Tree.TryFindRegionLeaf(root, out RegionCell region, out RegionEntry leaf))
        {
            bool watched = (region.Watch.Segment(GuestAddress.SegmentIndex(root)).Of(GuestAddress.PageIndex(root)) & WatchBits.Inner) != 0;
            ulong within = root & (GuestAddress.RegionThirdSize - 1);
            return (leaf.Frame | within) != frame ? $"{name}: frame {frame:x}, the root's leaf is at {leaf.Frame:x}"
                : !watched ? $"{name}: the root's leaf is not armed"
                : writable && leaf.IsProtected ? $"{name}: writable, and the root's leaf is protected" : null;
        }
        if (!below.Tree.TryFindCell(root, out SegmentCell cell))
        {
            return $"{name}: the root has no table";
        }
        SegmentEntry segment = cell.Load();
        int first = GuestAddress.PageIndex(root);
        bool armed = (cell.Watch.Of(first) & WatchBits.Inner) != 0;
        PageEntry page = segment.IsTable ? new PageTable(segment.TableOrigin).Load(first) : default;
        ulong mapped = segment.IsLeaf ? segment.Frame | (root & (GuestAddress.SegmentSize - 1)) : page.Frame;
        bool isProtected = segment.IsLeaf ? segment.IsProtected : page.IsProtected;
        bool present = segment.IsLeaf || page.IsPresent;
        return !present ? $"{name}: the root maps nothing"
            : mapped != frame ? $"{name}: frame {frame:x}, the root's is {mapped:x}"
            : !armed ? $"{name}: the root's page is not armed"
            : writable && isProtected ? $"{name}: writable, and the root's is protected"
            : null;
    }
}
