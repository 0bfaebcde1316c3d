using System;

namespace GmapNative.Memory;

/// <summary>
/// A range of address space with an inaccessible page at either end, not inherited by fork, usable only where committed.
/// </summary>
internal sealed class GuardedRegion : IDisposable
{
    private const nuint Alignment = 2 << 20;

    private readonly nint _mapping;
    private readonly nuint _mappingBytes;

    private GuardedRegion(nint mapping, nuint mappingBytes, nint start, nuint bytes)
    {
        _mapping = mapping;
        _mappingBytes = mappingBytes;
        Start = start;
        Bytes = bytes;
    }

    /// <summary>2 MB aligned, so that huge pages fit.</summary>
    public nint Start { get; }

    public nuint Bytes { get; }

    /// <summary>
    /// Reserves address space; nothing is committed. Null where there is not enough. <paramref name="sparse"/>: a page takes no more than
    /// itself, never a huge one.
    /// </summary>
    public static GuardedRegion? TryReserve(nuint bytes, bool sparse = false)
    {
        // One alignment unit in front (the guard, at least a page of it is left) and a guard behind.
        nuint mappingBytes = bytes + (2 * Alignment);
        nint mapping = HostSystem.Current.TryReserve(mappingBytes);
        if (mapping == 0)
        {
            return null;
        }
        nint start = (nint)(((nuint)mapping + Alignment) & ~(Alignment - 1));
        HostSystem.Current.AdviseHugePages(start, bytes, sparse);
        return new GuardedRegion(mapping, mappingBytes, start, bytes);
    }

    /// <summary>Makes a part usable, zeroed. False where the machine has no memory for it; nothing changed then.</summary>
    public bool TryCommit(nuint offset, nuint bytes) => HostSystem.Current.TryCommit(Start + (nint)offset, bytes);

    /// <summary>Takes a part out of use again.</summary>
    public void Decommit(nuint offset, nuint bytes) => HostSystem.Current.Decommit(Start + (nint)offset, bytes);

    /// <summary>Locks a committed part in memory. False where a limit or a permission refuses it.</summary>
    public bool TryLock(nuint offset, nuint bytes) => HostSystem.Current.TryLock(Start + (nint)offset, bytes);

    public void Dispose() => HostSystem.Current.Release(_mapping, _mappingBytes);
}
