namespace GmapNative.Backing;

/// <summary>
/// Opens a userfaultfd that write-protects asynchronously: the kernel resolves write faults by itself and remembers them for
/// PAGEMAP_SCAN. Works without root (user mode only; system calls into armed pages are resolved all the same).
/// </summary>
internal static unsafe class Userfaultfd
{
    private const ulong Needed = Kernel.FeatureWriteProtect | Kernel.FeatureAsync | Kernel.FeatureUnpopulated;

    private const string WayOut = "leave the backing out and use the inline header or gmap_mark_dirty.";

    private const string NoDescriptor = "There is no file descriptor left (RLIMIT_NOFILE): a backing takes two.";

    private static int s_available; // 0 unknown, 1 yes, 2 no

    /// <summary>Whether this kernel, and this process's permissions, have all of it.</summary>
    public static bool IsAvailable
    {
        get
        {
            if (s_available == 0)
            {
                int status = TryOpen(out int fault, out int pagemap, out _);
                if (status == Status.Ok)
                {
                    _ = Kernel.Close(fault);
                    _ = Kernel.Close(pagemap);
                }
                s_available = status == Status.Ok ? 1 : status == Status.NoMemory ? 0 : 2;
            }
            return s_available == 1;
        }
    }

    /// <summary>Two descriptors: the userfaultfd and the process's pagemap; or what is missing, and the way out.</summary>
    public static int TryOpen(out int fault, out int pagemap, out string? complaint)
    {
        complaint = null;
        pagemap = -1;
        fault = Kernel.OpenUserfaultfd(Kernel.UserfaultfdUserModeOnly | Kernel.CloseOnExec | Kernel.NonBlocking);
        if (fault < 0 && Kernel.LacksDescriptor)
        {
            complaint = NoDescriptor;
            return Status.NoMemory;
        }
        if (fault < 0)
        {
            bool refused = Kernel.LastError == Kernel.NotPermitted;
            complaint = refused
                ? "userfaultfd is refused (a seccomp filter?): allow the system call, or " + WayOut
                : "This kernel has no userfaultfd: " + WayOut;
            return refused ? Status.NotPermitted : Status.NotSupported;
        }
        int status = TryNegotiate(fault, out complaint);
        status = status == Status.Ok ? TryOpenPagemap(out pagemap, out complaint) : status;
        if (status != Status.Ok)
        {
            _ = Kernel.Close(fault);
            fault = -1;
        }
        return status;
    }

    private static int TryNegotiate(int fault, out string? complaint)
    {
        complaint = null;
        // On this stack frame, for the duration of the call, like every argument below.
        var api = new Kernel.Api { Version = Kernel.UserfaultfdApi, Features = Needed | Kernel.FeatureSharedMemory };
        if (Kernel.Control(fault, Kernel.IoctlApi, &api) == 0)
        {
            return Status.Ok;
        }
        complaint = "This kernel's userfaultfd has no asynchronous write-protect (Linux 6.7 has): " + WayOut;
        return Status.NotSupported;
    }

    private static int TryOpenPagemap(out int pagemap, out string? complaint)
    {
        complaint = null;
        pagemap = Kernel.Open("/proc/self/pagemap", Kernel.CloseOnExec, 0);
        if (pagemap < 0 && Kernel.LacksDescriptor)
        {
            complaint = NoDescriptor;
            return Status.NoMemory;
        }
        if (pagemap < 0)
        {
            complaint =
                "/proc/self/pagemap cannot be opened: mount /proc, and call prctl(PR_SET_DUMPABLE, 1) after dropping privileges.";
            return Status.NotPermitted;
        }
        var scan = new Kernel.Scan
        {
            Size = (ulong)sizeof(Kernel.Scan),
            Mask = Kernel.CategoryWritten,
            Return = Kernel.CategoryWritten,
        };
        if (Kernel.Control(pagemap, Kernel.IoctlPagemapScan, &scan) >= 0)
        {
            return Status.Ok;
        }
        _ = Kernel.Close(pagemap);
        pagemap = -1;
        complaint = "This kernel has no PAGEMAP_SCAN (Linux 6.7 has): " + WayOut;
        return Status.NotSupported;
    }
}
