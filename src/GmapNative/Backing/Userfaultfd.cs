using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>
/// Opens userfaultfds, and registers memory with them. Asynchronously the kernel resolves write faults by itself and
/// remembers them for PAGEMAP_SCAN: that works without root (user mode only; system calls into armed pages are resolved all the same).
/// </summary>
internal static unsafe class Userfaultfd
{
    private const ulong Synchronous = Kernel.FeatureWriteProtect | Kernel.FeatureUnpopulated | Kernel.FeatureSharedMemory;

    private const string WayOut = "leave the backing out and use the inline header or gmap_mark_dirty.";

    public const string NoDescriptor = "There is no file descriptor left (RLIMIT_NOFILE): a backing takes two.";

    private const int Unknown = 0;
    private const int Yes = 1;
    private const int No = 2;

    private static int s_asynchronous;
    private static int s_synchronous;

    /// <summary>Whether this kernel, and this process's permissions, have all of the asynchronous kind.</summary>
    public static bool IsAvailable
    {
        get
        {
            if (s_asynchronous == Unknown && Kernel.IsHere)
            {
                int status = TryOpen(out int fault, out int pagemap, out _);
                if (status == Status.Ok)
                {
                    _ = Kernel.Close(fault);
                    _ = Kernel.Close(pagemap);
                }
                s_asynchronous = AnswerOf(status);
            }
            return s_asynchronous == Yes;
        }
    }

    /// <summary>Whether they have the one that stops stores.</summary>
    public static bool IsSynchronousAvailable
    {
        get
        {
            if (s_synchronous == Unknown && Kernel.IsHere)
            {
                int status = TryOpenSynchronous(protects: true, out int fault, out _);
                if (status == Status.Ok)
                {
                    _ = Kernel.Close(fault);
                }
                s_synchronous = AnswerOf(status);
            }
            return s_synchronous == Yes;
        }
    }

    /// <summary>Two descriptors: the userfaultfd and the process's pagemap; or what is missing, and the way out.</summary>
    public static int TryOpen(out int fault, out int pagemap, out string? complaint)
    {
        pagemap = -1;
        string lacks = "This kernel's userfaultfd has no asynchronous write-protect (Linux 6.7 has): " + WayOut;
        int status = TryOpen(alsoOfKernel: false, Synchronous | Kernel.FeatureAsync, lacks, out fault, out complaint);
        status = status == Status.Ok ? TryOpenPagemap(out pagemap, out complaint) : status;
        if (status != Status.Ok && fault >= 0)
        {
            _ = Kernel.Close(fault);
            fault = -1;
        }
        return status;
    }

    /// <summary>One whose faults this process answers: those of system calls too where the process may ask for that.</summary>
    public static int TryOpenSynchronous(bool protects, out int fault, out string? complaint)
    {
        string lacks = protects ? "This kernel's userfaultfd cannot protect pages that are not there yet (Linux 6.4 can): " + WayOut
            : "This kernel's userfaultfd is too old: use GMAP_BACKING_MISSING, by which gmap_fault asks.";
        return TryOpen(alsoOfKernel: true, protects ? Synchronous : 0, lacks, out fault, out complaint);
    }

    /// <summary>Where only a descriptor was missing nobody knows yet.</summary>
    private static int AnswerOf(int status) => status == Status.Ok ? Yes : status == Status.NoMemory ? Unknown : No;

    /// <summary>Registers a slot's host memory. See <c>gmap_backing_attach</c> for the results.</summary>
    public static int TryRegister(int fault, Slot slot, ulong mode, out string? complaint)
    {
        complaint = null;
        // On this stack frame, for the duration of the call.
        var registration = new Kernel.Registration
        {
            Start = slot.HostAddress,
            Length = slot.Size,
            Mode = mode,
        };
        // The kernel registers what it finds and passes over holes; what is mapped into them later would not be tracked.
        bool mapped = Kernel.IsMapped(slot.HostAddress, slot.Size);
        if (mapped && Kernel.Control(fault, Kernel.IoctlRegister, &registration) == 0)
        {
            return Status.Ok;
        }
        bool busy = mapped && Kernel.LastError == Kernel.Busy;
        complaint = busy
            ? "The slot's memory is registered with another userfaultfd: detach that one first, or hand it in (GMAP_BACKING_OWN_FD)."
            : "The slot's memory cannot be tracked: it must be mapped, and anonymous, shared or hugetlb memory.";
        return busy ? Status.Busy : Status.Fault;
    }

    private static int TryOpen(bool alsoOfKernel, ulong features, string lacks, out int fault, out string? complaint)
    {
        const int Flags = Kernel.CloseOnExec | Kernel.NonBlocking;
        complaint = null;
        fault = alsoOfKernel ? Kernel.OpenUserfaultfd(Flags) : -1;
        fault = fault >= 0 ? fault : Kernel.OpenUserfaultfd(Kernel.UserfaultfdUserModeOnly | Flags);
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
        // On this stack frame, for the duration of the call, like every argument below.
        var api = new Kernel.Api { Version = Kernel.UserfaultfdApi, Features = features };
        if (Kernel.Control(fault, Kernel.IoctlApi, &api) == 0)
        {
            return Status.Ok;
        }
        _ = Kernel.Close(fault);
        fault = -1;
        complaint = lacks;
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
