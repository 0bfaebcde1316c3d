using System.Collections.Generic;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>
/// Tables that are empty and unlinked and wait for grace before they are used again (rule 18). Under the configuration lock.
/// </summary>
internal sealed class Limbo(AddressSpace space)
{
    /// <summary>How many tables may wait; a long unmap takes a grace whenever so many are unlinked.</summary>
    public const int Capacity = 1024;

    private readonly record struct Retired(nint Table, TableKind Kind);

    private readonly List<Retired> _tables = new(Capacity + 4);

    public bool IsFull => _tables.Count >= Capacity;

    /// <summary>Tables of a kind that wait.</summary>
    public int Count(TableKind kind) => _tables.FindAll(retired => retired.Kind == kind).Count;

    /// <summary>Makes sure that the next <see cref="Add"/>, which comes with an entry's lock held, allocates nothing.</summary>
    public void EnsureRoom() => _tables.EnsureCapacity(_tables.Count + 1);

    public void Add(nint table, TableKind kind)
    {
        _tables.Add(new Retired(table, kind));
        space.Engine.CountLimbo(TableKinds.BytesOf(kind));
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
            space.Engine.Pool.Free(retired.Table, retired.Kind);
            space.Engine.CountLimbo(-TableKinds.BytesOf(retired.Kind));
        }
        _tables.Clear();
    }
}
