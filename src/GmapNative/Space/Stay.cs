using System;
using System.Threading;

namespace GmapNative.Space;

/// <summary>
/// Keeps a space, and so its engine, for a call that waits for grace without a lock: the end of the space waits for it. The call looks
/// at <see cref="AddressSpace.IsDead"/> after it began to stay.
/// </summary>
internal readonly ref struct Stay : IDisposable
{
    private readonly StayCount _count;

    public Stay(AddressSpace space)
    {
        _count = space.Stays;
        _count.Enter();
    }

    public void Dispose() => _count.Leave();
}

/// <summary>How many calls stay in a space.</summary>
internal sealed class StayCount
{
    private int _count;

    /// <summary>By a full fence: either the end of the space sees the call, or the call sees that the space is dead.</summary>
    public void Enter() => Interlocked.Increment(ref _count);

    public void Leave() => Interlocked.Decrement(ref _count);

    /// <summary>Returns when all that came before the space was marked dead have left.</summary>
    public void WaitForAll()
    {
        Interlocked.MemoryBarrier();
        SpinWait spin = default;
        while (Volatile.Read(ref _count) != 0)
        {
            Probe.At(Place.Waiting);
            spin.SpinOnce();
        }
    }
}
