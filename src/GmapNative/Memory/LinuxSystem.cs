namespace GmapNative.Memory;

/// <summary>mmap, mprotect, mlock, membarrier.</summary>
internal sealed unsafe class LinuxSystem : IHostSystem
{
    private const int BarrierQuery = 0;
    private const int BarrierPrivateExpedited = 1 << 3;
    private const int BarrierRegisterPrivateExpedited = 1 << 4;

    public nint TryReserve(nuint bytes)
    {
        nint mapping = Libc.Map(0, bytes, Libc.ProtNone, Libc.MapPrivate | Libc.MapAnonymous | Libc.MapNoReserve, -1, 0);
        if (mapping == Libc.MapFailed)
        {
            return 0;
        }
        if (Libc.Advise(mapping, bytes, Libc.AdviseDontFork) != 0)
        {
            _ = Libc.Unmap(mapping, bytes);
            return 0;
        }
        return mapping;
    }

    /// <summary>A kernel without huge pages may refuse it.</summary>
    public void AdviseHugePages(nint start, nuint bytes, bool sparse) =>
        _ = Libc.Advise(start, bytes, sparse ? Libc.AdviseNoHugePage : Libc.AdviseHugePage);

    public bool TryCommit(nint start, nuint bytes) => Libc.Protect(start, bytes, Libc.ProtReadWrite) == 0;

    public void Decommit(nint start, nuint bytes) => _ = Libc.Protect(start, bytes, Libc.ProtNone);

    /// <summary>RLIMIT_MEMLOCK is the limit.</summary>
    public bool TryLock(nint start, nuint bytes) => Libc.LockPages(start, bytes) == 0;

    public string WayToLock => "raise RLIMIT_MEMLOCK (ulimit -l) or give CAP_IPC_LOCK";

    public void Release(nint start, nuint bytes) => _ = Libc.Unmap(start, bytes);

    public bool TryPrepareBarrier()
    {
        int commands = Libc.Membarrier(BarrierQuery);
        return commands > 0 && (commands & BarrierPrivateExpedited) != 0 && Libc.Membarrier(BarrierRegisterPrivateExpedited) == 0;
    }

    /// <summary>A seccomp filter that came later may refuse it.</summary>
    public bool TryBarrier() => Libc.Membarrier(BarrierPrivateExpedited) == 0;

    public void Yield() => _ = Libc.Yield();

    public void Sleep(long nanoseconds) => Libc.SleepNanoseconds(nanoseconds);

    public void Fill(void* memory, byte value, nuint bytes) => _ = Libc.Fill(memory, value, bytes);
}
