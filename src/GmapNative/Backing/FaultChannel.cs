using System;
using System.Threading;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>What a host wants of a backing.</summary>
/// <param name="Synchronous">Write faults stop until they are answered.</param>
/// <param name="Descriptor">The host's own userfaultfd, with which the memory is registered already; -1: none.</param>
/// <param name="Tells">Notifiers hear of each page before its first write.</param>
internal readonly record struct BackingRequest(bool Synchronous, int Descriptor, bool Tells)
{
    public static BackingRequest Asynchronous => new(false, -1, false);
}

/// <summary>
/// A userfaultfd whose faults are answered by this process, ours or the host's. Ours is closed by the last who uses it. Thread-safe.
/// </summary>
internal sealed unsafe class FaultChannel
{
    public const int MostFaults = 16;

    private const int MessageWords = 4;      // struct uffd_msg: 32 bytes
    private const byte PageFault = 0x12;
    private const ulong OfWriteProtect = 2;

    private readonly int _wake; // an eventfd: ends what waits for faults
    private int _users = 1;

    private FaultChannel(int descriptor, int wake, bool isHosts)
    {
        Descriptor = descriptor;
        _wake = wake;
        IsHosts = isHosts;
    }

    public int Descriptor { get; }

    public bool IsHosts { get; }

    /// <summary>Readable after <see cref="Wake"/>.</summary>
    public int WakeDescriptor => _wake;

    /// <summary>Opens one and registers the memory for write-protection; or takes the host's, who has.</summary>
    public static int TryOpenOrTake(Slot slot, int given, out FaultChannel? channel, out string? complaint)
    {
        if (given < 0)
        {
            return TryOpen(slot, Kernel.RegisterWriteProtect, out channel, out complaint);
        }
        channel = new FaultChannel(given, -1, isHosts: true);
        int status = channel.Protect(slot.HostAddress, slot.Size, protect: false); // says whether it is registered so
        complaint = status == Status.Ok ? null
            : "The slot's memory is not registered for write-protection with that userfaultfd: register it first.";
        return status;
    }

    /// <summary>
    /// Opens one and registers the memory: <see cref="Kernel.RegisterWriteProtect"/> or <see cref="Kernel.RegisterMissing"/>.
    /// </summary>
    public static int TryOpen(Slot slot, ulong mode, out FaultChannel? channel, out string? complaint)
    {
        channel = null;
        int status = Userfaultfd.TryOpenSynchronous(mode == Kernel.RegisterWriteProtect, out int fault, out complaint);
        status = status == Status.Ok ? Userfaultfd.TryRegister(fault, slot, mode, out complaint) : status;
        int wake = -1;
        if (status == Status.Ok && !TryOpenWake(out wake))
        {
            status = Status.NoMemory;
            complaint = Userfaultfd.NoDescriptor;
        }
        if (status == Status.Ok)
        {
            channel = new FaultChannel(fault, wake, isHosts: false);
        }
        else if (fault >= 0)
        {
            _ = Kernel.Close(fault); // unregisters
        }
        return status;
    }

    /// <summary>One without a userfaultfd: nothing comes through it but <see cref="Wake"/>.</summary>
    public static int TryOpen(out FaultChannel? channel, out string? complaint)
    {
        bool opened = TryOpenWake(out int wake);
        channel = opened ? new FaultChannel(-1, wake, isHosts: false) : null;
        complaint = opened ? null : Userfaultfd.NoDescriptor;
        return opened ? Status.Ok : Status.NoMemory;
    }

    private static bool TryOpenWake(out int wake)
    {
        wake = Kernel.OpenEvent(0, Kernel.CloseOnExec | Kernel.NonBlocking);
        return wake >= 0;
    }

    /// <summary>Protects pages, or lets those go on that wait to write there.</summary>
    public int Protect(ulong start, ulong bytes, bool protect)
    {
        var protection = new Kernel.Protection { Start = start, Length = bytes, Mode = protect ? Kernel.WriteProtect : 0 };
        int result;
        do
        {
            result = Kernel.Control(Descriptor, Kernel.IoctlWriteProtect, &protection); // on this stack, for the call
        }
        while (result != 0 && Kernel.LastError is Kernel.TryAgain or Kernel.Interrupted); // the address space is just changing
        return result == 0 ? Status.Ok : Status.Fault;
    }

    /// <summary>
    /// Fills pages with what is at <paramref name="source"/>, 0: with zeros, and lets those go on that wait for them. How many bytes, from
    /// the first on, are there now; a status.
    /// </summary>
    public int Fill(ulong start, ulong source, ulong bytes, out ulong filled)
    {
        filled = 0;
        while (filled < bytes)
        {
            ulong left = bytes - filled;
            var copy = new Kernel.Copy { Target = start + filled, Source = source + filled, Length = left };
            var zero = new Kernel.ZeroPages { Start = start + filled, Length = left };
            int result = source == 0 // on this stack frame, for the duration of the call
                ? Kernel.Control(Descriptor, Kernel.IoctlZeroPages, &zero)
                : Kernel.Control(Descriptor, Kernel.IoctlCopy, &copy);
            long done = source == 0 ? zero.Zeroed : copy.Copied;
            if (result == 0 || (Kernel.LastError == Kernel.TryAgain && done > 0))
            {
                filled += (ulong)done; // less than all: the address space is just changing
            }
            else if (Kernel.LastError is not (Kernel.TryAgain or Kernel.Interrupted))
            {
                return Kernel.LastError switch
                {
                    Kernel.Exists => Status.Exists,
                    Kernel.OutOfMemory => Status.NoMemory,
                    _ => Status.Fault,
                };
            }
        }
        return Status.Ok;
    }

    /// <summary>Lets those go on that wait for pages which are there.</summary>
    public void LetGo(ulong start, ulong bytes)
    {
        var range = new Kernel.Registration { Start = start, Length = bytes }; // its first two fields, on this stack
        _ = Kernel.Control(Descriptor, Kernel.IoctlWake, &range);
    }

    /// <summary>Whether it may be used until <see cref="Leave"/>.</summary>
    public bool TryEnter()
    {
        int users = Volatile.Read(ref _users);
        while (users != 0)
        {
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
            {
                return true;
            }
            users = seen;
        }
        return false;
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _users) == 0 && !IsHosts)
        {
            _ = Descriptor < 0 ? 0 : Kernel.Close(Descriptor);
            _ = Kernel.Close(_wake);
        }
    }

    /// <summary>Ends what waits in <see cref="Read"/>, now or the next time.</summary>
    public void Wake()
    {
        ulong one = 1;
        _ = Kernel.Write(_wake, &one, sizeof(ulong)); // on this stack
    }

    /// <summary>
    /// Waits for faults of one kind; how many addresses were read, 0 if none came in time or it was woken, -1: it cannot be read.
    /// </summary>
    /// <param name="faults">Room for <see cref="MostFaults"/>.</param>
    /// <param name="timeout">Nanoseconds.</param>
    /// <param name="ofWriteProtect">Those, or those of missing pages.</param>
    /// <param name="sleeps">A wake ends one wait only; otherwise, all that come after it.</param>
    public int Read(Span<ulong> faults, ulong timeout, bool ofWriteProtect, bool sleeps = false)
    {
        ulong* messages = stackalloc ulong[MostFaults * MessageWords];
        int count = 0;
        bool readable = Kernel.WaitToRead(Descriptor, _wake, timeout);
        if (sleeps)
        {
            _ = Kernel.Read(_wake, messages, sizeof(ulong));
        }
        if (!readable)
        {
            return 0;
        }
        nint bytes = Kernel.Read(Descriptor, messages, MostFaults * MessageWords * sizeof(ulong));
        if (bytes < 0)
        {
            return Kernel.LastError is Kernel.TryAgain or Kernel.Interrupted ? 0 : -1; // another thread read them
        }
        for (nint i = 0; i < bytes / (MessageWords * sizeof(ulong)); i++)
        {
            ulong* message = messages + (i * MessageWords); // event, flags, address
            if ((byte)message[0] == PageFault && ((message[1] & OfWriteProtect) != 0) == ofWriteProtect)
            {
                faults[count++] = message[2];
            }
        }
        return count;
    }

    /// <summary>Stores go on as if nothing had been registered; who waits for faults leaves.</summary>
    public void Close(Slot slot)
    {
        if (IsHosts)
        {
            _ = Protect(slot.HostAddress, slot.Size, protect: false); // it stays registered
        }
        else
        {
            var registration = new Kernel.Registration { Start = slot.HostAddress, Length = slot.Size };
            _ = Descriptor < 0 ? 0 : Kernel.Control(Descriptor, Kernel.IoctlUnregister, &registration);
            Wake();
        }
        Leave();
    }
}
