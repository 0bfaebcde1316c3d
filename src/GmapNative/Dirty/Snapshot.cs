using System;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>
/// A copy of a space's memory that can be put back by copying what was written since: a consumer of all slots, and the copies. The guest
/// stands still meanwhile; other consumers see what a restore writes. Thread-safe.
/// </summary>
internal sealed unsafe class Snapshot
{
    private readonly AddressSpace _space;
    private readonly Consumer _consumer;
    private readonly Lock _gate = new();
    private Image[] _images;
    private bool _freed;

    private Snapshot(AddressSpace space, Consumer consumer)
    {
        _space = space;
        _consumer = consumer;
        _images = [];
    }

    /// <summary>The memory of one slot, as it was.</summary>
    private sealed record Image(Slot Slot, GuardedRegion Memory)
    {
        /// <summary>Start of a page in the copy: inside the region, committed as a whole.</summary>
        public byte* At(ulong page) => (byte*)Memory.Start + (page << GuestAddress.PageShift);

        /// <summary>Start of a page in the slot's memory, mapped and alive as the host promised when it set the slot.</summary>
        public byte* GuestAt(ulong page) => (byte*)Slot.HostAddress + (page << GuestAddress.PageShift);
    }

    /// <summary>See <c>gmap_snapshot_take</c>.</summary>
    public static int TryTake(AddressSpace space, out Snapshot? snapshot)
    {
        snapshot = null;
        if (!space.IsDead && StopsStores(space.Map))
        {
            return Status.NotSupported;
        }
        if (!space.IsDead && !IsWhole(space.Map))
        {
            return Status.Invalid; // before the consumer takes anything; looked at once more when slots are copied
        }
        int status = Consumer.TryOpen(space, Consumer.AllSlots, ConsumerKind.Snapshot, out Consumer? consumer);
        if (status != Status.Ok)
        {
            return status;
        }
        var taken = new Snapshot(space, consumer!);
        using (space.Configuration.Hold()) // no slot comes or goes, and no memory with it
        {
            status = taken.Copy(space.Map);
        }
        if (status != Status.Ok)
        {
            _ = taken.Free();
            return status;
        }
        snapshot = taken;
        return Status.Ok;
    }

    /// <summary>See <c>gmap_snapshot_restore</c>.</summary>
    public int Restore(out ulong pages)
    {
        pages = 0;
        if (_space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        if (_gate.IsHeldByCurrentThread)
        {
            return Status.Busy; // in a callback of a notifier that a restore tells
        }
        WatchTally tally = _space.Watches.Begin();
        (bool tried, bool begun) = (false, false);
        int status = Status.TryAgain;
        using (_gate.Hold())
        {
            while (status == Status.TryAgain)
            {
                status = TryRestore(ref tried, ref begun, ref pages, out ulong asks);
                // With no lock but the snapshot's own: it counts as in use.
                _consumer.Settle(tally);
                int told = status == Status.TryAgain ? _space.Watches.SettleWrite(asks, byHost: true) : Status.Ok;
                status = told != Status.Ok ? told : status;
            }
            return tried && status != Status.Ok ? GiveBack(status) : status;
        }
    }

    /// <summary>
    /// Puts everything back; <see cref="Status.TryAgain"/>: nothing is copied, since a page is to be told first (rule 30).
    /// </summary>
    private int TryRestore(ref bool tried, ref bool begun, ref ulong pages, out ulong asks)
    {
        asks = 0;
        using (_space.Configuration.Hold()) // a slot that is deleted is no longer used when that returns, and its logs are gone
        {
            int status = Check();
            if (status == Status.Ok && !begun)
            {
                tried = true;
                status = _consumer.BeginUntold(Rearm.KernelLater, out _);
                begun = status == Status.Ok;
            }
            if (status == Status.Ok && Asks(out asks))
            {
                return Status.TryAgain;
            }
            for (int i = 0; status == Status.Ok && i < _images.Length; i++)
            {
                status = Restore(_images[i], ref pages);
            }
            status = status == Status.Ok ? Settle() : status;
            return status == Status.Ok ? _consumer.Commit() : status;
        }
    }

    /// <summary>Whether a page that is to be copied is armed for a write, or just told. Under the configuration lock.</summary>
    private bool Asks(out ulong asks)
    {
        asks = 0;
        int section = LibrarySections.Enter();
        bool found = false;
        for (int i = 0; !found && i < _images.Length; i++)
        {
            Slot slot = _images[i].Slot;
            DirtySink? sink = _space.Watches.Knows(slot.GuestAddress, slot.End) ? _consumer.SinkOf(slot.Tracking!) : null;
            for (ulong at = sink?.Epoch.Skip(0, slot.Pages) ?? slot.Pages; at < slot.Pages && !found; at = sink!.Epoch.Skip(at, slot.Pages))
            {
                bool copies = (sink!.Epoch.Peek(at) & 1) != 0;
                ulong address = slot.GuestAddress + (at << GuestAddress.PageShift);
                found = copies && _space.Watches.FindAsking(address, GuestAddress.PageSize, out asks);
                at++;
            }
        }
        LibrarySections.Leave(section);
        return found;
    }

    /// <summary>See <c>gmap_snapshot_verify</c>.</summary>
    public int Verify(out ulong wrong)
    {
        wrong = 0;
        if (_space.Epochs.IsCallerInside())
        {
            return Status.Deadlock; // who has one of the locks may wait for it
        }
        if (_gate.IsHeldByCurrentThread)
        {
            return Status.Busy;
        }
        using (_gate.Hold())
        using (_space.Configuration.Hold())
        {
            int status = Check();
            for (int i = 0; status == Status.Ok && i < _images.Length; i++)
            {
                Image image = _images[i];
                for (ulong page = 0; page < image.Slot.Pages; page++)
                {
                    wrong += PageAt(image.At(page)).SequenceEqual(PageAt(image.GuestAt(page))) ? 0UL : 1;
                }
            }
            return status;
        }
    }

    /// <summary>See <c>gmap_snapshot_free</c>.</summary>
    public int Free()
    {
        if (_gate.IsHeldByCurrentThread || !_gate.TryEnter())
        {
            return Status.Busy; // a restore reads the epoch and the copies, long after its wait
        }
        try
        {
            int status = _consumer.Close();
            if (status != Status.Ok)
            {
                return status;
            }
            _freed = true;
            foreach (Image image in _images)
            {
                image.Memory.Dispose();
            }
            _images = [];
            return Status.Ok;
        }
        finally
        {
            _gate.Exit();
        }
    }

    /// <summary>Of a read-only slot: its memory may be read-only too, and is written only where it is not as it should be.</summary>
    private static void CopyChanged(Image image, ulong first, ulong end)
    {
        for (ulong page = first; page < end; page++)
        {
            if (!PageAt(image.At(page)).SequenceEqual(PageAt(image.GuestAt(page))))
            {
                Buffer.MemoryCopy(image.At(page), image.GuestAt(page), GuestAddress.PageSize, GuestAddress.PageSize);
            }
        }
    }

    private static ReadOnlySpan<byte> PageAt(byte* page) => new(page, (int)GuestAddress.PageSize);

    /// <summary>Whether a slot can be written unseen: then there is no snapshot.</summary>
    private static bool IsWhole(SlotMap map)
    {
        foreach (Slot slot in map.Slots)
        {
            if (slot.Tracking is null && !slot.IsReadOnly)
            {
                return false;
            }
        }
        return true;
    }

    private int Copy(SlotMap map)
    {
        if (!IsWhole(map))
        {
            return Status.Invalid;
        }
        foreach (Slot slot in map.Slots)
        {
            if (slot.Tracking is not null)
            {
                GuardedRegion? region = GuardedRegion.TryReserve((nuint)slot.Size, sparse: true);
                if (region is null || !region.TryCommit(0, (nuint)slot.Size))
                {
                    region?.Dispose();
                    return Status.NoMemory;
                }
                var image = new Image(slot, region);
                _images = [.. _images, image];
                for (ulong page = 0; page < slot.Pages; page++)
                {
                    ReadOnlySpan<byte> from = PageAt(image.GuestAt(page));
                    if (from.ContainsAnyExcept((byte)0)) // the copy is zero as long as nobody writes there, and costs nothing
                    {
                        from.CopyTo(new Span<byte>(image.At(page), from.Length));
                    }
                }
            }
        }
        return Status.Ok;
    }

    /// <summary>Whether the slots are those that were copied.</summary>
    private int Check()
    {
        if (_freed)
        {
            return Status.BadHandle;
        }
        foreach (Image image in _images)
        {
            Slot? now = _space.Map.ById(image.Slot.Id);
            if (now?.Tracking != image.Slot.Tracking)
            {
                return Status.NoEntry;
            }
        }
        return StopsStores(_space.Map) ? Status.NotSupported : Status.Ok; // it would wait for itself, with locks held
    }

    private static bool StopsStores(SlotMap map)
    {
        foreach (Slot slot in map.Slots)
        {
            if (slot.Backing is { StopsStores: true } || slot.Missing is not null)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>After a failure: what was to be put back comes with the next epoch, and a kernel that tracks is told so.</summary>
    private int GiveBack(int status)
    {
        using (_space.Configuration.Hold())
        {
            _ = Settle();
        }
        _ = _consumer.Abort(); // if it had begun
        return status;
    }

    /// <summary>Puts back what the epoch has of one slot, and tells the other consumers: these pages changed once more.</summary>
    private int Restore(Image image, ref ulong pages)
    {
        DirtySink? sink = _consumer.SinkOf(image.Slot.Tracking!);
        ulong end = image.Slot.Pages;
        int status = sink is null ? Status.NoEntry : Status.Ok;
        bool readOnly = _space.Map.ById(image.Slot.Id) is { IsReadOnly: true };
        for (ulong at = sink?.Epoch.Skip(0, end) ?? end; at < end && status == Status.Ok; at = sink!.Epoch.Skip(at + 64, end))
        {
            at &= ~63UL;
            ulong word = sink!.Epoch.Peek(at);
            pages += (ulong)BitOperations.PopCount(word);
            for (ulong left = word; left != 0 && status == Status.Ok;)
            {
                int from = BitOperations.TrailingZeroCount(left);
                int length = BitOperations.TrailingZeroCount(~(left >> from));
                left &= ~PinnedBitmap.RunMask(from, length);
                ulong first = at + (ulong)from;
                ulong bytes = (ulong)length << GuestAddress.PageShift;
                if (readOnly)
                {
                    CopyChanged(image, first, first + (ulong)length);
                }
                else
                {
                    Buffer.MemoryCopy(image.At(first), image.GuestAt(first), bytes, bytes);
                }
                Tell(image, sink, first, (ulong)length);
            }
        }
        return status;
    }

    /// <summary>After the copy (rule 15): the other consumers hear of it.</summary>
    private static void Tell(Image image, DirtySink sink, ulong first, ulong count)
    {
        if (Probe.LeavesOut(Step.RestoreUntold))
        {
            return;
        }
        int section = LibrarySections.Enter();
        new Outlet(image.Slot.Tracking!.Sinks, sink, null).OrRange(first, count);
        LibrarySections.Leave(section);
    }

    /// <summary>
    /// A kernel that tracks slots saw the guest's stores and ours: one look at each protects all of it again. Of the slots that came to
    /// log after the snapshot, too.
    /// </summary>
    private int Settle()
    {
        int status = Status.Ok;
        foreach (Slot slot in _space.Map.Slots)
        {
            DirtySink? sink = slot is { Backing: not null, Tracking: not null } ? _consumer.SinkOf(slot.Tracking) : null;
            if (sink is not null && sink.Epoch.Any(0, slot.Pages))
            {
                using (slot.Tracking!.Hold())
                {
                    int settled = slot.Backing!.Settle(slot.Tracking.Sinks, sink, out ulong others);
                    SpaceCounters.Add(ref _space.Counters.Mine.PagesTaken, (long)others);
                    status = status == Status.Ok ? settled : status;
                }
            }
        }
        return status;
    }
}
