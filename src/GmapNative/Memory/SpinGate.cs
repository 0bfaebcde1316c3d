using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// A lock for a few instructions that allocates nothing, also when contended (the framework's locks may, and the fault path
/// must not). Last in the lock order. A field of a class, never copied.
/// </summary>
internal struct SpinGate
{
    private int _held;

    public void Enter()
    {
        SpinWait spin = default;
        while (Volatile.Read(ref _held) != 0 || Interlocked.CompareExchange(ref _held, 1, 0) != 0)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    public void Exit() => Volatile.Write(ref _held, 0);
}
