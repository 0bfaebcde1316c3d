using System;
using System.Runtime.InteropServices;

namespace GmapNative.Backing;

/// <summary>The kernel's interfaces of this room: userfaultfd(2), PAGEMAP_SCAN of /proc/PID/pagemap. Numbers are Linux's ABI.</summary>
internal static unsafe partial class Kernel
{
    /// <summary>Whether this is Linux: everything else here is called only there.</summary>
    public static bool IsHere => OperatingSystem.IsLinux();

    public const int Interrupted = 4;       // EINTR
    public const int TryAgain = 11;         // EAGAIN
    public const int NotPermitted = 1;      // EPERM
    public const int OutOfMemory = 12;      // ENOMEM
    public const int Busy = 16;             // EBUSY
    public const int Exists = 17;           // EEXIST
    public const int TableFull = 23;        // ENFILE
    public const int TooManyFiles = 24;     // EMFILE

    public const int UserfaultfdUserModeOnly = 1;
    public const int CloseOnExec = 0x80000;
    public const int NonBlocking = 0x800;

    public const ulong UserfaultfdApi = 0xAA;
    public const nuint IoctlApi = 0xC018AA3F;
    public const nuint IoctlRegister = 0xC020AA00;
    public const nuint IoctlUnregister = 0x8010AA01;
    public const nuint IoctlWake = 0x8010AA02;
    public const nuint IoctlCopy = 0xC028AA03;
    public const nuint IoctlZeroPages = 0xC020AA04;
    public const nuint IoctlWriteProtect = 0xC018AA06;
    public const nuint IoctlPagemapScan = 0xC0606610;

    public const ulong FeatureWriteProtect = 1 << 0;
    public const ulong FeatureSharedMemory = 1 << 12;
    public const ulong FeatureUnpopulated = 1 << 13;
    public const ulong FeatureAsync = 1 << 15;
    public const ulong RegisterMissing = 1;
    public const ulong RegisterWriteProtect = 2;
    public const ulong WriteProtect = 1;

    public const ulong CategoryWritten = 2;
    public const ulong ScanWriteProtects = 1;
    public const ulong ScanChecksAsync = 2;

    /// <summary><c>struct uffdio_api</c>.</summary>
    public struct Api
    {
        public ulong Version;
        public ulong Features;
        public ulong Ioctls;
    }

    /// <summary><c>struct uffdio_register</c>; its first two fields are <c>struct uffdio_range</c>.</summary>
    public struct Registration
    {
        public ulong Start;
        public ulong Length;
        public ulong Mode;
        public ulong Ioctls;
    }

    /// <summary><c>struct uffdio_writeprotect</c>.</summary>
    public struct Protection
    {
        public ulong Start;
        public ulong Length;
        public ulong Mode;
    }

    /// <summary><c>struct uffdio_copy</c>.</summary>
    public struct Copy
    {
        public ulong Target;
        public ulong Source;
        public ulong Length;
        public ulong Mode;
        public long Copied;
    }

    /// <summary><c>struct uffdio_zeropage</c>.</summary>
    public struct ZeroPages
    {
        public ulong Start;
        public ulong Length;
        public ulong Mode;
        public long Zeroed;
    }

    /// <summary><c>struct page_region</c>.</summary>
    public struct Region
    {
        public ulong Start;
        public ulong End;
        public ulong Categories;
    }

    /// <summary><c>struct pm_scan_arg</c>.</summary>
    public struct Scan
    {
        public ulong Size;
        public ulong Flags;
        public ulong Start;
        public ulong End;
        public ulong WalkEnd;
        public Region* Vector;
        public ulong VectorLength;
        public ulong MaximumPages;
        public ulong Inverted;
        public ulong Mask;
        public ulong AnyOf;
        public ulong Return;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int descriptor, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "msync", SetLastError = true)]
    private static partial int Synchronize(void* address, nuint bytes, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int descriptor, void* buffer, nuint bytes);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int descriptor, void* buffer, nuint bytes);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    public static partial int OpenEvent(uint value, int flags);

    [LibraryImport("libc", EntryPoint = "ppoll", SetLastError = true)]
    private static partial int Poll(Waiting* waiting, nuint count, Time* timeout, void* signals);

    /// <summary><c>struct pollfd</c>.</summary>
    private struct Waiting
    {
        public int Descriptor;
        public uint Events; // short wanted, short seen
    }

    /// <summary><c>struct timespec</c>.</summary>
    private struct Time
    {
        public long Seconds;
        public long Nanoseconds;
    }

    /// <summary>Waits until a descriptor can be read; not so: the other one can, the time is over, or a signal came.</summary>
    public static bool WaitToRead(int descriptor, int other, ulong nanoseconds)
    {
        const uint readable = 1; // POLLIN
        const uint seen = 0xFFFF0000;
        const ulong second = 1_000_000_000;
        Waiting* waiting = stackalloc Waiting[]
        {
            new Waiting { Descriptor = descriptor, Events = readable }, new Waiting { Descriptor = other, Events = readable },
        };
        var time = new Time { Seconds = (long)(nanoseconds / second), Nanoseconds = (long)(nanoseconds % second) };
        return Poll(waiting, 2, &time, null) > 0 && (waiting[0].Events & seen) != 0;
    }

    [LibraryImport("libc", EntryPoint = "close")]
    public static partial int Close(int descriptor);

    public static int OpenUserfaultfd(int flags)
    {
        int number = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 282 : 323;
        return (int)SystemCall(number, flags);
    }

    /// <summary>Whether all of a range is mapped: an asynchronous msync does nothing but look.</summary>
    public static bool IsMapped(ulong start, ulong bytes)
    {
        const int asynchronous = 1;
        return Synchronize((void*)start, (nuint)bytes, asynchronous) == 0;
    }

    public static int LastError => Marshal.GetLastPInvokeError();

    /// <summary>Whether the last call failed for want of a file descriptor, which may be there the next time.</summary>
    public static bool LacksDescriptor => LastError is TableFull or TooManyFiles;
}
