using System;
using System.Runtime.InteropServices;

namespace GmapNative.Memory;

/// <summary>
/// A range of address space with an inaccessible page at either end, not inherited by fork, usable only where committed.
/// </summary>
internal sealed class GuardedRegion : IDisposable
{
    private const nuint Alignment = 2 << 20;
    private const int OutOfMemory = 12;

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
        nint mapping = Libc.Map(0, mappingBytes, Libc.ProtNone, Libc.MapPrivate | Libc.MapAnonymous | Libc.MapNoReserve, -1, 0);
        if (mapping == Libc.MapFailed)
        {
            return null;
        }
        nint start = (nint)(((nuint)mapping + Alignment) & ~(Alignment - 1));
        if (Libc.Advise(mapping, mappingBytes, Libc.AdviseDontFork) != 0)
        {
            _ = Libc.Unmap(mapping, mappingBytes);
            return null;
        }
        _ = Libc.Advise(start, bytes, sparse ? Libc.AdviseNoHugePage : Libc.AdviseHugePage); // a kernel without huge pages may refuse it
        return new GuardedRegion(mapping, mappingBytes, start, bytes);
    }

    /// <summary>Makes a part usable, zeroed. False where the kernel has no memory for it; nothing changed then.</summary>
    public bool TryCommit(nuint offset, nuint bytes) => Libc.Protect(Start + (nint)offset, bytes, Libc.ProtReadWrite) == 0;

    /// <summary>Takes a part out of use again.</summary>
    public void Decommit(nuint offset, nuint bytes) => _ = Libc.Protect(Start + (nint)offset, bytes, Libc.ProtNone);

    /// <summary>Locks a committed part in memory. False where a limit or a permission refuses it.</summary>
    public bool TryLock(nuint offset, nuint bytes) => Libc.LockPages(Start + (nint)offset, bytes) == 0;

    /// <summary>Whether the last refusal was for lack of memory rather than of permission.</summary>
    public static bool LastErrorIsOutOfMemory => Marshal.GetLastPInvokeError() == OutOfMemory;

    public void Dispose() => _ = Libc.Unmap(_mapping, _mappingBytes);
}
