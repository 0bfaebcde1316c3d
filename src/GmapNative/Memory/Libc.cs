using System.Runtime.InteropServices;

namespace GmapNative.Memory;

/// <summary>The operating-system calls of this room (the others are in Backing). Linux; numbers are the kernel's ABI.</summary>
internal static unsafe partial class Libc
{
    public const int ProtNone = 0;
    public const int ProtReadWrite = 3;
    public const int MapPrivate = 0x02;
    public const int MapAnonymous = 0x20;
    public const int MapNoReserve = 0x4000;
    public const int AdviseDontFork = 10;
    public const int AdviseHugePage = 14;
    public const int AdviseNoHugePage = 15;
    public static readonly nint MapFailed = -1;

    private const int MembarrierNumberX64 = 324;
    private const int MembarrierNumberArm64 = 283;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint Map(nint address, nuint length, int protection, int flags, int descriptor, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    public static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    public static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "mlock", SetLastError = true)]
    public static partial int LockPages(nint address, nuint length);

    /// <summary>memset, which uses what this machine has: the library's own build may not.</summary>
    [LibraryImport("libc", EntryPoint = "memset")]
    [SuppressGCTransition]
    public static partial nint Fill(void* memory, int value, nuint bytes);

    [LibraryImport("libc", EntryPoint = "sched_yield")]
    public static partial int Yield();

    [LibraryImport("libc", EntryPoint = "nanosleep")]
    private static partial int NanoSleep(long* request, long* remaining);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number, nint first, nint second, nint third);

    public static void SleepNanoseconds(long nanoseconds)
    {
        // A timespec on this stack frame: two 64-bit words, alive for the call.
        long* request = stackalloc long[2] { 0, nanoseconds };
        _ = NanoSleep(request, null);
    }

    /// <summary><c>membarrier(command, 0, 0)</c>; negative where there is none.</summary>
    public static int Membarrier(int command)
    {
        int number = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? MembarrierNumberArm64 : MembarrierNumberX64;
        return (int)SystemCall(number, command, 0, 0);
    }
}
