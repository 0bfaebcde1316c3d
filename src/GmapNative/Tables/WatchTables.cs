using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// Where the watch halfwords of a segment table are: a directory of 256 links, each to a table for 8 segments. They come when they are
/// first needed and go with the segment table. Lookups in a section; changes under the space's configuration lock.
/// </summary>
internal readonly unsafe struct WatchDirectory(ulong origin) : IWatches
{
    public const int TableSegments = 8;
    public const int Links = GuestAddress.TableEntries / TableSegments;

    private readonly ulong* _links = (ulong*)origin; // 4 KB of the pool, half of them used, as old as the segment table; 0: none

    /// <inheritdoc/>
    public bool IsNone => _links == null;

    public ulong Origin => (ulong)_links;

    /// <summary>0: no page of these segments was ever watched.</summary>
    public ulong Table(int index) => IsNone ? 0 : Volatile.Read(ref _links[index / TableSegments]);

    public WatchSegment Segment(int index)
    {
        ulong table = Table(index);
        return table == 0 ? default : new WatchSegment((ulong*)table + (index % TableSegments * WatchSegment.Words));
    }

    /// <summary>How many segments from <paramref name="first"/> to <paramref name="end"/> - 1 in a row have no watch table.</summary>
    public int CountUnwatched(int first, int end)
    {
        int at = first;
        while (at < end && Table(at) == 0)
        {
            at = Math.Min(end, (at / TableSegments * TableSegments) + TableSegments);
        }
        return at - first;
    }

    /// <summary>How many segments have a watch table.</summary>
    public int CountWatched()
    {
        int count = 0;
        for (int index = 0; index < GuestAddress.TableEntries; index += TableSegments)
        {
            count += Table(index) != 0 ? TableSegments : 0;
        }
        return count;
    }

    /// <inheritdoc/>
    public bool Any(WatchBits bits) => (Union() & bits) != 0;

    /// <summary>Everything that some page of the 2 GB has.</summary>
    public WatchBits Union()
    {
        ulong any = 0;
        for (int index = 0; index < GuestAddress.TableEntries && !IsNone; index += TableSegments)
        {
            var words = (ulong*)Table(index); // a watch table: 4 KB, as old as this
            for (int i = 0; words != null && i < TableSegments * WatchSegment.Words; i++)
            {
                any |= Volatile.Read(ref words[i]);
            }
        }
        return WatchSegment.Union(any);
    }

    /// <inheritdoc/>
    public bool Agree(WatchBits bits)
    {
        WatchBits first = Segment(0).Of(0) & bits;
        for (int index = 0; index < GuestAddress.TableEntries && !IsNone; index++)
        {
            WatchSegment watch = Segment(index);
            if ((watch.Of(0) & bits) != first || !watch.Agree(bits))
            {
                return false;
            }
        }
        return true;
    }

    public void Link(int index, nint table) => Volatile.Write(ref _links[index / TableSegments], (ulong)table);

    /// <summary>All its tables, and itself; how many. Room for <see cref="Links"/> + 1.</summary>
    public int CopyTo(Span<nint> tables)
    {
        int count = 0;
        for (int i = 0; i < Links && !IsNone; i++)
        {
            tables[count] = (nint)_links[i];
            count += tables[count] != 0 ? 1 : 0;
        }
        if (!IsNone)
        {
            tables[count++] = (nint)_links;
        }
        return count;
    }
}

/// <summary>Makes watch tables for a range: all that are missing, or none (rule 28). Under the configuration lock.</summary>
internal unsafe ref struct WatchMaker(TableTree tree, TablePool pool, ITokenSource tokens)
{
    private nint _spare; // tables that nobody else can see; the first word of each is the next

    /// <summary>False: no memory, and no watch table was made.</summary>
    public bool TryMake(ulong start, ulong end)
    {
        if (!TryTakeSpares(start, end))
        {
            while (_spare != 0)
            {
                pool.Free(Pop(), TableKind.Watch);
            }
            return false;
        }
        for (ulong at = start; at < end; at = GuestAddress.RegionEnd(at, end))
        {
            _ = tree.TryFindLinks(at, out SegmentTable table);
            if (table.Watch.IsNone)
            {
                table.LinkWatch(Pop());
            }
            (int first, int last) = Range(at, end);
            for (int index = first; index <= last; index += WatchDirectory.TableSegments)
            {
                if (table.Watch.Table(index) == 0)
                {
                    table.Watch.Link(index, Pop());
                }
            }
        }
        return true;
    }

    /// <summary>
    /// The first of the 8 segments in which the range begins, and the last one of it. All of the 2 GB, where it may be one leaf: what one
    /// page of that is armed for may be due for all (rule 29).
    /// </summary>
    private readonly (int First, int Last) Range(ulong at, ulong end)
    {
        bool whole = tree.MayBeRegionLeaf(at, tokens);
        return whole ? (0, GuestAddress.TableEntries - 1)
            : (GuestAddress.SegmentIndex(at) / WatchDirectory.TableSegments * WatchDirectory.TableSegments,
                GuestAddress.SegmentIndex(GuestAddress.RegionEnd(at, end) - 1));
    }

    private bool TryTakeSpares(ulong start, ulong end)
    {
        for (ulong at = start; at < end; at = GuestAddress.RegionEnd(at, end))
        {
            if (!tree.TryMakeLinks(at, tokens, out SegmentTable table))
            {
                return false;
            }
            bool got = !table.Watch.IsNone || TryPush();
            (int first, int last) = Range(at, end);
            for (int index = first; got && index <= last; index += WatchDirectory.TableSegments)
            {
                got = table.Watch.Table(index) != 0 || TryPush();
            }
            if (!got)
            {
                return false;
            }
        }
        return true;
    }

    private bool TryPush()
    {
        nint table = pool.TryAllocate(TableKind.Watch);
        if (table != 0)
        {
            *(nint*)table = _spare; // ours alone until it is linked
            _spare = table;
        }
        return table != 0;
    }

    /// <summary>A table of zeroes.</summary>
    private nint Pop()
    {
        nint table = _spare;
        _spare = *(nint*)table;
        new Span<byte>((void*)table, TableKinds.BytesOf(TableKind.Watch)).Clear();
        return table;
    }
}
