using System;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Diagnostics;

/// <summary>
/// Checks everything that must hold in the tables of spaces in which no call runs and no thread is in a section. Reads, changes nothing.
/// </summary>
/// <remarks>Not thread-safe: a checker is made for one check.</remarks>
internal sealed partial class InvariantChecker
{
    private const ulong SmallestTable = 2 << 10; // of a page table; the others are multiples of it

    private readonly Engine _engine;
    private readonly ulong _start;
    private readonly ulong _end;
    private readonly HashSet<ulong> _owned = [];
    private readonly long[] _reachable = new long[TableKinds.Count];

    private InvariantChecker(Engine engine)
    {
        _engine = engine;
        _start = (ulong)engine.Arena.Start;
        _end = _start + (engine.Arena.Committed - engine.Arena.Charged - engine.Arena.Unused);
    }

    /// <summary>Null, or what is wrong. <paramref name="spaces"/> are all the spaces that live in the engine.</summary>
    public static string? Check(Engine engine, params AddressSpace[] spaces)
    {
        var checker = new InvariantChecker(engine);
        AddressSpace[] roots = spaces;
        spaces = WithShadows(spaces);
        string? wrong = checker.CheckClosedSpace();
        foreach (AddressSpace space in spaces)
        {
            wrong ??= checker.CheckSpace(space);
        }
        return wrong ?? checker.CheckHangs(roots) ?? checker.CheckTableCount(spaces) ?? checker.CheckBudget(spaces);
    }

    private unsafe string? CheckClosedSpace()
    {
        // The words live as long as the engine (its own control page).
        var asce = new Asce(_engine.ClosedSpace->Asce);
        return Own(asce.Origin, TableKind.Segment, "closed space");
    }

    private string? CheckSpace(AddressSpace space)
    {
        Asce asce = space.Tree.Asce;
        if (asce.Type != TableTree.TopFor(space.Limit) || asce.Value != Asce.For(asce.Type, asce.Origin).Value)
        {
            return $"ASCE {asce.Value:x} does not suit the limit {space.Limit:x}";
        }
        return CheckTable(space, asce.Origin, asce.Type, 0);
    }

    /// <summary>A table and what it designates, from its first address on.</summary>
    private string? CheckTable(AddressSpace space, ulong origin, TableType type, ulong start)
    {
        if (type == TableType.Segment)
        {
            return CheckSegmentTable(space, origin, start);
        }
        string? wrong = Own(origin, space.Tree.KindOf(type), $"{type} {start:x}");
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries; i++)
        {
            ulong address = start + ((ulong)i << GuestAddress.ShiftOf(type));
            RegionEntry entry = new RegionTable(origin, type).Load(i);
            if (space.Tree.KindOf(type) == TableKind.RegionThird)
            {
                wrong = CheckDeposit(space, new RegionTable(origin, type).Cell(i), address);
            }
            if (entry.IsLeaf)
            {
                wrong = space.Shadow is ShadowSpace shadow ? CheckShadowRegion(shadow, entry, address)
                    : wrong ?? CheckRegionLeaf(space, new RegionTable(origin, type).Cell(i), entry, address);
                continue;
            }
            ulong should = entry.IsTable ? RegionEntry.Table(type, entry.Origin).Value : RegionToken(space, type, address).Value;
            wrong ??= Expect(entry.Value, should, $"{type} entry", address);
            if (wrong is null && entry.IsTable)
            {
                wrong = CheckTable(space, entry.Origin, type - 1, address);
            }
        }
        return wrong;
    }

    private static RegionEntry RegionToken(AddressSpace space, TableType type, ulong address)
    {
        ulong last = address + (GuestAddress.SpanOf(type) - 1);
        foreach (Slot slot in space.Map.Slots)
        {
            if (slot.GuestAddress <= last && slot.End > address)
            {
                return RegionEntry.Empty(type);
            }
        }
        return RegionEntry.Hole(type, Status.Addressing);
    }

    private string? CheckSegmentTable(AddressSpace space, ulong origin, ulong regionBase)
    {
        string? wrong = Own(origin, TableKind.Segment, $"region {regionBase:x}")
            ?? CheckDenseBits(space, new SegmentTable(origin), regionBase)
            ?? CheckWatchTables(space, new SegmentTable(origin), regionBase);
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries; i++)
        {
            ulong segment = regionBase + ((ulong)i << GuestAddress.SegmentShift);
            SegmentCell cell = new SegmentTable(origin).Cell(i);
            SegmentEntry entry = cell.Load();
            wrong = space.Shadow is ShadowSpace shadow ? CheckShadowSegment(shadow, entry, segment)
                : entry.IsLeaf ? CheckLeaf(space, cell, entry, segment)
                : entry.IsTable ? CheckPageTable(space, cell, entry, segment)
                : Expect(entry.Value, SegmentToken(space, segment).Value, "segment entry", segment);
            bool flagged = (new SegmentTable(origin).Stripes >> (i / SegmentTable.StripeSegments) & 1) != 0;
            wrong ??= cell.Summary != 0 && !flagged ? $"segment {segment:x} has a summary word, its stripe's bit is clear" : null;
        }
        return wrong;
    }

    /// <summary>Dense bits are there as the space was made; a set one is a slot's, and its summary bit is set (rule 26).</summary>
    private string? CheckDenseBits(AddressSpace space, SegmentTable table, ulong regionBase)
    {
        ulong dense = table.Dense.Origin;
        if (!space.Options.ByGeneration || dense == 0)
        {
            return space.Options.ByGeneration || dense != 0 ? $"region {regionBase:x} has dense bits at {dense:x}" : null;
        }
        string owner = $"region {regionBase:x}";
        string? wrong = Own(dense, TableKind.DenseBits, owner)
            ?? Own(Math.Max(table.Spare.Origin, table.Retiring.Origin), TableKind.DenseBits, owner)
            ?? (table.Spare.Origin != 0 && table.Spare.Next(0, DenseBits.Bytes / sizeof(ulong)) * sizeof(ulong) != DenseBits.Bytes
                ? $"{owner}: spare dense bits are set" : null);
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries * DenseBits.SegmentWords; i++)
        {
            int segment = i / DenseBits.SegmentWords;
            int word = i % DenseBits.SegmentWords;
            ulong at = regionBase + ((ulong)i * DenseBits.WordPages << GuestAddress.PageShift);
            for (ulong bits = table.Dense.Segment(segment).Load(word); wrong is null && bits != 0; bits &= bits - 1)
            {
                int page = (word * DenseBits.WordPages) + System.Numerics.BitOperations.TrailingZeroCount(bits);
                ulong address = at + ((ulong)(page % DenseBits.WordPages) << GuestAddress.PageShift);
                bool summarized = (table.Cell(segment).Summary >> (page / PageTable.LinePages) & 1) != 0;
                wrong = !summarized ? $"page {address:x} is marked, its summary bit is clear"
                    : space.Map.Find(address) is null ? $"page {address:x} is marked, and there is no slot" : null;
            }
        }
        return wrong;
    }

    /// <summary>What a segment without a mapping holds; from the slots themselves, as <see cref="TokenOf"/>.</summary>
    private static SegmentEntry SegmentToken(AddressSpace space, ulong segment)
    {
        foreach (Slot slot in space.Map.Slots)
        {
            if (slot.GuestAddress <= segment + (GuestAddress.SegmentSize - 1) && slot.End > segment)
            {
                return SegmentEntry.Empty;
            }
        }
        return SegmentEntry.Hole(Status.Addressing);
    }

    /// <summary>What a page without a mapping holds. Not the builder's word for it: that one is checked here.</summary>
    private static PageEntry TokenOf(AddressSpace space, ulong address) =>
        space.Map.Find(address) is null ? PageEntry.Hole(Status.Addressing) : PageEntry.Empty;

    private static string? CheckLeaf(AddressSpace space, SegmentCell cell, SegmentEntry entry, ulong segment)
    {
        Slot? slot = space.Map.Find(segment);
        string leaf = $"leaf {entry.Value:x} at {segment:x}";
        if (slot is null || !space.Options.Huge || !slot.FitsLeaf(segment))
        {
            return $"{leaf} does not fit slot {slot}";
        }
        const ulong Never = SegmentEntry.AccessValidity | SegmentEntry.Special | SegmentEntry.InstructionExecutionProtection
            | SegmentEntry.Common | SegmentEntry.TypeMask;
        if ((entry.Value & Never) != 0 || (entry.Value & SegmentEntry.Present) == 0 || entry.Frame != slot.HostOf(segment))
        {
            return $"{leaf} is malformed or has another frame than {slot.HostOf(segment):x}";
        }
        if (entry.IsInvalid != ((entry.Value & SegmentEntry.Young) == 0))
        {
            return $"{leaf} is young and aged, or neither";
        }
        return CheckWatchedLeaf(leaf, cell.Watch, entry)
            ?? CheckRights(leaf, slot, entry.IsWritable, entry.IsProtected, entry.IsDirty, entry.IsSoftDirty)
            ?? (entry.IsSoftDirty && !slot.ByGeneration && cell.Summary != SegmentCell.AllLines
                ? $"{leaf} is dirty, its summary word is {cell.Summary:x}" : null);
    }

    private string? CheckPageTable(AddressSpace space, SegmentCell cell, SegmentEntry entry, ulong segment)
    {
        SegmentEntry plain = SegmentEntry.Table(entry.TableOrigin, entry.IsSplit, entry.IsWatched);
        if (entry.IsLocked || entry.IsFrozen || entry.Value != plain.Value)
        {
            return $"segment entry {entry.Value:x} at {segment:x} is locked, frozen or malformed";
        }
        string? wrong = Own(entry.TableOrigin, space.Tree.PageTables.Kind, $"segment {segment:x}")
            ?? CheckPgstes(space, new PageTable(entry.TableOrigin), segment);
        WatchSegment watch = cell.Watch;
        wrong ??= watch.Any(WatchBits.All) && !entry.IsWatched ? $"segment {segment:x} has watched pages, its entry says it has not" : null;
        uint summary = cell.Summary;
        for (int i = 0; wrong is null && i < GuestAddress.PageTableEntries; i++)
        {
            ulong address = segment + ((ulong)i << GuestAddress.PageShift);
            PageEntry page = new PageTable(entry.TableOrigin).Load(i);
            wrong = page.IsInvalid && !page.IsAged
                ? Expect(page.Value, TokenOf(space, address).Value, "page entry", address)
                : CheckPage(space.Map.Find(address), page, address, (summary >> (i / PageTable.LinePages) & 1) != 0)
                    ?? CheckWatchedPage(watch.Of(i), page, address, entry.IsWatched);
        }
        return wrong;
    }

    /// <summary>None is locked, and where there is no slot all are zero (rule 32).</summary>
    private static string? CheckPgstes(AddressSpace space, PageTable table, ulong segment)
    {
        for (int i = 0; space.Tree.PageTables.HasPgstes && i < GuestAddress.PageTableEntries; i++)
        {
            ulong address = segment + ((ulong)i << GuestAddress.PageShift);
            Pgste pgste = table.LoadPgste(i);
            if (pgste.Value != 0 && space.Map.Find(address) is null)
            {
                return $"PGSTE {pgste.Value:x} at {address:x}, where there is no slot";
            }
        }
        return null;
    }

    private static string? CheckPage(Slot? slot, PageEntry page, ulong address, bool summarized)
    {
        string entry = $"page {page.Value:x} at {address:x}";
        const ulong Never = PageEntry.MustBeZero | PageEntry.InstructionExecutionProtection;
        if (slot is null || (page.Value & Never) != 0 || !page.IsPresent || page.Frame != slot.HostOf(address))
        {
            return $"{entry} is malformed or not a page of slot {slot}";
        }
        if (page.IsInvalid != ((page.Value & PageEntry.Young) == 0))
        {
            return $"{entry} is young and aged, or neither";
        }
        if (slot.Missing?.Lacks(slot.PageOf(address), 1) is true)
        {
            return $"{entry} maps a page that has not come (rule 38)";
        }
        return CheckRights(entry, slot, page.IsWritable, page.IsProtected, page.IsDirty, page.IsSoftDirty)
            ?? (page.IsSoftDirty && !slot.ByGeneration && !summarized ? $"{entry} is soft-dirty, its summary bit is clear" : null);
    }

    private static string? CheckRights(string entry, Slot slot, bool writable, bool isProtected, bool dirty, bool softDirty) =>
        writable == slot.IsReadOnly ? $"{entry}: its right to write is not the slot's"
        : !dirty && !isProtected ? $"{entry} is neither dirty nor protected"
        : slot.ByGeneration && isProtected != slot.IsReadOnly ? $"{entry} is armed in a space that tracks by generation"
        : !isProtected && (!softDirty || !writable) ? $"{entry} takes stores that nobody would see"
        : null;

    /// <summary>A table that something points to: in the arena's used part, aligned, and nobody else's.</summary>
    private string? Own(ulong origin, TableKind kind, string owner)
    {
        ulong bytes = (ulong)TableKinds.BytesOf(kind);
        if (origin % bytes != 0 || origin < _start || origin + bytes > _end)
        {
            return $"{kind} table {origin:x} of {owner} is outside the arena or misaligned";
        }
        _reachable[(int)kind]++;
        for (ulong part = 0; part < bytes; part += SmallestTable)
        {
            if (!_owned.Add(origin + part))
            {
                return $"{kind} table {origin:x} of {owner} is somebody else's too";
            }
        }
        return null;
    }

    private string? CheckTableCount(AddressSpace[] spaces)
    {
        foreach (TableKind kind in TableKinds.Tables)
        {
            long held = _reachable[(int)kind];
            foreach (AddressSpace space in spaces)
            {
                held += space.Limbo.Count(kind) + (space.Shadow is ShadowSpace shadow ? shadow.CountRetired(kind) : 0);
            }
            if (held != _engine.Pool.Live(kind))
            {
                return $"{_engine.Pool.Live(kind)} {kind} tables are handed out, {held} are linked or in limbo";
            }
        }
        return null;
    }

    private string? CheckBudget(AddressSpace[] spaces)
    {
        Arena arena = _engine.Arena;
        ulong live = 0;
        for (int kind = 0; kind < TableKinds.Count; kind++)
        {
            live += (ulong)_engine.Pool.Live((TableKind)kind) * (ulong)TableKinds.BytesOf((TableKind)kind);
        }
        ulong used = _end - _start;
        ulong free = (ulong)_engine.Pool.FreeBytes;
        if (used != live + free || arena.Idle > free || used - arena.Idle + arena.Charged > arena.Limit || arena.Locked > arena.Committed)
        {
            return $"arena: {used} used, {arena.Idle} of it idle, {arena.Charged} charged of {arena.Limit}, {live} in tables, {free} free";
        }
        ulong logs = 0;
        foreach (AddressSpace space in spaces)
        {
            foreach (Slot slot in space.Map.Slots)
            {
                logs += slot.Tracking is null ? 0 : (ulong)slot.Tracking.Sinks.Length * DirtySink.BytesFor(slot.Pages);
                logs += (slot.Backing?.BytesCharged ?? 0) + (slot.Missing?.BytesCharged ?? 0);
            }
            foreach (IDirtyConsumer consumer in space.Consumers)
            {
                logs += consumer.BytesOfGone;
            }
        }
        return logs == arena.Charged ? null : $"arena: {arena.Charged} charged for logs of {logs} bytes";
    }

    private static string? Expect(ulong entry, ulong expected, string what, ulong address) =>
        entry == expected ? null : $"{what} {entry:x} at {address:x} should be {expected:x}";
}
