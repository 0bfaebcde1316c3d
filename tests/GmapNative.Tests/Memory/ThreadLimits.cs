using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace GmapNative.Tests.Memory;

/// <summary>
/// Runs code as a process would that may lock only so much memory: on a thread of its own without CAP_IPC_LOCK (capabilities are
/// a thread's), under a lowered soft RLIMIT_MEMLOCK (the process's, put back afterwards).
/// </summary>
internal static unsafe partial class ThreadLimits
{
    private const int MemoryLock = 8;
    private const uint CapabilityVersion3 = 0x20080522;
    private const int IpcLock = 14;

    public static void WithLockable(ulong bytes, Action action)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            ulong* old = stackalloc ulong[2]; // struct rlimit: soft, hard
            if (GetLimit(MemoryLock, old) != 0)
            {
                failure = new InvalidOperationException("getrlimit");
                return;
            }
            ulong* low = stackalloc ulong[2] { Math.Min(bytes, old[1]), old[1] };
            try
            {
                DropLockCapability();
                if (SetLimit(MemoryLock, low) != 0)
                {
                    throw new InvalidOperationException("setrlimit");
                }
                action();
            }
            catch (Exception exception)
            {
                failure = exception; // the test's own thread throws it
            }
            finally
            {
                _ = SetLimit(MemoryLock, old);
            }
        });
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            throw new InvalidOperationException(failure.Message, failure);
        }
    }

    private static void DropLockCapability()
    {
        // Header (version, this thread), then twice (effective, permitted, inheritable), as capget(2) has them.
        uint* header = stackalloc uint[2] { CapabilityVersion3, 0 };
        uint* data = stackalloc uint[6];
        if (CapabilityGet(header, data) != 0)
        {
            throw new InvalidOperationException("capget");
        }
        data[0] &= ~(1u << IpcLock);
        if (CapabilitySet(header, data) != 0)
        {
            throw new InvalidOperationException("capset");
        }
    }

    [LibraryImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    private static partial int GetLimit(int resource, ulong* limit);

    [LibraryImport("libc", EntryPoint = "setrlimit", SetLastError = true)]
    private static partial int SetLimit(int resource, ulong* limit);

    [LibraryImport("libc", EntryPoint = "capget", SetLastError = true)]
    private static partial int CapabilityGet(uint* header, uint* data);

    [LibraryImport("libc", EntryPoint = "capset", SetLastError = true)]
    private static partial int CapabilitySet(uint* header, uint* data);
}
