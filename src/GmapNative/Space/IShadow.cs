using System.Threading;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What makes a space a shadow (Shadow): it has no slots, its faults go by the tables of a guest.</summary>
internal interface IShadow
{
    IShadowFaults Faults { get; }
}

/// <summary>Accesses of a shadow's guest. Thread-safe.</summary>
internal interface IShadowFaults
{
    /// <summary>
    /// As <see cref="FaultResolver.Resolve(View, ulong, Access, int, out FaultOutcome)"/>: in a section of the view's call, which it ends
    /// and begins again where the shadow's tables do not answer.
    /// </summary>
    int Resolve(View view, ulong address, Access access, int thread, out FaultOutcome outcome);

    /// <summary>What the guest's tables and the root's say now, without side effect. In a section.</summary>
    int Translate(ulong address, Access access, out FaultOutcome outcome);
}

/// <summary>How many shadows a root has, what they map, and the bytes of tables and of what is known of them.</summary>
internal readonly record struct ShadowCount(int Count, ulong Entries, ulong Bytes);

/// <summary>What a root knows of the shadows over it (Shadow). Thread-safe.</summary>
internal interface IShadowFamily
{
    /// <summary>
    /// The family lock: after a slot's harvest lock in the lock order, before <c>LOCK</c> of a segment. Nobody waits for a grace, a thaw
    /// or a callback under it.
    /// </summary>
    Lock Gate { get; }

    /// <summary>
    /// What was armed in a page was taken (<see cref="WatchBits.Inner"/>, <see cref="WatchBits.Table"/>): what hangs there goes with
    /// the next grace of the root. Waits for nothing, so that it may be called with an entry's lock held.
    /// </summary>
    void Queue(ulong page, WatchBits kinds);

    ShadowCount Count();

    /// <summary>Drops the shadows that nobody has open; false: some are. Under the configuration lock.</summary>
    bool TryEnd();
}
