using System;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What a host asks of a slot; see <c>gmap_slot</c>.</summary>
internal readonly record struct SlotRequest
{
    public required uint Id { get; init; }

    public ulong GuestAddress { get; init; }

    /// <summary>Bytes; 0 deletes.</summary>
    public ulong Size { get; init; }

    public ulong HostAddress { get; init; }

    public bool ReadOnly { get; init; }

    public bool LogDirty { get; init; }

    /// <summary>Whether the host asked for that; by the space's dirty scope a slot may log because another one asks.</summary>
    public bool Asks { get; init; }

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
internal sealed class SlotChanges(AddressSpace space)
{
    private readonly SlotLogging _logging = new(space);

    /// <summary>See <c>gmap_slot_set</c> for the results.</summary>
    public int Set(in SlotRequest request)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        int status;
        Slot? old;
        WatchTally tally = space.Watches.Begin();
        List<Telling>? withdrawn = null;
        Slot[] others = [];
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            old = space.Map.ById(request.Id);
            status = Check(request, old);
            if (status == Status.Ok)
            {
                status = Change(old, request, ref withdrawn, out others);
            }
            space.Stays.Enter(); // the space cannot end before its notifiers are told
        }
        space.Watches.TellWithdrawn(withdrawn);
        foreach (Slot changed in old is null ? others : [old, .. others])
        {
            space.Watches.Settle(changed.GuestAddress, changed.End, tally);
        }
        space.Stays.Leave();
        space.Engine.ReportLockRefusal();
        Tell.SlotChange(space.Number, request.Id, request.GuestAddress, request.Size, request.Flags, status);
        return status;
    }

    /// <summary>Gives a slot's logs and backing back when the space ends. Nobody can reach the slot any more.</summary>
    public static void Release(Slot slot)
    {
        slot.Backing?.Close();
        slot.Missing?.Close();
        SlotLogging.HandOut(slot, new SlotRequest { Id = slot.Id });
    }

    /// <summary>
    /// A request that is checked. Where the dirty scope is the space, all slots log as long as one asks: <paramref name="others"/> are
    /// those that begin or stop with this one, and so have mappings weakened by it (rule 29).
    /// </summary>
    private int Change(Slot? old, SlotRequest request, ref List<Telling>? withdrawn, out Slot[] others)
    {
        others = System.Array.FindAll(space.Map.Slots.ToArray(), slot => slot.Id != request.Id);
        bool othersAsk = space.Options.GlobalDirty && System.Array.Exists(others, slot => slot.Asks);
        bool asks = request.LogDirty && request.Size != 0;
        bool logged = othersAsk || old is { Asks: true };
        request = request with { Asks = asks, LogDirty = asks || othersAsk };
        others = space.Options.GlobalDirty && request.LogDirty != logged ? others : [];
        return request.Size == 0 ? Delete(old!, request, others, ref withdrawn)
            : old is null ? Make(request, others)
            : old.GuestAddress == request.GuestAddress && old.Size == request.Size && old.HostAddress == request.HostAddress
                ? ChangeFlags(old, request, others)
                : Replace(old, request, others, ref withdrawn);
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
        if (!aligned || last < request.GuestAddress || last > space.Limit || last == ulong.MaxValue
            || request.HostAddress + request.Size - 1 < request.HostAddress
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

    private int Make(in SlotRequest request, Slot[] others)
    {
        int status = TryTrack(request, others, out SlotTracking? tracking, out SlotTracking[] theirs);
        if (status != Status.Ok)
        {
            return status;
        }
        status = Switch(others, theirs, request);
        int created = Create(request, tracking);
        return status != Status.Ok ? status : created;
    }

    /// <summary>What the slot of a request needs, and those that begin to log with it: all, or an error and nothing changed.</summary>
    private int TryTrack(in SlotRequest request, Slot[] others, out SlotTracking? tracking, out SlotTracking[] theirs)
    {
        tracking = null;
        theirs = [];
        if (!request.LogDirty)
        {
            return Status.Ok;
        }
        if (!_logging.TryTrack(request.Id, request.Size >> GuestAddress.PageShift, request.InitiallyDirty, out tracking))
        {
            return Status.NoMemory;
        }
        int status = _logging.TryTrack(others, request.InitiallyDirty, out theirs);
        if (status != Status.Ok)
        {
            tracking!.Free();
        }
        return status;
    }

    /// <summary>Other slots begin to log, or stop (<paramref name="trackings"/> empty).</summary>
    private int Switch(Slot[] slots, SlotTracking[] trackings, in SlotRequest request)
    {
        if (slots.Length == 0)
        {
            return Status.Ok;
        }
        var steps = new SlotStep[slots.Length];
        for (int i = 0; i < steps.Length; i++)
        {
            steps[i] = new SlotStep(slots[i], slots[i] with { Tracking = trackings.Length == 0 ? null : trackings[i] });
        }
        var theirs = new SlotRequest { Id = slots[0].Id, InitiallyDirty = request.InitiallyDirty };
        return _logging.Apply(steps, theirs, Status.Ok, waits: false);
    }

    private int Create(in SlotRequest request, SlotTracking? tracking)
    {
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        var slot = new Slot(request.Id, request.GuestAddress, request.Size, request.HostAddress, request.ReadOnly)
        {
            Tracking = tracking,
            Asks = request.Asks,
            ByGeneration = space.Options.ByGeneration,
        };
        SlotMap map = space.Map.With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        // Nothing is mapped there: this only turns holes into empty entries.
        _ = UnmapAll(slot, map, goes: false);
        Probe.At(Place.Walked);
        _logging.Announce(slot);
        _logging.CountArming(slot, slot.Tracking is not null, begin);
        return Status.Ok;
    }

    private int Delete(Slot old, in SlotRequest request, Slot[] others, ref List<Telling>? withdrawn)
    {
        int status = Withdraw(old, ref withdrawn);
        SlotLogging.HandOut(old, request);
        int ended = Switch(others, [], request);
        return status != Status.Ok ? status : ended;
    }

    /// <summary>A moved or resized slot is deleted and made again; what it needs is allocated before anything changes.</summary>
    private int Replace(Slot old, in SlotRequest request, Slot[] others, ref List<Telling>? withdrawn)
    {
        if (!old.IsPlain)
        {
            return Status.Busy;
        }
        int status = TryTrack(request, others, out SlotTracking? tracking, out SlotTracking[] theirs);
        if (status != Status.Ok)
        {
            return status;
        }
        status = Withdraw(old, ref withdrawn);
        SlotLogging.HandOut(old, request);
        if (status != Status.Ok)
        {
            tracking?.Everyone.OrRange(0, request.Size >> GuestAddress.PageShift); // as where arming times out (rule 9)
        }
        int switched = Switch(others, theirs, request);
        int created = Create(request, tracking);
        return status != Status.Ok ? status : switched != Status.Ok ? switched : created;
    }

    private int ChangeFlags(Slot old, in SlotRequest request, Slot[] others)
    {
        bool arms = request.LogDirty && old.Tracking is null;
        bool disarms = !request.LogDirty && old.Tracking is not null;
        int status = Status.Ok;
        SlotTracking[] trackings = [];
        Slot[] slots = [old, .. others];
        if (arms)
        {
            status = _logging.TryTrack(slots, request.InitiallyDirty, out trackings);
            if (status != Status.Ok)
            {
                return status;
            }
        }
        bool changes = request.ReadOnly != old.IsReadOnly;
        if (changes)
        {
            // First, and as a step of its own: it may wait for readers, which nothing does under a harvest lock.
            status = ChangeRights(ref slots[0]);
        }
        var steps = new SlotStep[slots.Length];
        for (int i = 0; i < steps.Length; i++)
        {
            steps[i] = new SlotStep(slots[i], slots[i] with { Tracking = arms ? trackings[i] : disarms ? null : slots[i].Tracking });
        }
        steps[0] = steps[0] with { New = steps[0].New with { Asks = request.Asks } };
        return _logging.Apply(steps, request, status, waits: changes);
    }

    /// <summary>Unpublishes a slot and takes its mappings away. Its last bits are in its log and epoch afterwards.</summary>
    private int Withdraw(Slot old, ref List<Telling>? withdrawn)
    {
        SlotMap map = space.Map.Without(old);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        int status = UnmapAll(old, map, goes: true);
        withdrawn = space.Watches.Withdraw(old.GuestAddress, old.End);
        if (old.ByGeneration)
        {
            // Dense bits are set by right of an entry until the grace, and go with their segment table (rule 26).
            int marked = Probe.LeavesOut(Step.DenseBitsBeforeGrace) ? Status.Ok : space.Limbo.GraceAndReclaim();
            status = status != Status.Ok ? status : marked;
            _logging.LastTake(old);
        }
        RetireRegions(old, map);
        Probe.At(Place.Walked);
        int grace = space.Limbo.GraceAndReclaim();
        if (old is { Backing: not null, Tracking: not null })
        {
            _logging.LastTake(old); // after the last store through a mapping
        }
        old.Backing?.Close();
        old.Missing?.Close();
        return status != Status.Ok ? status : grace;
    }

    /// <summary>
    /// Every page of a slot. Whole segments and holes need no split, and readers that never leave cannot stop it: so it ends.
    /// </summary>
    private int UnmapAll(Slot slot, SlotMap tokens, bool goes) =>
        new RangeUnmapper(space, slot, tokens, insist: true) { DropsPgstes = goes }.Unmap(slot.GuestAddress, slot.End, out _);

    /// <summary>The tables in whose span no slot is left, lower ones first.</summary>
    private void RetireRegions(Slot old, SlotMap map)
    {
        for (TableType level = TableType.RegionThird; level <= TableType.RegionFirst; level++)
        {
            ulong span = GuestAddress.SpanOf(level);
            ulong at = old.GuestAddress & ~(span - 1);
            for (ulong last = 0; last < old.End - 1; at = last + 1)
            {
                bool kept = map.HasSlot(at, span);
                nint table = kept ? 0 : space.Tree.Unlink(level, at, map);
                table = table == 0 && !kept && level == TableType.RegionThird ? space.Tree.TakeDeposit(at) : table;
                if (table != 0)
                {
                    Retire((ulong)table, level);
                }
                space.Tree.RefreshRegionToken(at, map);
                last = Math.Max(at | (span - 1), space.Tree.LastOnTheWay(at));
            }
        }
    }

    /// <summary>
    /// A table that an entry of <paramref name="level"/> designated, with what is linked below it although no slot needs it any more: where
    /// the top was raised, the way to the first address.
    /// </summary>
    private void Retire(ulong table, TableType level)
    {
        if (level == TableType.RegionThird)
        {
            space.Limbo.AddBeside(new SegmentTable(table));
            space.Limbo.Add((nint)table, TableKind.Segment);
            return;
        }
        var below = new RegionTable(table, level - 1);
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            RegionEntry entry = below.Load(i);
            if (entry.IsTable)
            {
                Retire(entry.Origin, level - 1);
            }
        }
        space.Limbo.Add((nint)table, space.Tree.KindOf(level - 1));
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
        return UnmapAll(before, map, goes: false);
    }
}
