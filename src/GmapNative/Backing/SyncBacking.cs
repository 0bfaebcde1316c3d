using System.Collections.Generic;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>
/// A slot whose first writes stop until they are answered: synchronous userfaultfd write-protect (rule 37). A page is written or armed;
/// whoever changes which, and its protection in the kernel, holds the lock of its chunk. Thread-safe.
/// </summary>
internal sealed class SyncBacking : ISlotBacking
{
    private const ulong ChunkPages = 512;
    private const int Locks = 16;

    private readonly Lock _gate = new(); // before the locks of chunks: who looks through all of it, and who ends it
    private readonly AddressSpace _space;
    private readonly Slot _slot;
    private readonly BackingRequest _request;
    private readonly FaultChannel _channel;
    private readonly PinnedBitmap _written; // pages that the kernel does not stop
    private readonly Chunk[] _chunks = new Chunk[Locks]; // of a chunk by its number
    private bool _closed; // changed with all locks held

    /// <summary>The monitor of each 16th chunk, and the pages of those that notifiers are being told of.</summary>
    private sealed class Chunk
    {
        public HashSet<ulong> Told { get; } = new(64); // as many as threads serve: it does not grow
    }

    private SyncBacking(AddressSpace space, Slot slot, in BackingRequest request, FaultChannel channel, PinnedBitmap written)
    {
        _space = space;
        _slot = slot;
        _request = request;
        _channel = channel;
        _written = written;
        for (int i = 0; i < Locks; i++)
        {
            _chunks[i] = new Chunk();
        }
    }

    /// <inheritdoc/>
    public int Descriptor => Volatile.Read(ref _closed) ? -1 : _channel.Descriptor;

    /// <inheritdoc/>
    public bool StopsStores => true;

    /// <inheritdoc/>
    public ulong BytesCharged => PinnedBitmap.BytesFor(_slot.Pages, lines: false);

    /// <summary>Registers a slot's host memory, unless the host has done so. See <c>gmap_backing_attach</c> for the results.</summary>
    public static int TryCreate(
        AddressSpace space, Slot slot, in BackingRequest request, out ISlotBacking? backing, out string? complaint)
    {
        backing = null;
        PinnedBitmap? written = PinnedBitmap.TryCreate(space.Engine.Arena, slot.Pages);
        complaint = null;
        if (written is null)
        {
            return Status.NoMemory;
        }
        int status = FaultChannel.TryOpenOrTake(slot, request.Descriptor, out FaultChannel? channel, out complaint);
        if (status != Status.Ok)
        {
            written.Free();
            return status;
        }
        written.SetAll(); // nothing is armed yet
        backing = new SyncBacking(space, slot, request, channel!, written);
        return Status.Ok;
    }

    /// <summary>Answers the write faults that are there, or come within a time. See <c>gmap_backing_service</c>.</summary>
    public int Serve(ulong timeout, out uint served)
    {
        served = 0;
        if (_channel.IsHosts)
        {
            return Status.Invalid; // whoever reads from it calls Answer
        }
        if (_space.Epochs.IsCallerInside() || WatchTelling.IsInCallback)
        {
            return Status.Deadlock; // the store that waits may be the one that this thread is to wait for
        }
        if (!_channel.TryEnter())
        {
            return Status.BadHandle;
        }
        System.Span<ulong> faults = stackalloc ulong[FaultChannel.MostFaults];
        int status = Status.Ok;
        int count = _channel.Read(faults, timeout, ofWriteProtect: true);
        for (int i = 0; i < count; i++)
        {
            int answered = Resolve(faults[i]); // each of them: nobody else has read it
            served += answered == Status.Ok ? 1u : 0u;
            status = answered == Status.Ok ? status : answered;
        }
        _channel.Leave();
        return count < 0 ? Status.InputOutput : status == Status.BadHandle || Volatile.Read(ref _closed) ? Status.BadHandle : status;
    }

    /// <summary>Answers a write fault that the host has read. See <c>gmap_backing_fault</c>.</summary>
    public int Answer(ulong hostAddress) =>
        _space.Epochs.IsCallerInside() || WatchTelling.IsInCallback ? Status.Deadlock : Resolve(hostAddress);

    /// <summary>
    /// Answers one write fault: notifiers are told first where they are to be, by one thread; then the page counts as written, and the
    /// stores to it go on. In no section, with no lock.
    /// </summary>
    private int Resolve(ulong hostAddress)
    {
        if (hostAddress < _slot.HostAddress || hostAddress - _slot.HostAddress >= _slot.Size)
        {
            return Status.Fault;
        }
        ulong page = (hostAddress - _slot.HostAddress) >> GuestAddress.PageShift;
        Chunk chunk = Probe.LeavesOut(Step.AnsweredWithoutLock) ? new Chunk() : ChunkOf(page);
        using var stay = new Stay(_space);
        lock (chunk)
        {
            while (chunk.Told.Contains(page))
            {
                Monitor.Wait(chunk);
            }
            if (_closed || !_request.Tells || IsWritten(page))
            {
                return _closed ? Status.BadHandle : Open(page);
            }
            chunk.Told.Add(page);
        }
        ulong guest = _slot.GuestAddress + (page << GuestAddress.PageShift);
        _space.Watches.TellOfWrite(guest, guest + GuestAddress.PageSize - 1);
        lock (chunk)
        {
            chunk.Told.Remove(page);
            Monitor.PulseAll(chunk);
            return _closed ? Status.BadHandle : Open(page);
        }
    }

    /// <inheritdoc/>
    public int Settle(DirtySink[] sinks, DirtySink own, out ulong others)
    {
        others = 0;
        return Status.NotSupported; // nothing is restored where stores stop
    }

    /// <inheritdoc/>
    public int Arm()
    {
        using HeldLock gate = _gate.Hold();
        TakeAll(take: true);
        int status = _closed ? Status.Fault : _channel.Protect(_slot.HostAddress, _slot.Size, protect: true);
        if (status == Status.Ok)
        {
            for (ulong page = 0; page < _slot.Pages; page += 64)
            {
                _written.Clear(page, ulong.MaxValue);
            }
        }
        TakeAll(take: false);
        return status;
    }

    /// <inheritdoc/>
    public int Rearm(ulong firstPage, ulong pages)
    {
        int status = Status.Ok;
        for (ulong page = firstPage, next; status == Status.Ok && page < firstPage + pages; page = next)
        {
            next = ulong.Min((page | (ChunkPages - 1)) + 1, firstPage + pages);
            lock (ChunkOf(page))
            {
                // What counts as written stays so: its next store is answered at once.
                status = _closed ? Status.Fault : _channel.Protect(HostOf(page), (next - page) << GuestAddress.PageShift, protect: true);
            }
        }
        return status;
    }

    /// <inheritdoc/>
    public int Collect(ulong firstPage, ulong pages, bool rearm, Outlet into, out ulong found)
    {
        found = 0;
        using HeldLock gate = _gate.Hold();
        int status = _closed ? Status.Fault : Status.Ok;
        ulong end = status == Status.Ok ? firstPage + pages : firstPage;
        for (ulong page = _written.Skip(firstPage, end); status == Status.Ok && page < end;)
        {
            ulong stop = ulong.Min((page | (ChunkPages - 1)) + 1, end);
            lock (ChunkOf(page))
            {
                status = CollectChunk(page, stop, rearm, into, ref found);
            }
            page = _written.Skip(stop, end);
        }
        if (status != Status.Ok)
        {
            Tell.BackingTrouble("The memory of a slot cannot be protected: it was unmapped or unregistered.");
        }
        return status;
    }

    /// <inheritdoc/>
    public void Close()
    {
        using HeldLock gate = _gate.Hold();
        TakeAll(take: true);
        bool first = !_closed;
        _closed = true;
        TakeAll(take: false);
        if (first)
        {
            _channel.Close(_slot);
            _written.Free(); // nobody looks at it any more: all do so with a lock, after this flag
        }
    }

    private Chunk ChunkOf(ulong page) => _chunks[(int)(page / ChunkPages % Locks)];

    private ulong HostOf(ulong page) => _slot.HostAddress + (page << GuestAddress.PageShift);

    private bool IsWritten(ulong page) => (_written.Peek(page & ~63UL) >> (int)(page & 63) & 1) != 0;

    /// <summary>Before the store that waits, the page counts as written. With the lock of its chunk.</summary>
    private int Open(ulong page)
    {
        _ = _written.Or(page & ~63UL, 1UL << (int)(page & 63));
        return _channel.Protect(HostOf(page), GuestAddress.PageSize, protect: false);
    }

    /// <summary>Pages of one word are protected, and count as written no longer. With the lock of their chunk.</summary>
    private int Protect(ulong page, ulong count)
    {
        int status = _channel.Protect(HostOf(page), count << GuestAddress.PageShift, protect: true);
        Probe.At(Place.RunProtected);
        if (status == Status.Ok)
        {
            _written.Clear(page & ~63UL, MaskOf(page, page + count));
        }
        return status;
    }

    /// <summary>Pages page..stop-1 of one chunk: found → protected → poured. With its lock: no store is let in between.</summary>
    private int CollectChunk(ulong page, ulong stop, bool rearm, Outlet into, ref ulong found)
    {
        int status = Status.Ok;
        for (ulong at = page; status == Status.Ok && at < stop; at = (at | 63) + 1)
        {
            ulong word = at & ~63UL;
            ulong bits = _written.Peek(word) & MaskOf(at, stop);
            for (ulong left = bits; rearm && status == Status.Ok && left != 0;)
            {
                int first = BitOperations.TrailingZeroCount(left);
                int count = BitOperations.TrailingZeroCount(~(left >> first));
                status = Protect(word + (ulong)first, (ulong)count);
                left &= first + count == 64 ? 0 : ulong.MaxValue << (first + count);
            }
            into.Or(word, bits); // also where the kernel refused: protected or not, they were written
            found += (ulong)BitOperations.PopCount(bits);
        }
        return status;
    }

    /// <summary>The bits of at..stop-1 in the word of <paramref name="at"/>.</summary>
    private static ulong MaskOf(ulong at, ulong stop)
    {
        ulong above = stop - (at & ~63UL);
        return (ulong.MaxValue << (int)(at & 63)) & (above >= 64 ? ulong.MaxValue : (1UL << (int)above) - 1);
    }

    private void TakeAll(bool take)
    {
        foreach (Chunk chunk in _chunks)
        {
            if (take)
            {
                Monitor.Enter(chunk);
            }
            else
            {
                Monitor.Exit(chunk);
            }
        }
    }
}
