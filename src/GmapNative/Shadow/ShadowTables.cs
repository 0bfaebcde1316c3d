using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>
/// What a shadow maps, and where in the root each of it is: behind each page entry, where other spaces have PGSTEs, stands the root's
/// address. Entries are changed by nobody else: the header never grants one, for none is writable by software. Under the family lock.
/// </summary>
internal sealed unsafe class ShadowTables(ShadowSpace shadow) : IDisposable
{
    private const ulong PageTableBytes = 4 << 10;
    private const ulong TableBytes = 32 << 10; // of segments; and of a top, whatever it is

    private readonly ReverseMap _leaves = new(); // inner address of a leaf -> the root's; a map like the other one, turned round

    private RootHangs Hangs => shadow.Family.Hangs;

    private TableTree Tree => shadow.Space.Tree;

    /// <summary>Page and leaf entries that are mapped now.</summary>
    public ulong Entries { get; private set; }

    /// <summary>Bytes of all tables, the top included; those that wait for readers are not counted.</summary>
    public ulong Bytes { get; private set; } = TableBytes;

    /// <summary>Whether there is nothing but the top: no entry, and no table that is left of some.</summary>
    public bool IsEmpty => Entries == 0 && Bytes == TableBytes;

    /// <summary>
    /// Maps 2^shift bytes (12, 20, 31) of the guest; what was mapped there goes. What hangs on what is added with it. No memory: nothing
    /// was mapped. Try again: a larger leaf was in the way and is gone, with what was armed for it.
    /// </summary>
    public int Map(ulong inner, int shift, ulong root, ulong host, bool writable)
    {
        if (!TryReach(inner | ((1UL << shift) - 1)))
        {
            return Status.NoMemory;
        }
        if (shift == GuestAddress.RegionThirdShift)
        {
            return MapRegion(inner, root, RegionEntry.OfShadow(host, writable));
        }
        if (Tree.TryFindRegionLeaf(inner, out _, out _))
        {
            Clear(GuestAddress.RegionBase(inner), GuestAddress.RegionThirdShift);
            return Status.TryAgain;
        }
        bool hasTable = Tree.TryFind(inner, out _);
        ulong above = hasTable ? 0 : Tree.MissingRegionBytes(inner);
        if (!hasTable && shadow.Family.Bytes + above + TableBytes > shadow.Family.Root.Options.ShadowBytes)
        {
            return Status.NoMemory;
        }
        SegmentCell cell = default;
        bool made = Hangs.TryReserve(1) && _leaves.TryReserve(1) && Tree.TryMakeCell(inner, SlotMap.None, out cell);
        Bytes += above == 0 ? 0 : above - Tree.MissingRegionBytes(inner); // some may have been made
        if (!made)
        {
            return Status.NoMemory;
        }
        Bytes += hasTable ? 0 : TableBytes;
        return shift == GuestAddress.SegmentShift
            ? MapLeaf(cell, inner, root, SegmentEntry.OfShadow(host, writable))
            : MapPage(cell, inner, root, PageEntry.OfShadow(host, writable));
    }

    /// <summary>
    /// Empties 2^shift bytes from an inner address on, and forgets what hung there because of them. The caller ends the readers
    /// (<see cref="ShadowSpace.EndReaders"/>).
    /// </summary>
    public void Clear(ulong inner, int shift)
    {
        if (shift == GuestAddress.PageShift)
        {
            if (Tree.TryFindCell(inner, out SegmentCell cell) && cell.Load().IsTable)
            {
                ClearPage(new ShadowPageTable(cell.Load().TableOrigin), GuestAddress.PageIndex(inner), inner);
            }
            else if (Tree.TryFindCell(inner, out cell) && cell.Load().IsLeaf)
            {
                ClearSegment(cell, GuestAddress.SegmentBase(inner)); // mapped in one piece, so it goes in one piece
            }
            else
            {
                ClearWhole(hasTable: false, default, inner, inner);
            }
            return;
        }
        ulong last = shift >= 64 ? ulong.MaxValue : inner | ((1UL << shift) - 1);
        for (ulong at = inner, stop = inner; stop != last; at = GuestAddress.After(stop))
        {
            bool found = Tree.TryFind(at, out SegmentTable table);
            stop = ulong.Min(last, found ? at | (GuestAddress.RegionThirdSize - 1) : Tree.LastOnTheWay(at));
            ClearWhole(found, table, at, stop);
        }
        if (shift > GuestAddress.SegmentShift)
        {
            Hangs.RemoveAll(shadow.Id, inner, shift);
        }
    }

    /// <summary>Empties everything, and unlinks all tables but the top.</summary>
    public void ClearAll()
    {
        for (ulong at = 0, stop = 0; stop != shadow.Space.Limit; at = GuestAddress.After(stop))
        {
            bool found = Tree.TryFind(at, out SegmentTable table);
            stop = ulong.Min(shadow.Space.Limit, found ? at | (GuestAddress.RegionThirdSize - 1) : Tree.LastOnTheWay(at));
            ClearWhole(found, table, at, stop);
            Unlink(at);
        }
        for (TableType level = TableType.RegionSecond; level <= Tree.Asce.Type; level++)
        {
            UnlinkRegions(level);
        }
        Hangs.RemoveAll(shadow.Id, 0, 64);
    }

    /// <summary>Where in the root a leaf of 2^shift bytes is.</summary>
    public bool TryFindLeaf(ulong inner, int shift, out ulong root)
    {
        bool found = _leaves.TryFind(inner, (byte)shift, HangKind.Memory, out Hang leaf);
        root = leaf.Inner;
        return found;
    }

    /// <summary>The end: nobody reads it any more.</summary>
    public void Dispose() => _leaves.Dispose();

    /// <summary>What is new hangs before the old goes: where both are on the same page it stays armed (<see cref="RootHangs"/>).</summary>
    private int MapLeaf(SegmentCell cell, ulong inner, ulong root, SegmentEntry leaf)
    {
        bool found = cell.Load().IsLeaf & TryFindLeaf(inner, GuestAddress.SegmentShift, out ulong before);
        bool stays = found && before == root; // a right is added
        if (!stays)
        {
            Hang(root, GuestAddress.SegmentShift, inner);
            ClearSegment(cell, inner);
            _leaves.Add(LeafOf(inner, GuestAddress.SegmentShift, root));
        }
        Replace(cell, leaf);
        return Status.Ok;
    }

    private int MapPage(SegmentCell cell, ulong inner, ulong root, PageEntry entry)
    {
        bool full = shadow.Family.Bytes + PageTableBytes > shadow.Family.Root.Options.ShadowBytes;
        nint made = cell.Load().IsTable || full ? 0 : Tree.PageTables.TryAllocate();
        if (made == 0 && !cell.Load().IsTable)
        {
            return Status.NoMemory;
        }
        int page = GuestAddress.PageIndex(inner);
        var table = new ShadowPageTable(made != 0 ? (ulong)made : cell.Load().TableOrigin);
        bool stays = made == 0 && table.Load(page).IsPresent && table.Root(page) == root; // a right is added
        if (!stays)
        {
            Hang(root, GuestAddress.PageShift, inner);
        }
        if (made != 0)
        {
            table.Initialize();
            ClearSegment(cell, GuestAddress.SegmentBase(inner)); // a leaf
            Replace(cell, SegmentEntry.Table((ulong)made, split: false));
            Bytes += PageTableBytes;
        }
        else if (!stays)
        {
            ClearPage(table, page, inner);
        }
        table.SetRoot(page, root);
        table.Set(page, entry);
        return Status.Ok;
    }

    /// <summary>
    /// A larger top where an address lies beyond it: real space is as large as what it lies on, which may have grown since. Readers go on
    /// below the old one. False: no memory, nothing changed.
    /// </summary>
    private bool TryReach(ulong last)
    {
        TableType from = Tree.Asce.Type;
        TableType to = TableTree.TopFor(last);
        if (to <= from)
        {
            return true;
        }
        // The old top becomes a table like others, and a top is always counted alike.
        ulong more = from == TableType.Segment ? TableBytes : (ulong)TableKinds.BytesOf(Tree.KindOf(from));
        for (TableType level = from + 1; level < to; level++)
        {
            more += (ulong)TableKinds.BytesOf(Tree.KindOf(level));
        }
        bool full = shadow.Family.Bytes + more > shadow.Family.Root.Options.ShadowBytes;
        if (full || !Tree.TryChangeTop(to, SlotMap.None, [], out _))
        {
            return false;
        }
        Bytes += more;
        shadow.Space.Reach(Asce.SpanOf(to) - 1); // 0 - 1: all of 2^64
        return true;
    }

    private static Hang LeafOf(ulong inner, int shift, ulong root) =>
        new(inner, (byte)shift, HangKind.Memory, 0, root, (byte)shift);

    private int MapRegion(ulong inner, ulong root, RegionEntry leaf)
    {
        ulong above = Tree.MissingRegionBytes(inner);
        if (above != 0 && shadow.Family.Bytes + above > shadow.Family.Root.Options.ShadowBytes)
        {
            return Status.NoMemory;
        }
        RegionCell cell = default;
        bool made = Hangs.TryReserve(1) && _leaves.TryReserve(1) && Tree.TryMakeRegion(inner, SlotMap.None, out cell, out _);
        Bytes += above - Tree.MissingRegionBytes(inner); // some may have been made
        if (!made)
        {
            return Status.NoMemory;
        }
        bool stays = cell.Load().IsLeaf && TryFindLeaf(inner, GuestAddress.RegionThirdShift, out ulong before) && before == root;
        if (!stays)
        {
            Hang(root, GuestAddress.RegionThirdShift, inner);
            ClearWhole(Tree.TryFind(inner, out SegmentTable table), table, inner, inner + (GuestAddress.RegionThirdSize - 1));
            Unlink(inner);
            _leaves.Add(LeafOf(inner, GuestAddress.RegionThirdShift, root));
        }
        _ = cell.TryReplace(cell.Load(), leaf);
        return Status.Ok;
    }

    /// <summary>Empties what of 2 GB is in a range: by a table, or by one leaf, which goes as a whole.</summary>
    private void ClearWhole(bool hasTable, SegmentTable table, ulong first, ulong last)
    {
        if (hasTable)
        {
            ClearRegion(table, first, last);
        }
        else if (Tree.TryFindRegionLeaf(first, out RegionCell cell, out RegionEntry entry))
        {
            ulong inner = GuestAddress.RegionBase(first);
            _ = _leaves.TryFind(inner, GuestAddress.RegionThirdShift, HangKind.Memory, out Hang leaf);
            _ = _leaves.Remove(leaf);
            _ = cell.TryReplace(entry, RegionEntry.Hole(TableType.RegionThird, Status.Addressing));
            Unhang(leaf.Inner, GuestAddress.RegionThirdShift, inner);
        }
    }

    private void Unlink(ulong region)
    {
        nint unlinked = Tree.TryFind(region, out _) ? Tree.Unlink(TableType.RegionThird, region, SlotMap.None) : 0;
        if (unlinked != 0)
        {
            shadow.Retire(unlinked, TableKind.Segment);
            Bytes -= TableBytes;
        }
    }

    /// <summary>The tables that entries of a level designate, which have none themselves any more.</summary>
    private void UnlinkRegions(TableType level)
    {
        for (ulong at = 0, stop = 0; stop != shadow.Space.Limit; at = GuestAddress.After(stop))
        {
            nint unlinked = Tree.Unlink(level, at, SlotMap.None);
            if (unlinked != 0)
            {
                shadow.Retire(unlinked, Tree.KindOf(level - 1));
                Bytes -= (ulong)TableKinds.BytesOf(Tree.KindOf(level - 1));
            }
            stop = ulong.Min(shadow.Space.Limit, Tree.LastOnTheWay(at));
        }
    }

    private void Hang(ulong root, int shift, ulong inner)
    {
        Hangs.Add(new Hang(root, (byte)shift, HangKind.Memory, shadow.Id, inner, (byte)shift));
        Entries++;
    }

    private void Unhang(ulong root, int shift, ulong inner)
    {
        Hangs.Remove(new Hang(root, (byte)shift, HangKind.Memory, shadow.Id, inner, (byte)shift));
        Entries--;
        shadow.NoteChange();
    }

    private void ClearRegion(SegmentTable table, ulong first, ulong last)
    {
        for (int index = GuestAddress.SegmentIndex(first); index <= GuestAddress.SegmentIndex(last); index++)
        {
            ClearSegment(table.Cell(index), GuestAddress.RegionBase(first) + ((ulong)index << GuestAddress.SegmentShift));
        }
    }

    private void ClearSegment(SegmentCell cell, ulong segment)
    {
        SegmentEntry entry = cell.Load();
        if (entry.IsLeaf)
        {
            _ = _leaves.TryFind(segment, GuestAddress.SegmentShift, HangKind.Memory, out Hang leaf);
            _ = _leaves.Remove(leaf);
            Replace(cell, SegmentEntry.Hole(Status.Addressing));
            Unhang(leaf.Inner, GuestAddress.SegmentShift, segment);
        }
        else if (entry.IsTable)
        {
            var table = new ShadowPageTable(entry.TableOrigin);
            for (int page = 0; page < GuestAddress.PageTableEntries; page++)
            {
                ClearPage(table, page, segment + ((ulong)page << GuestAddress.PageShift));
            }
            Replace(cell, SegmentEntry.Hole(Status.Addressing));
            shadow.Retire((nint)entry.TableOrigin, TableKind.PagePgste);
            Bytes -= PageTableBytes;
        }
    }

    private void ClearPage(ShadowPageTable table, int page, ulong inner)
    {
        if (table.Load(page).IsPresent)
        {
            table.Set(page, PageEntry.Empty);
            Unhang(table.Root(page), GuestAddress.PageShift, inner);
        }
    }

    private static void Replace(SegmentCell cell, SegmentEntry value)
    {
        while (!cell.TryReplace(cell.Load(), value))
        {
        }
    }
}

/// <summary>A live page table of a shadow: 256 entries, and behind each the root's address of the page.</summary>
internal readonly unsafe struct ShadowPageTable(ulong origin)
{
    // A 4 KB table of the arena; unlinked only under the family lock, and not reused before the shadow's readers have left.
    private readonly ulong* _entries = (ulong*)origin;

    public PageEntry Load(int page) => new(Volatile.Read(ref _entries[page]));

    public void Set(int page, PageEntry entry) => Volatile.Write(ref _entries[page], entry.Value);

    /// <summary>Nothing is mapped. Before it is linked.</summary>
    public void Initialize()
    {
        for (int page = 0; page < GuestAddress.PageTableEntries; page++)
        {
            Set(page, PageEntry.Empty);
        }
    }

    public ulong Root(int page) => _entries[GuestAddress.PageTableEntries + page];

    public void SetRoot(int page, ulong root) => _entries[GuestAddress.PageTableEntries + page] = root;
}
