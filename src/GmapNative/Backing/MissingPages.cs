using System;
using System.Diagnostics;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>
/// Which pages of a slot are still to come, who waits for them, and how each comes once (rule 38): postcopy, or a snapshot that is read
/// on demand. A page that is there stays there. Thread-safe; allocates nothing after it was made.
/// </summary>
internal sealed unsafe class MissingPages : IMissingPages
{
    private const ulong WordPages = 64;

    private readonly object _arrival = new(); // the monitor of those that wait for a page
    private readonly Slot _slot;
    private readonly FaultChannel _channel;
    private readonly PinnedBitmap _absent;  // its contents are not there
    private readonly PinnedBitmap _claimed; // somebody fills it, or has
    private readonly PinnedBitmap _wanted;  // somebody asked for it, ever
    private readonly PinnedBitmap _untold;  // and TakeWanted has not said so
    private readonly StayCount _calls = new(); // that look at all this, and are none of the space's sections
    private long _left;
    private int _waiting;
    private bool _closed;

    private MissingPages(Slot slot, FaultChannel channel, ReadOnlySpan<PinnedBitmap?> bitmaps)
    {
        _slot = slot;
        _channel = channel;
        _absent = bitmaps[0]!;
        _claimed = bitmaps[1]!;
        _wanted = bitmaps[2]!;
        _untold = bitmaps[3]!;
    }

    /// <summary>Pages that are still to come.</summary>
    public ulong Left => (ulong)Volatile.Read(ref _left);

    /// <summary>Becomes readable when a page is wanted: by whatever accesses the memory, or by calls only. -1 after the end.</summary>
    public int Descriptor => Volatile.Read(ref _closed) ? -1 : _channel.Descriptor >= 0 ? _channel.Descriptor : _channel.WakeDescriptor;

    /// <inheritdoc/>
    public ulong BytesCharged => 4 * PinnedBitmap.BytesFor(_slot.Pages, lines: false);

    /// <summary>
    /// For a slot that has none yet. <paramref name="stops"/>: the kernel stops plain accesses too. <paramref name="missing"/>: null: all
    /// its pages; else a bit a page, of the caller, for the call.
    /// </summary>
    public static int TryCreate(Arena arena, Slot slot, bool stops, ulong* missing, out MissingPages? made, out string? complaint)
    {
        made = null;
        int status = stops ? FaultChannel.TryOpen(slot, Kernel.RegisterMissing, out FaultChannel? channel, out complaint)
            : FaultChannel.TryOpen(out channel, out complaint);
        if (status != Status.Ok)
        {
            return status;
        }
        var bitmaps = new PinnedBitmap?[4];
        for (int i = 0; i < bitmaps.Length; i++)
        {
            bitmaps[i] = PinnedBitmap.TryCreate(arena, slot.Pages);
        }
        if (Array.Exists(bitmaps, bitmap => bitmap is null))
        {
            Array.ForEach(bitmaps, bitmap => bitmap?.Free());
            channel!.Close(slot);
            return Status.NoMemory;
        }
        made = new MissingPages(slot, channel!, bitmaps);
        made.Begin(missing);
        return Status.Ok;
    }

    private void Begin(ulong* missing)
    {
        for (ulong page = 0; page < _slot.Pages; page += WordPages)
        {
            ulong mask = MaskOf(page, page, _slot.Pages);
            ulong bits = missing is null ? mask : missing[page / WordPages] & mask; // the caller's (pages + 63) / 64 words
            _absent.OrAlone(page, bits);
            _claimed.OrAlone(page, mask & ~bits);
            _left += BitOperations.PopCount(bits);
        }
    }

    /// <inheritdoc/>
    public bool Lacks(ulong first, ulong count) => Volatile.Read(ref _left) != 0 && _absent.Any(first, count);

    /// <inheritdoc/>
    public bool Wants(ulong first, ulong count)
    {
        bool lacks = false;
        for (ulong page = first; Volatile.Read(ref _left) != 0 && page < first + count; page = (page | (WordPages - 1)) + 1)
        {
            ulong word = page & ~(WordPages - 1);
            ulong bits = _absent.Peek(word) & MaskOf(word, page, first + count);
            if (bits != 0)
            {
                Want(word, bits);
                lacks = true;
            }
        }
        return lacks;
    }

    private void Want(ulong word, ulong pages)
    {
        ulong fresh = pages & ~_wanted.Peek(word);
        if (fresh != 0 && _wanted.Or(word, fresh) != 0) // two that ask at once may both tell: never none
        {
            _ = _untold.Or(word, fresh);
            _channel.Wake();
        }
    }

    /// <summary>Fills pages that nobody has filled. See <c>gmap_backing_provide</c>.</summary>
    public int Provide(ulong guest, byte* data, ulong size)
    {
        if (!TryEnter())
        {
            return Status.BadHandle;
        }
        int status = !GuestAddress.IsPageAligned(guest | size) ? Status.Invalid
            : !Has(guest) || size > _slot.End - guest ? Status.Fault
            : FillUnclaimed(guest, data, size);
        _calls.Leave();
        return status;
    }

    private bool Has(ulong guest) => guest >= _slot.GuestAddress && guest < _slot.End;

    private int FillUnclaimed(ulong guest, byte* data, ulong size)
    {
        ulong first = _slot.PageOf(guest);
        ulong end = first + (size >> GuestAddress.PageShift);
        int status = Status.Ok;
        for (ulong page = first; page < end && status is Status.Ok or Status.Exists;)
        {
            ulong stop = Claim(page, end);
            if (stop == page)
            {
                status = Status.Exists;
                page++;
                continue;
            }
            int filled = Fill(page, stop, data is null ? null : data + ((page - first) << GuestAddress.PageShift));
            status = filled == Status.Ok ? status : filled;
            page = stop;
        }
        return status;
    }

    /// <summary>Where the run of pages ends, from <paramref name="page"/> on, that are the caller's alone to fill.</summary>
    private ulong Claim(ulong page, ulong end)
    {
        bool anyway = Probe.LeavesOut(Step.ArrivalNotClaimed);
        while (page < end && (anyway ? _absent.Any(page, 1) : _claimed.Or(page, 1) != 0))
        {
            page++;
        }
        return page;
    }

    /// <summary>Contents first, then the bits: whoever finds a bit clear finds the page.</summary>
    private int Fill(ulong page, ulong stop, byte* data)
    {
        ulong host = _slot.HostAddress + (page << GuestAddress.PageShift);
        ulong bytes = (stop - page) << GuestAddress.PageShift;
        ulong filled = bytes;
        int status = Status.Ok;
        if (Probe.LeavesOut(Step.ArrivedBeforeCopy))
        {
            Arrive(page, stop);
        }
        Probe.At(Place.PageClaimed);
        if (_channel.Descriptor >= 0)
        {
            status = FillByKernel(host, (ulong)data, bytes, out filled);
        }
        else if (data is null)
        {
            HostSystem.Current.Fill((void*)host, 0, (nuint)bytes); // the slot's memory: mapped and alive as the host promised
        }
        else
        {
            Buffer.MemoryCopy(data, (void*)host, bytes, bytes);
        }
        Probe.At(Place.PageFilled);
        ulong there = page + (filled >> GuestAddress.PageShift);
        for (ulong left = there; left < stop; left++)
        {
            _claimed.Clear(left, 1); // the next one may try
        }
        Arrive(page, there);
        return status;
    }

    private int FillByKernel(ulong host, ulong data, ulong bytes, out ulong filled)
    {
        int result = Status.Ok;
        for (filled = 0; filled < bytes;)
        {
            int status = _channel.Fill(host + filled, data == 0 ? 0 : data + filled, bytes - filled, out ulong some);
            filled += some;
            if (status is not (Status.Ok or Status.Exists))
            {
                return status;
            }
            if (status == Status.Exists)
            {
                // The memory was not empty there: it stays as it is, and whoever waits goes on.
                _channel.LetGo(host + filled, GuestAddress.PageSize);
                filled += GuestAddress.PageSize;
                result = Status.Exists;
            }
        }
        return result;
    }

    private void Arrive(ulong page, ulong stop)
    {
        ulong came = 0;
        for (ulong at = page; at < stop; at = (at | (WordPages - 1)) + 1)
        {
            ulong word = at & ~(WordPages - 1);
            ulong mask = MaskOf(word, at, stop);
            came += (ulong)BitOperations.PopCount(_absent.Peek(word) & mask); // ours alone: claimed
            _absent.Clear(word, mask);
            _untold.Clear(word, mask);
        }
        _ = Interlocked.Add(ref _left, -(long)came); // a full fence: either a waiter sees the bit, or we see the waiter
        if (Volatile.Read(ref _waiting) != 0)
        {
            lock (_arrival)
            {
                Monitor.PulseAll(_arrival);
            }
        }
    }

    /// <summary>Waits until a page is there. See <c>gmap_backing_wait</c>.</summary>
    public int Wait(ulong guest, ulong timeout)
    {
        if (!TryEnter())
        {
            return Status.BadHandle;
        }
        int status = Has(guest) ? WaitFor(_slot.PageOf(guest), timeout) : Status.Fault;
        _calls.Leave();
        return status;
    }

    private int WaitFor(ulong page, ulong timeout)
    {
        long begin = Stopwatch.GetTimestamp();
        _ = Wants(page, 1);
        _ = Interlocked.Increment(ref _waiting);
        int status = Status.Ok;
        lock (_arrival)
        {
            while (!_closed && status == Status.Ok && _absent.Any(page, 1))
            {
                ulong spent = (ulong)Clock.Since(begin);
                ulong left = timeout > spent ? timeout - spent : 0;
                status = left == 0 ? Status.TimedOut : Status.Ok;
                _ = left == 0 || Monitor.Wait(_arrival, (int)Math.Min((left / 1_000_000) + 1, 1000));
            }
            status = _closed ? Status.BadHandle : status;
        }
        _ = Interlocked.Decrement(ref _waiting);
        return status;
    }

    /// <summary>Hands out pages that somebody waits for, by guest address. See <c>gmap_backing_wanted</c>.</summary>
    public int TakeWanted(ulong timeout, bool again, Span<ulong> addresses, out int count)
    {
        count = 0;
        if (!TryEnter())
        {
            return Status.BadHandle;
        }
        if (again)
        {
            for (ulong page = 0; page < _slot.Pages; page += WordPages)
            {
                ulong bits = _wanted.Peek(page) & _absent.Peek(page);
                _ = bits == 0 ? 0 : _untold.Or(page, bits);
            }
        }
        int status = Status.Ok;
        count = Take(addresses);
        if (count == 0)
        {
            status = Read(timeout);
            count = Take(addresses);
        }
        if (Volatile.Read(ref _closed))
        {
            _channel.Wake(); // for the next one: this call may have taken it
            status = Status.BadHandle;
        }
        _calls.Leave();
        return status;
    }

    /// <summary>What the kernel has to tell, or waits for somebody who wants.</summary>
    private int Read(ulong timeout)
    {
        Span<ulong> faults = stackalloc ulong[FaultChannel.MostFaults];
        int count = _channel.Read(faults, timeout, ofWriteProtect: false, sleeps: !Volatile.Read(ref _closed));
        for (int i = 0; i < count; i++)
        {
            ulong page = (faults[i] - _slot.HostAddress) >> GuestAddress.PageShift; // only our memory is registered
            if (!Wants(page, 1))
            {
                // It is there: its contents were thrown away since (a balloon), or it came while the message was on its way.
                ulong host = _slot.HostAddress + (page << GuestAddress.PageShift);
                _ = _channel.Fill(host, 0, GuestAddress.PageSize, out _);
                _channel.LetGo(host, GuestAddress.PageSize);
            }
        }
        return count < 0 ? Status.InputOutput : Status.Ok;
    }

    private int Take(Span<ulong> addresses)
    {
        int count = 0;
        ulong end = _slot.Pages;
        for (ulong page = _untold.Skip(0, end); page < end && count < addresses.Length; page = _untold.Skip(page, end))
        {
            ulong word = page & ~(WordPages - 1);
            ulong bits = _untold.Peek(word) & MaskOf(word, page, end);
            if (bits == 0)
            {
                page = word + WordPages;
                continue;
            }
            page = word + (ulong)BitOperations.TrailingZeroCount(bits);
            _untold.Clear(page, 1); // two that take at once may both have it: it is provided once
            if (_absent.Any(page, 1))
            {
                addresses[count++] = _slot.GuestAddress + (page << GuestAddress.PageShift);
            }
        }
        return count;
    }

    /// <summary>The pages of a run that have not come, a bit a page. See <c>gmap_backing_missing</c>.</summary>
    public int Look(ulong first, ulong count, ulong* bitmap, out ulong missing)
    {
        missing = 0;
        if (!TryEnter())
        {
            return Status.BadHandle;
        }
        bool outside = first > _slot.Pages || count > _slot.Pages - first;
        count = outside ? 0 : count;
        for (ulong done = 0; done < count; done += WordPages)
        {
            ulong bits = _absent.Peek(first + done) & MaskOf(0, 0, count - done);
            missing += (ulong)BitOperations.PopCount(bits);
            if (bitmap is not null)
            {
                bitmap[done / WordPages] = bits; // the caller's buffer of (count + 63) / 64 words
            }
        }
        _calls.Leave();
        return outside ? Status.Invalid : Status.Ok;
    }

    /// <inheritdoc/>
    public void Close()
    {
        lock (_arrival)
        {
            if (_closed)
            {
                return;
            }
            _closed = true;
            Monitor.PulseAll(_arrival);
        }
        _channel.Wake();
        _calls.WaitForAll(); // the arena may go next
        _channel.Close(_slot);
        Array.ForEach([_absent, _claimed, _wanted, _untold], bitmap => bitmap.Free());
    }

    /// <summary>By a full fence: either the end sees the call, or the call sees the end.</summary>
    private bool TryEnter()
    {
        _calls.Enter();
        if (Volatile.Read(ref _closed))
        {
            _calls.Leave();
            return false;
        }
        return true;
    }

    /// <summary>The bits of page..end-1 in the word that begins with <paramref name="word"/>.</summary>
    private static ulong MaskOf(ulong word, ulong page, ulong end)
    {
        ulong above = end - word;
        return (ulong.MaxValue << (int)(page - word)) & (above >= WordPages ? ulong.MaxValue : (1UL << (int)above) - 1);
    }
}
