using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What a host asks of a slot; see <c>gmap_slot</c>.</summary>
internal readonly unsafe record struct SlotRequest
{
    public required uint Id { get; init; }

    public ulong GuestAddress { get; init; }

    /// <summary>Bytes; 0 deletes.</summary>
    public ulong Size { get; init; }

    public ulong HostAddress { get; init; }

    public bool ReadOnly { get; init; }

    public bool LogDirty { get; init; }

    public bool InitiallyDirty { get; init; }

    /// <summary>As <c>GMAP_SLOT_*</c>.</summary>
    public uint Flags => (ReadOnly ? 1u : 0) | (LogDirty ? 2u : 0) | (InitiallyDirty ? 4u : 0);

    /// <summary>Where the last dirty bits of the old slot go; valid for the call, FinalWords words.</summary>
    public nint FinalBitmap { get; init; }

    public ulong FinalWords { get; init; }
}

/// <summary>
/// Creates, changes and deletes slots: publish, wait for calls, walk and change, bump, grace, return (rule 19).
/// </summary>
internal sealed unsafe class SlotChanges(AddressSpace space)
{
    /// <summary>See <c>gmap_slot_set</c> for the results.</summary>
    public int Set(in SlotRequest request)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        int status;
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            Slot? old = space.Map.ById(request.Id);
            status = Check(request, old);
            if (status == Status.Ok)
            {
                status = request.Size == 0 ? Delete(old!, request)
                    : old is null ? Create(request, null)
                    : old.GuestAddress == request.GuestAddress && old.Size == request.Size && old.HostAddress == request.HostAddress
                        ? ChangeFlags(old, request)
                        : Replace(old, request);
            }
        }
        space.Engine.ReportLockRefusal();
        Tell.SlotChange(space.Number, request.Id, request.GuestAddress, request.Size, request.Flags, status);
        return status;
    }

    /// <summary>Gives a slot's logs and backing back when the space ends. Nobody can reach the slot any more.</summary>
    public void Release(Slot slot)
    {
        slot.Backing?.Close();
        HandOut(slot, new SlotRequest { Id = slot.Id });
    }

    private int Check(in SlotRequest request, Slot? old)
    {
        if (old?.Tracking is not null && request.FinalBitmap != 0 && request.FinalWords < (old.Pages + 63) / 64)
        {
            return Status.NoBuffer;
        }
        if (request.Size == 0)
        {
            return old is null ? Status.NoEntry : Status.Ok;
        }
        bool aligned = GuestAddress.IsPageAligned(request.GuestAddress | request.Size | request.HostAddress);
        ulong last = request.GuestAddress + request.Size - 1;
        if (!aligned || last < request.GuestAddress || last > space.Limit || request.HostAddress + request.Size - 1 < request.HostAddress
            || (request.InitiallyDirty && !request.LogDirty))
        {
            return Status.Invalid;
        }
        foreach (Slot other in space.Map.Slots)
        {
            if (other.Id != request.Id && other.GuestAddress <= last && request.GuestAddress < other.End)
            {
                return Status.Exists;
            }
        }
        return Status.Ok;
    }

    private int Create(in SlotRequest request, SlotTracking? tracking)
    {
        if (request.LogDirty && tracking is null && !TryTrack(request, out tracking))
        {
            return Status.NoMemory;
        }
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        var slot = new Slot(request.Id, request.GuestAddress, request.Size, request.HostAddress, request.ReadOnly)
        {
            Tracking = tracking,
            ByGeneration = space.Options.ByGeneration,
        };
        SlotMap map = space.Map.With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        // Nothing is mapped there: this only turns holes into empty entries.
        _ = UnmapAll(slot, map);
        Probe.At(Place.Walked);
        Announce(slot);
        CountArming(slot, slot.Tracking is not null, begin);
        return Status.Ok;
    }

    private bool TryTrack(in SlotRequest request, out SlotTracking? tracking)
    {
        ulong pages = request.Size >> GuestAddress.PageShift;
        tracking = SlotTracking.TryCreate(space.Engine.Arena, pages);
        foreach (IDirtyConsumer consumer in space.Consumers)
        {
            DirtySink? sink = tracking is not null && consumer.Wants(request.Id)
                ? DirtySink.TryCreate(space.Engine.Arena, pages, consumer.CountsDiscards)
                : null;
            if (sink is not null)
            {
                tracking!.Add(sink);
            }
            else if (tracking is not null && consumer.Wants(request.Id))
            {
                tracking.Free();
                tracking = null;
            }
        }
        foreach (DirtySink sink in request.InitiallyDirty && tracking is not null ? tracking.Sinks : [])
        {
            sink.Log.SetAll();
        }
        return tracking is not null;
    }

    /// <summary>Tells the consumers that want it of a slot that logs from now on: its sinks are theirs, in their order.</summary>
    private void Announce(Slot slot)
    {
        int sink = 0;
        foreach (IDirtyConsumer consumer in slot.Tracking is null ? [] : space.Consumers)
        {
            if (consumer.Wants(slot.Id))
            {
                consumer.Add(slot, slot.Tracking!.Sinks[++sink]);
            }
        }
    }

    private int Delete(Slot old, in SlotRequest request)
    {
        int status = Withdraw(old);
        HandOut(old, request);
        return status;
    }

    /// <summary>A moved or resized slot is deleted and made again; what it needs is allocated before anything changes.</summary>
    private int Replace(Slot old, in SlotRequest request)
    {
        if (old.Backing is not null)
        {
            return Status.Busy;
        }
        SlotTracking? tracking = null;
        if (request.LogDirty && !TryTrack(request, out tracking))
        {
            return Status.NoMemory;
        }
        int status = Withdraw(old);
        HandOut(old, request);
        if (status != Status.Ok)
        {
            tracking?.Everyone.OrRange(0, request.Size >> GuestAddress.PageShift); // as where arming times out (rule 9)
        }
        int created = Create(request, tracking);
        return status != Status.Ok ? status : created;
    }

    /// <summary>Unpublishes a slot and takes its mappings away. Its last bits are in its log and epoch afterwards.</summary>
    private int Withdraw(Slot old)
    {
        SlotMap map = space.Map.Without(old);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        int status = UnmapAll(old, map);
        if (old.ByGeneration)
        {
            // Dense bits are set by right of an entry until the grace, and go with their segment table (rule 26).
            int marked = Probe.LeavesOut(Step.DenseBitsBeforeGrace) ? Status.Ok : space.Limbo.GraceAndReclaim();
            status = status != Status.Ok ? status : marked;
            LastTake(old);
        }
        RetireRegions(old, map);
        Probe.At(Place.Walked);
        int grace = space.Limbo.GraceAndReclaim();
        if (old is { Backing: not null, Tracking: not null })
        {
            LastTake(old); // after the last store through a mapping
        }
        old.Backing?.Close();
        return status != Status.Ok ? status : grace;
    }

    /// <summary>
    /// Every page of a slot. Whole segments and holes need no split, and readers that never leave cannot stop it: so it ends.
    /// </summary>
    private int UnmapAll(Slot slot, SlotMap tokens) =>
        new RangeUnmapper(space, slot, tokens, insist: true).Unmap(slot.GuestAddress, slot.End, out _);

    private void RetireRegions(Slot old, SlotMap map)
    {
        ulong region = old.GuestAddress & ~(GuestAddress.RegionThirdSize - 1);
        for (; region < old.End; region += GuestAddress.RegionThirdSize)
        {
            nint table = map.HasSlot(region, GuestAddress.RegionThirdSize) ? 0 : space.Tree.UnlinkRegion(region, map);
            if (table != 0)
            {
                RetireDenseBits((ulong)table);
                space.Limbo.Add(table, TableKind.Segment);
            }
            space.Tree.RefreshRegionToken(region, map);
        }
    }

    private void RetireDenseBits(ulong segmentTable)
    {
        var table = new SegmentTable(segmentTable);
        foreach (DenseBits dense in (System.ReadOnlySpan<DenseBits>)[table.Dense, table.Spare, table.Retiring])
        {
            if (dense.Origin != 0)
            {
                space.Limbo.Add((nint)dense.Origin, TableKind.DenseBits);
            }
        }
    }

    /// <summary>Writes the last bits out and lets the logs go. A harvest that still waits finds the slot retired.</summary>
    private void HandOut(Slot old, in SlotRequest request)
    {
        SlotTracking? tracking = old.Tracking;
        if (tracking is null)
        {
            return;
        }
        DirtySink last = tracking.BuiltIn;
        using (tracking.Hold()) // the turn too: no segment is frozen by its harvests afterwards
        {
            for (ulong page = 0; request.FinalBitmap != 0 && page < old.Pages; page += 64)
            {
                // The caller's buffer, checked to have (pages + 63) / 64 words.
                ((ulong*)request.FinalBitmap)[page / 64] = last.Log.Peek(page) | last.Epoch.Peek(page);
            }
            tracking.Retire(); // no call has it: the slot was withdrawn, the calls of before have ended, harvests look it up here
        }
    }

    private int ChangeFlags(Slot old, in SlotRequest request)
    {
        SlotTracking? tracking = old.Tracking;
        bool arms = request.LogDirty && tracking is null;
        bool disarms = !request.LogDirty && tracking is not null;
        // Every page is in the logs: no store can go unseen before the call that takes the page out, and that one arms its entry.
        bool protects = arms && !request.InitiallyDirty;
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        if (arms && !TryTrack(request, out tracking))
        {
            return Status.NoMemory;
        }
        if (arms && old.Backing is not null)
        {
            int armed = old.Backing.Arm();
            if (armed != Status.Ok)
            {
                tracking!.Free();
                return armed;
            }
        }
        int status = Status.Ok;
        bool changes = request.ReadOnly != old.IsReadOnly;
        if (changes)
        {
            // First, and as a step of its own: it may wait for readers, which nothing does under a harvest lock.
            status = ChangeRights(ref old);
        }
        Slot slot = old with { Tracking = disarms ? null : tracking };
        SlotMap map = space.Map.Without(old).With(slot);
        // No harvest before the walk: what is written after such a harvest would look stale to the walk. Nor one before the calls in
        // flight have ended, where there is no walk: what they install is dirty, since the slot did not log when they looked.
        Lock? gate = arms ? tracking!.Gate : null;
        gate?.Take();
        space.Publish(map);
        space.Epochs.WaitForCalls();
        if (protects && slot.Backing is null && !Probe.LeavesOut(Step.StaleSoftDirtyKept))
        {
            // Stale soft-dirty is dropped, what is mapped is protected: from here on each first write is seen.
            _ = new SegmentWalk(space, slot).Take(slot.GuestAddress, slot.End, Outlet.None);
        }
        Probe.At(Place.Walked);
        gate?.Exit();
        if (disarms && (request.FinalBitmap != 0 || old.Tracking!.Sinks.Length > 1))
        {
            LastTake(old); // for the caller's buffer, and for consumers (rule 25)
        }
        if (disarms && space.Options.Huge)
        {
            // Under the old slot's harvest lock: harvests that began before it was unpublished may still take from it.
            ulong collapsed = 0;
            _ = new RangeCollapser(space, slot, tracking).Collapse(slot.GuestAddress, slot.End, ref collapsed);
        }
        CountArming(slot, arms, begin);
        bool waits = protects || disarms || changes || (arms && slot.Backing is not null);
        int grace = waits ? space.Limbo.GraceAndReclaim() : Status.Ok;
        if (arms && slot.Backing is null && (grace != Status.Ok || status != Status.Ok))
        {
            tracking!.Everyone.OrRange(0, slot.Pages); // readers go on storing by old rights: the next harvest waits for them
        }
        if (arms)
        {
            Announce(slot);
        }
        if (disarms)
        {
            HandOut(old, request);
        }
        return status != Status.Ok ? status : grace;
    }

    /// <summary>
    /// Makes a slot read-only, or writable: an entry's right to write is its slot's, so all are unmapped, and map anew. Marks go to the
    /// log of now. The caller takes the grace.
    /// </summary>
    private int ChangeRights(ref Slot slot)
    {
        Slot before = slot;
        slot = slot with { IsReadOnly = !slot.IsReadOnly };
        SlotMap map = space.Map.Without(before).With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        return UnmapAll(before, map);
    }

    private void CountArming(Slot slot, bool armed, long begin)
    {
        if (armed)
        {
            SpaceCounters.Add(ref space.Counters.Mine.Armings);
            Tell.Arm(space.Number, slot.Id, slot.Pages, begin);
        }
    }

    /// <summary>
    /// Brings what is dirty into the log before it is handed out. Every page where the kernel cannot tell any more: the memory was
    /// unmapped, or its registration ended behind our back.
    /// </summary>
    private void LastTake(Slot old)
    {
        if (old.Backing is not null)
        {
            if (old.Backing.Collect(0, old.Pages, rearm: false, old.Tracking!.Everyone, out _) != Status.Ok)
            {
                old.Tracking.Everyone.OrRange(0, old.Pages);
            }
        }
        else if (old.Tracking is null)
        {
            _ = new SegmentWalk(space, old).Take(old.GuestAddress, old.End, Outlet.None); // only the dense bits of a slot that goes
        }
        else
        {
            using (old.Tracking.Turn.Hold())
            {
                _ = new SegmentWalk(space, old).Take(old.GuestAddress, old.End, old.Tracking.Everyone);
            }
        }
    }
}
