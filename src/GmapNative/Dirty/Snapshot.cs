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
        using (_gate.Hold())
        using (_space.Configuration.Hold()) // a slot that is deleted is no longer used when that returns, and its logs are gone
        {
            int status = Check();
            status = status == Status.Ok ? _consumer.Begin(rearm: true, out _) : status;
            for (int i = 0; status == Status.Ok && i < _images.Length; i++)
            {
                status = Restore(_images[i], ref pages);
            }
            return status != Status.Ok ? GiveBack(status) : _consumer.Commit();
        }
    }

    /// <summary>See <c>gmap_snapshot_verify</c>.</summary>
    public int Verify(out ulong wrong)
    {
        wrong = 0;
        if (_space.Epochs.IsCallerInside())
        {
            return Status.Deadlock; // who has one of the locks may wait for it
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
        if (!_gate.TryEnter())
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
        return Status.Ok;
    }

    private int GiveBack(int status)
    {
        _ = _consumer.Abort(); // if it had begun: the pages come with the next epoch
        return status;
    }

    /// <summary>Puts back what the epoch has of one slot, and tells the other consumers: these pages changed once more.</summary>
    private int Restore(Image image, ref ulong pages)
    {
        DirtySink? sink = _consumer.SinkOf(image.Slot.Tracking!);
        ulong end = image.Slot.Pages;
        int status = sink is null ? Status.NoEntry : Status.Ok;
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
                Buffer.MemoryCopy(image.At(first), image.GuestAt(first), bytes, bytes);
                status = Tell(image, sink, first, (ulong)length);
            }
        }
        return status;
    }

    /// <summary>After the copy (rule 15). A kernel that tracks the slot saw it as well, and is told that we know.</summary>
    private int Tell(Image image, DirtySink sink, ulong first, ulong count)
    {
        if (Probe.LeavesOut(Step.RestoreUntold))
        {
            return Status.Ok;
        }
        SlotTracking tracking = image.Slot.Tracking!;
        ISlotBacking? backing = _space.Map.ById(image.Slot.Id)?.Backing;
        if (backing is null)
        {
            int section = LibrarySections.Enter();
            new Outlet(tracking.Sinks, sink, null).OrRange(first, count);
            LibrarySections.Leave(section);
            return Status.Ok;
        }
        using (tracking.Hold())
        {
            return backing.Collect(first, count, rearm: true, new Outlet(tracking.Sinks, sink, null), out _);
        }
    }
}
