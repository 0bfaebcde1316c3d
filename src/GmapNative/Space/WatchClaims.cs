using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What is claimed before a write (rule 30).</summary>
internal sealed partial class Watches
{
    /// <summary>
    /// Takes what a page, or the leaf that is written as a whole, is armed for before a write. In a section. <paramref name="waits"/>:
    /// somebody else did.
    /// </summary>
    private Telling? TryClaimWrite(ulong address, bool byHost, out bool waits)
    {
        waits = false;
        ulong first = address & ~(GuestAddress.PageSize - 1);
        ulong last = first + GuestAddress.PageSize - 1;
        if (FindWatch(address, out _).IsNone)
        {
            return null;
        }
        if (space.Options.Policy == SplitPolicy.Never)
        {
            ulong size = SizeOfLeaf(address);
            first = address & ~(size - 1);
            last = first + size - 1;
        }
        lock (Telling.Gate)
        {
            WatchBits armed = WatchBits.None;
            for (ulong at = first; at <= last; at += GuestAddress.PageSize)
            {
                WatchBits seen = FindWatch(at, out _).Of(GuestAddress.PageIndex(at));
                waits |= (seen & WatchBits.BeforeWriteDue) != 0 && !(byHost && Telling.IsMine(at));
                armed |= seen & WatchBits.BeforeWrite;
            }
            if (armed == WatchBits.None || waits)
            {
                return null;
            }
            armed = WatchBits.None;
            for (ulong at = first; at <= last; at += GuestAddress.PageSize)
            {
                armed |= TakeForWrite(FindWatch(at, out _), GuestAddress.PageIndex(at));
            }
            // Nothing: a call that cancels was quicker, and others may have written since: there is nothing to be told before.
            return armed == WatchBits.None ? null : ClaimTaken(first, last, armed);
        }
    }

    /// <summary>A claim of what was taken of some of its pages. Under the gate, in which nobody sees that.</summary>
    private Telling ClaimTaken(ulong first, ulong last, WatchBits armed)
    {
        var telling = new Telling
        {
            First = first,
            Last = last,
            Due = WatchBit.DueOf(armed),
            Told = WatchBit.ToldOf(armed),
            Armed = armed,
        };
        Telling.Add(telling);
        for (ulong at = first; at <= last; at += GuestAddress.PageSize)
        {
            MakeDue(FindWatch(at, out _), GuestAddress.PageIndex(at), telling.Due);
            if ((armed & WatchBits.Table) != 0)
            {
                space.Shadows?.Queue(at, WatchBits.Table);
            }
        }
        return telling;
    }

    /// <summary>What of an address is granted with it by the policy never.</summary>
    private ulong SizeOfLeaf(ulong address) =>
        space.Tree.TryFindRegionLeaf(address, out _, out _) ? GuestAddress.RegionThirdSize
        : space.Tree.TryFindCell(address, out SegmentCell cell) && cell.Load().IsLeaf ? GuestAddress.SegmentSize
        : GuestAddress.PageSize;

    /// <summary>Under the gate. What a page is armed for becomes due in one step; what it was, none where a cancel was quicker.</summary>
    private WatchBits TakeForWrite(WatchSegment watch, int page)
    {
        WatchBits seen = watch.Of(page);
        WatchBits armed;
        bool done = false;
        do
        {
            armed = seen & WatchBits.BeforeWrite;
            done = armed == WatchBits.None || TryReplaceDue(watch, page, ref seen, WatchBits.BeforeWrite, WatchBit.DueOf(armed));
        }
        while (!done);
        return armed;
    }

    /// <summary>Under the gate. All pages of a telling have its due bits: what is taken once more meanwhile is seen by that.</summary>
    private void MakeDue(WatchSegment watch, int page, WatchBits due)
    {
        WatchBits seen = watch.Of(page);
        while (!TryReplaceDue(watch, page, ref seen, WatchBits.None, due))
        {
        }
    }

    private bool TryReplaceDue(WatchSegment watch, int page, ref WatchBits seen, WatchBits taken, WatchBits due)
    {
        due = Probe.LeavesOut(Step.GrantBeforeTold) ? WatchBits.None : due;
        CountDue(due, 1);
        bool done = watch.TryReplace(page, ref seen, (seen & ~taken) | due);
        CountDue(done ? seen & due : due, -1);
        return done;
    }
}
