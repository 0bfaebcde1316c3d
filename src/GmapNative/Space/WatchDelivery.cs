using System.Collections.Generic;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Who tells what is due, when, and who waits for it (rules 29 to 31).</summary>
internal sealed partial class Watches
{
    /// <summary>
    /// What a call that weakened mappings does last, in no section and with no lock: tells what is due in the segments that start..end-1
    /// touches, and waits until what others tell there is told.
    /// </summary>
    public void Settle(ulong start, ulong end, in WatchTally tally)
    {
        if (IsQuiet || start >= end)
        {
            return;
        }
        start = GuestAddress.SegmentBase(start);
        end = GuestAddress.After((end - 1) | (GuestAddress.SegmentSize - 1));
        long graced = tally.Taken + t_taken - tally.Own; // what this call took, it has waited for
        foreach (WatchBits due in (System.ReadOnlySpan<WatchBits>)[WatchBits.ChangeDue, WatchBits.ShadowDue])
        {
            ulong at = start;
            while (TryClaim(ref at, end, due) is { } telling)
            {
                Grace(ref graced);
                Tell(telling);
            }
        }
        SettleTables(start, end);
        if (!WatchTelling.IsInCallback && !Probe.LeavesOut(Step.NoWaitForDelivery))
        {
            Telling.WaitForOthers(start, end);
        }
    }

    /// <summary>
    /// A slot goes, and its pages' halfwords with it: what is due is claimed, all else forgotten. Under the configuration lock, after its
    /// last mapping is gone; <see cref="TellWithdrawn"/> after the grace, without the lock. Null: nothing is due.
    /// </summary>
    public List<Telling>? Withdraw(ulong start, ulong end)
    {
        List<Telling>? withdrawn = null;
        foreach (WatchBits due in (System.ReadOnlySpan<WatchBits>)[WatchBits.ChangeDue, WatchBits.ShadowDue])
        {
            ulong at = start;
            while (!IsQuiet && TryClaim(ref at, end, due) is { } telling)
            {
                (withdrawn ??= []).Add(telling);
            }
        }
        int section = LibrarySections.Enter();
        for (ulong at = start; at < end;)
        {
            WatchSegment watch = FindWatch(at, out ulong next);
            next = ulong.Min(next, end);
            int stop = GuestAddress.PageIndex(next - 1) + 1;
            int page = watch.Next(GuestAddress.PageIndex(at), stop, WatchBits.All);
            for (; page < stop; page = watch.Next(page, stop, WatchBits.All))
            {
                lock (Telling.Gate)
                {
                    CountDue(watch.Change(page, WatchBits.All, WatchBits.None) & WatchBits.Due, -1);
                }
            }
            at = next;
        }
        LibrarySections.Leave(section);
        lock (Telling.Gate)
        {
            Telling.Disown(start, end);
        }
        return withdrawn;
    }

    /// <summary>In no section, with no lock.</summary>
    public void TellWithdrawn(List<Telling>? withdrawn)
    {
        foreach (Telling telling in withdrawn ?? [])
        {
            Tell(telling);
        }
    }

    /// <summary>
    /// Whether a write has to tell somebody first, or to wait for who does: see <see cref="SettleWrite"/>. The host's own copies, which
    /// grant nothing, go through in the callback that tells of the page.
    /// </summary>
    public bool AsksBeforeWrite(WatchBits seen, ulong address, bool byHost) =>
        (seen & WatchBits.BeforeWrite) != 0
        || ((seen & WatchBits.BeforeWriteDue) != 0 && !Probe.LeavesOut(Step.NoWaitForTold) && !(byHost && Telling.IsMine(address)));

    /// <summary>The first page of a range that asks before the host writes into it. In a section.</summary>
    public bool FindAsking(ulong address, ulong size, out ulong asks)
    {
        const WatchBits Asking = WatchBits.BeforeWrite | WatchBits.BeforeWriteDue;
        asks = address;
        ulong end = address + size; // what has slots does not wrap
        while (asks < end)
        {
            WatchSegment watch = FindWatch(asks, out ulong next);
            next = ulong.Min(next, end);
            int stop = GuestAddress.PageIndex(next - 1) + 1;
            int page = watch.Next(GuestAddress.PageIndex(asks), stop, Asking);
            for (; page < stop; page = watch.Next(page + 1, stop, Asking))
            {
                asks = GuestAddress.SegmentBase(asks) + ((ulong)page << GuestAddress.PageShift);
                if (AsksBeforeWrite(watch.Of(page), asks, byHost: true))
                {
                    return true;
                }
            }
            asks = next;
        }
        return false;
    }

    /// <summary>
    /// What is to be told before a page is written is told by this thread, or by the one that came first (rule 30). In no section, with no
    /// lock. <see cref="Status.Ok"/>: look again. <see cref="Status.Deadlock"/>: it would have to wait and must not; nothing changed.
    /// </summary>
    public int SettleWrite(ulong address, bool byHost)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using var stay = new Stay(space);
        if (space.IsDead)
        {
            return Status.BadHandle;
        }
        SpinWait spin = default;
        for (; ; )
        {
            int section = LibrarySections.Enter();
            Telling? telling = TryClaimWrite(address, byHost, out bool waits);
            LibrarySections.Leave(section);
            if (telling is not null)
            {
                int status = EndShadows(telling);
                if (status == Status.Ok)
                {
                    Tell(telling);
                }
                return status;
            }
            if (!waits)
            {
                return Status.Ok;
            }
            if (WatchTelling.IsInCallback)
            {
                return Status.Deadlock;
            }
            Probe.At(Place.Waiting);
            spin.SpinOnce();
        }
    }

    /// <summary>Whether a page of start..end-1 is watched. Under the configuration lock.</summary>
    public bool Knows(ulong start, ulong end)
    {
        for (ulong at = start; at < end;)
        {
            WatchSegment watch = FindWatch(at, out ulong next);
            next = ulong.Min(next, end);
            int stop = GuestAddress.PageIndex(next - 1) + 1;
            if (watch.Next(GuestAddress.PageIndex(at), stop, WatchBits.All) != stop)
            {
                return true;
            }
            at = next;
        }
        return false;
    }

    /// <summary>The halfwords of the segment of an address; <paramref name="next"/> is where others begin. In a section.</summary>
    private WatchSegment FindWatch(ulong address, out ulong next)
    {
        bool any = space.Tree.TryFindLinks(address, out SegmentTable table) && !table.Watch.IsNone;
        next = GuestAddress.After(any ? address | (GuestAddress.SegmentSize - 1) : space.Tree.LastOnTheWay(address));
        return any ? table.Watch.Segment(GuestAddress.SegmentIndex(address)) : default;
    }

    /// <summary>The next run from <paramref name="at"/> on that is due and nobody's; null: there is none.</summary>
    private Telling? TryClaim(ref ulong at, ulong end, WatchBits due)
    {
        Telling? telling = null;
        int section = LibrarySections.Enter();
        while (telling is null && at < end)
        {
            WatchSegment watch = FindWatch(at, out ulong next);
            next = ulong.Min(next, end);
            int first = GuestAddress.PageIndex(at);
            int stop = GuestAddress.PageIndex(next - 1) + 1;
            int page = watch.IsNone ? stop : watch.Next(first, stop, due);
            if (page == stop)
            {
                at = next;
                continue;
            }
            at = GuestAddress.SegmentBase(at) + ((ulong)page << GuestAddress.PageShift);
            telling = Claim(at, end, due);
            at = telling is null ? at + GuestAddress.PageSize : telling.Last + 1;
        }
        LibrarySections.Leave(section);
        return telling;
    }

    private Telling? Claim(ulong first, ulong end, WatchBits due)
    {
        lock (Telling.Gate)
        {
            ulong at = first;
            while (at < end && (FindWatch(at, out _).Of(GuestAddress.PageIndex(at)) & due) != 0 && Telling.OwnerOf(at, due) is null)
            {
                at += GuestAddress.PageSize;
            }
            if (at == first)
            {
                return null;
            }
            bool table = due == WatchBits.WriteDue; // unclaimed it can be nothing else
            var telling = new Telling
            {
                First = first,
                Last = at - 1,
                Due = due,
                Told = table ? WatchBits.None : due,
                Armed = table ? WatchBits.Table : WatchBits.None,
            };
            Telling.Add(telling);
            return telling;
        }
    }

    /// <summary>
    /// What others took since this call began may have been taken after its grace began: then there is one more before it is told. After
    /// the claim: <paramref name="graced"/> is how much had been taken when the last grace began.
    /// </summary>
    private void Grace(ref long graced)
    {
        long taken = Volatile.Read(ref _taken);
        if (taken != graced)
        {
            graced = taken;
            space.Tree.BumpGeneration();
            _ = space.Epochs.WaitForGrace(bumped: true);
        }
    }

    /// <summary>Calls the notifiers, again if something is taken meanwhile, and ends the claim.</summary>
    private void Tell(Telling telling)
    {
        for (WatchBits due = telling.Due, told = telling.Told; due != WatchBits.None;)
        {
            Probe.At(Place.ToldNext);
            Call(telling, told);
            Probe.At(Place.Told);
            int section = LibrarySections.Enter();
            lock (Telling.Gate)
            {
                (due, told) = (telling.Again, telling.AgainTold);
                telling.Again = telling.AgainTold = WatchBits.None;
                if (due == WatchBits.None)
                {
                    ClearDue(telling);
                    Telling.Remove(telling);
                }
            }
            LibrarySections.Leave(section);
            Probe.At(Place.DueCleared);
            if (due != WatchBits.None)
            {
                space.Tree.BumpGeneration(); // the one that took it may still be waiting for readers
                _ = space.Epochs.WaitForGrace(bumped: true);
            }
        }
    }

    private void Call(Telling telling, WatchBits told)
    {
        foreach ((WatchBits bit, NotifyFlags kind) in (System.ReadOnlySpan<(WatchBits, NotifyFlags)>)
            [(WatchBits.WriteDue, NotifyFlags.Write), (WatchBits.ChangeDue, NotifyFlags.Change), (WatchBits.ShadowDue, NotifyFlags.Shadow)])
        {
            if ((told & bit) != 0)
            {
                Call(telling.First, telling.Last, kind);
            }
        }
    }

    /// <summary>Tells of pages whose first write a backing has stopped (rule 37). In no section, with no lock.</summary>
    public void TellOfWrite(ulong first, ulong last) => Call(first, last, NotifyFlags.Write);

    private void Call(ulong first, ulong last, NotifyFlags kind)
    {
        foreach (INotifier notifier in Notifiers)
        {
            long begin = GmapNative.Tell.Time(GmapEvents.Keywords.Notifiers);
            WatchTelling.EnterCallback();
            bool called = notifier.Tell(first, last, kind);
            WatchTelling.LeaveCallback();
            if (called)
            {
                GmapNative.Tell.Notify(space.Number, first, last, (uint)kind, begin);
            }
            SpaceCounters.Add(ref space.Counters.Mine.Notifications, called ? 1 : 0);
        }
    }

    /// <summary>In a section, under the gate.</summary>
    private void ClearDue(Telling telling)
    {
        for (ulong at = telling.First; telling.OwnsBits && at <= telling.Last;)
        {
            WatchSegment watch = FindWatch(at, out ulong next);
            for (; at <= telling.Last && at < next; at += GuestAddress.PageSize)
            {
                if (!watch.IsNone)
                {
                    CountDue(watch.Change(GuestAddress.PageIndex(at), telling.Due, WatchBits.None) & telling.Due, -1);
                }
            }
        }
    }
}
