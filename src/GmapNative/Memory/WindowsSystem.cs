using System.Runtime.InteropServices;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// VirtualAlloc, VirtualLock, FlushProcessWriteBuffers. Windows has no fork, and gives large pages by a privilege only: nothing to
/// advise.
/// </summary>
internal sealed unsafe class WindowsSystem : IHostSystem
{
    private const int Hundred = 100; // a timer counts hundreds of nanoseconds

    public nint TryReserve(nuint bytes) => Kernel32.Allocate(0, bytes, Kernel32.MemReserve, Kernel32.PageNoAccess);

    public void AdviseHugePages(nint start, nuint bytes, bool sparse)
    {
    }

    public bool TryCommit(nint start, nuint bytes) =>
        Kernel32.Allocate(start, bytes, Kernel32.MemCommit, Kernel32.PageReadWrite) != 0;

    public void Decommit(nint start, nuint bytes) => _ = Kernel32.Free(start, bytes, Kernel32.MemDecommit);

    /// <summary>
    /// The process's minimal working set is the limit. A host that wants more locked raises it (SetProcessWorkingSetSize): it is the
    /// host's to say, as RLIMIT_MEMLOCK is.
    /// </summary>
    public bool TryLock(nint start, nuint bytes) => Kernel32.LockPages(start, bytes) != 0;

    public string WayToLock => "raise the process's minimal working set (SetProcessWorkingSetSize)";

    public void Release(nint start, nuint bytes) => _ = Kernel32.Free(start, 0, Kernel32.MemRelease);

    public bool TryPrepareBarrier() => true;

    /// <summary>FlushProcessWriteBuffers, which is never refused.</summary>
    public bool TryBarrier()
    {
        Interlocked.MemoryBarrierProcessWide();
        return true;
    }

    public void Yield() => _ = Kernel32.SwitchToThread();

    /// <summary>
    /// By a timer of high resolution, which Windows has since version 10 1803: Sleep's own ticks are 15.6 ms long. Where there is
    /// none, the thread gives its turn away.
    /// </summary>
    public void Sleep(long nanoseconds)
    {
        nint timer = Kernel32.CreateTimer(0, 0, Kernel32.TimerHighResolution, Kernel32.TimerAllAccess);
        long due = -(nanoseconds / Hundred); // negative: from now on
        // The time is on this stack frame, alive for the call.
        if (timer == 0 || Kernel32.SetTimer(timer, &due, 0, 0, 0, 0) == 0 || Kernel32.Wait(timer, Kernel32.Forever) != 0)
        {
            _ = Kernel32.SwitchToThread();
        }
        if (timer != 0)
        {
            _ = Kernel32.Close(timer);
        }
    }

    public void Fill(void* memory, byte value, nuint bytes) => NativeMemory.Fill(memory, bytes, value);
}
