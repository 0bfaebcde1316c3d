using System;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Diagnostics;

/// <summary>
/// Checks everything that must hold in the tables of spaces in which no call runs and no thread is in a section. Reads, changes nothing.
/// </summary>
/// <remarks>Not thread-safe: a checker is made for one check.</remarks>
internal sealed class InvariantChecker
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
        string? wrong = checker.CheckClosedSpace();
        foreach (AddressSpace space in spaces)
        {
            wrong ??= checker.CheckSpace(space);
        }
        return wrong ?? checker.CheckTableCount(spaces) ?? checker.CheckBudget(spaces);
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
        if (asce.Type == TableType.Segment)
        {
            return CheckSegmentTable(space, asce.Origin, 0);
        }
        string? wrong = Own(asce.Origin, TableKind.Region, "ASCE");
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries; i++)
        {
            ulong address = (ulong)i << GuestAddress.RegionThirdShift;
            RegionEntry entry = new RegionTable(asce.Origin).Load(i);
            wrong = entry.IsTable
                ? CheckRegionEntry(entry, address) ?? CheckSegmentTable(space, entry.Origin, address)
                : Expect(entry.Value, RegionTable.Token(space.Map, address).Value, "region entry", address);
        }
        return wrong;
    }

    private static string? CheckRegionEntry(RegionEntry entry, ulong address) =>
        Expect(entry.Value, RegionEntry.Table(TableType.RegionThird, entry.Origin).Value, "region entry", address);

    private string? CheckSegmentTable(AddressSpace space, ulong origin, ulong regionBase)
    {
        string? wrong = Own(origin, TableKind.Segment, $"region {regionBase:x}")
            ?? CheckDenseBits(space, new SegmentTable(origin), regionBase);
        for (int i = 0; wrong is null && i < GuestAddress.TableEntries; i++)
        {
            ulong segment = regionBase + ((ulong)i << GuestAddress.SegmentShift);
            SegmentCell cell = new SegmentTable(origin).Cell(i);
            SegmentEntry entry = cell.Load();
            wrong = entry.IsLeaf ? CheckLeaf(space, cell, entry, segment)
                : entry.IsTable ? CheckPageTable(space, cell, entry, segment)
                : Expect(entry.Value, SegmentToken(space, segment).Value, "segment entry", segment);
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
            if (slot.GuestAddress < segment + GuestAddress.SegmentSize && slot.End > segment)
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
            | SegmentEntry.Common | SegmentEntry.TypeMask | SegmentEntry.NotifyMarker | SegmentEntry.ShadowMarker;
        if ((entry.Value & Never) != 0 || (entry.Value & SegmentEntry.Present) == 0 || entry.Frame != slot.HostOf(segment))
        {
            return $"{leaf} is malformed or has another frame than {slot.HostOf(segment):x}";
        }
        if (entry.IsInvalid != ((entry.Value & SegmentEntry.Young) == 0))
        {
            return $"{leaf} is young and aged, or neither";
        }
        return CheckRights(leaf, slot, entry.IsWritable, entry.IsProtected, entry.IsDirty, entry.IsSoftDirty)
            ?? (entry.IsSoftDirty && !slot.ByGeneration && cell.Summary != SegmentCell.AllLines
                ? $"{leaf} is dirty, its summary word is {cell.Summary:x}" : null);
    }

    private string? CheckPageTable(AddressSpace space, SegmentCell cell, SegmentEntry entry, ulong segment)
    {
        if (entry.IsLocked || entry.IsFrozen || entry.Value != SegmentEntry.Table(entry.TableOrigin, entry.IsSplit).Value)
        {
            return $"segment entry {entry.Value:x} at {segment:x} is locked, frozen or malformed";
        }
        string? wrong = Own(entry.TableOrigin, TableKind.Page, $"segment {segment:x}");
        uint summary = cell.Summary;
        for (int i = 0; wrong is null && i < GuestAddress.PageTableEntries; i++)
        {
            ulong address = segment + ((ulong)i << GuestAddress.PageShift);
            PageEntry page = new PageTable(entry.TableOrigin).Load(i);
            wrong = page.IsInvalid && !page.IsAged
                ? Expect(page.Value, TokenOf(space, address).Value, "page entry", address)
                : CheckPage(space.Map.Find(address), page, address, (summary >> (i / PageTable.LinePages) & 1) != 0);
        }
        return wrong;
    }

    private static string? CheckPage(Slot? slot, PageEntry page, ulong address, bool summarized)
    {
        string entry = $"page {page.Value:x} at {address:x}";
        const ulong Never = PageEntry.MustBeZero | PageEntry.InstructionExecutionProtection | PageEntry.Markers;
        if (slot is null || (page.Value & Never) != 0 || !page.IsPresent || page.Frame != slot.HostOf(address))
        {
            return $"{entry} is malformed or not a page of slot {slot}";
        }
        if (page.IsInvalid != ((page.Value & PageEntry.Young) == 0))
        {
            return $"{entry} is young and aged, or neither";
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
        foreach (TableKind kind in (TableKind[])[TableKind.Page, TableKind.Region, TableKind.Segment, TableKind.DenseBits])
        {
            long held = _reachable[(int)kind];
            foreach (AddressSpace space in spaces)
            {
                held += space.Limbo.Count(kind);
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
