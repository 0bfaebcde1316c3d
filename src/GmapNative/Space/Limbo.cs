using System;
using System.Collections.Generic;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Tables that are empty and unlinked and wait for grace before they are used again (rule 18). Under the configuration lock.
/// </summary>
internal sealed class Limbo(AddressSpace space)
{
    /// <summary>How many tables may wait; a long unmap takes a grace whenever so many are unlinked.</summary>
    public const int Capacity = 1024;

    /// <summary>A table that is unlinked and waits for readers; whole: a segment table with all that hangs on it.</summary>
    internal readonly record struct Retired(nint Table, TableKind Kind, bool IsWhole = false);

    private readonly List<Retired> _tables = new(Capacity + 4);

    public bool IsFull => _tables.Count >= Capacity;

    /// <summary>Tables of a kind that wait.</summary>
    public long Count(TableKind kind)
    {
        long count = 0;
        foreach (Retired retired in _tables)
        {
            bool below = retired.IsWhole && kind == space.Tree.PageTables.Kind;
            count += retired.Kind == kind ? 1 : below ? new SegmentTable((ulong)retired.Table).CountPageTables() : 0;
        }
        return count;
    }

    /// <summary>Makes sure that the next <see cref="Add"/>, which comes with an entry's lock held, allocates nothing.</summary>
    public void EnsureRoom() => _tables.EnsureCapacity(_tables.Count + 1);

    public void Add(nint table, TableKind kind)
    {
        _tables.Add(new Retired(table, kind));
        space.Engine.CountLimbo(TableKinds.BytesOf(kind));
    }

    /// <summary>
    /// A segment table that is unlinked and not empty: a call that found it before may hang a page table on it until the grace (rule 33).
    /// </summary>
    public void AddWhole(nint segmentTable)
    {
        _tables.Add(new Retired(segmentTable, TableKind.Segment, IsWhole: true));
        space.Engine.CountLimbo(TableKinds.BytesOf(TableKind.Segment));
    }

    /// <summary>What is as old as a segment table that is retired: dense bits and watch tables.</summary>
    public void AddBeside(SegmentTable table)
    {
        Span<nint> watch = stackalloc nint[WatchDirectory.Links + 1];
        foreach (nint one in watch[..table.Watch.CopyTo(watch)])
        {
            Add(one, TableKind.Watch);
        }
        foreach (DenseBits dense in (ReadOnlySpan<DenseBits>)[table.Dense, table.Spare, table.Retiring])
        {
            if (dense.Origin != 0)
            {
                Add((nint)dense.Origin, TableKind.DenseBits);
            }
        }
    }

    /// <summary>
    /// Ends cached rights, waits for grace, then frees everything that waited. <see cref="Status.TimedOut"/>: it stays, and comes
    /// with the next grace.
    /// </summary>
    public int GraceAndReclaim()
    {
        space.Tree.BumpGeneration();
        return Reclaim(bumped: true);
    }

    /// <summary>As <see cref="GraceAndReclaim"/>, where no right was taken away since the last bump.</summary>
    public int Reclaim() => Reclaim(bumped: false);

    private int Reclaim(bool bumped)
    {
        if (Probe.LeavesOut(Step.ReuseBeforeGrace))
        {
            FreeAll();
        }
        int status = space.Epochs.WaitForGrace(bumped);
        if (status == Status.Ok)
        {
            FreeAll();
        }
        return status;
    }

    /// <summary>Frees everything; the caller knows that nobody is in a section.</summary>
    public void FreeAll()
    {
        foreach (Retired retired in _tables)
        {
            if (retired.IsWhole)
            {
                space.Tree.FreeUnlinked(retired.Table);
            }
            else
            {
                space.Engine.Pool.Free(retired.Table, retired.Kind);
            }
            space.Engine.CountLimbo(-TableKinds.BytesOf(retired.Kind));
        }
        _tables.Clear();
    }
}
