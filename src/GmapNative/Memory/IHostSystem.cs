using System;

namespace GmapNative.Memory;

/// <summary>
/// What this room asks of an operating system: address space, memory in it, a barrier in all threads, and a wait. Thread-safe; a
/// refusal changes nothing.
/// </summary>
internal unsafe interface IHostSystem
{
    /// <summary>
    /// Reserves address space that nobody can touch, and that a child process does not get; 0 where there is not enough.
    /// </summary>
    nint TryReserve(nuint bytes);

    /// <summary>
    /// Says how the machine's huge pages may serve a part: not at all (<paramref name="sparse"/>), or where they fit. A hint.
    /// </summary>
    void AdviseHugePages(nint start, nuint bytes, bool sparse);

    /// <summary>Makes a reserved part usable: zeroes, where it never was. False where there is no memory for it.</summary>
    bool TryCommit(nint start, nuint bytes);

    /// <summary>Takes a part out of use again: nobody can touch it.</summary>
    void Decommit(nint start, nuint bytes);

    /// <summary>Keeps a usable part in memory. False where a limit or a permission refuses it.</summary>
    bool TryLock(nint start, nuint bytes);

    /// <summary>How a host's owner gets more memory locked: a part of a sentence after "to ".</summary>
    string WayToLock { get; }

    /// <summary>Gives back all that <see cref="TryReserve"/> answered, used or not.</summary>
    void Release(nint start, nuint bytes);

    /// <summary>
    /// Prepares <see cref="TryBarrier"/>; false: there is none here, and readers fence for themselves. The answer does not change.
    /// </summary>
    bool TryPrepareBarrier();

    /// <summary>
    /// A memory barrier in every thread of the process; false: it is refused now, and nothing is known of the others. Only after
    /// <see cref="TryPrepareBarrier"/> said yes.
    /// </summary>
    bool TryBarrier();

    /// <summary>Lets another thread run.</summary>
    void Yield();

    /// <summary>Sleeps for about so long, in nanoseconds, less than a second; at least one turn of another thread.</summary>
    void Sleep(long nanoseconds);

    /// <summary>Fills memory with a byte, by the widest stores that this machine has: the library's own build may not have them.</summary>
    void Fill(void* memory, byte value, nuint bytes);
}

/// <summary>The operating system that the process runs on.</summary>
internal static class HostSystem
{
    public static readonly IHostSystem Current = OperatingSystem.IsWindows() ? new WindowsSystem() : new LinuxSystem();
}
