using System;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>How many pages were taken when a call began: by anybody, and by its thread.</summary>
internal readonly record struct WatchTally(long Taken, long Own);

/// <summary>
/// What a space knows of watched pages beside their halfwords: who is told, how many notifications are due, what is being told.
/// Thread-safe.
/// </summary>
internal sealed partial class Watches(AddressSpace space)
{
#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static long t_taken;
#pragma warning restore IDE1006

    private INotifier[] _notifiers = [];
    private long _due;
    private long _taken;

    public WatchTelling Telling { get; } = new();

    /// <summary>Replaced as a whole, under the configuration lock.</summary>
    public INotifier[] Notifiers
    {
        get => Volatile.Read(ref _notifiers);
        set => Volatile.Write(ref _notifiers, value);
    }

    /// <summary>Nothing is due and nothing is being told. The count rises before a bit is set, and falls after it is cleared.</summary>
    public bool IsQuiet => Volatile.Read(ref _due) == 0 && !Telling.IsActive;

    /// <summary>At the beginning of a call that may weaken mappings; for <see cref="Settle"/>.</summary>
    public WatchTally Begin() => new(Volatile.Read(ref _taken), t_taken);

    /// <summary>
    /// The mapping of a page was weakened: what it is armed for is due (rule 29). After the entry's change, by the thread that changed it;
    /// in a section or under the configuration lock.
    /// </summary>
    /// <param name="watch">The halfwords of the segment.</param>
    /// <param name="address">The page.</param>
    /// <param name="armed">What counts as armed.</param>
    /// <param name="keep">What stays armed all the same: the call that weakens has just armed it.</param>
    public void TakeWeakened(
        WatchSegment watch, ulong address, WatchBits armed = WatchBits.All, WatchBits keep = WatchBits.None)
    {
        WatchBits taken = watch.Of(GuestAddress.PageIndex(address)) & armed & WatchBits.Weakened;
        if (taken != WatchBits.None)
        {
            Take(watch, address, taken, keep);
        }
    }

    /// <summary>The same of a leaf: what one of its pages is armed for is due for all of them.</summary>
    public void TakeWeakenedLeaf(WatchSegment watch, ulong segment)
    {
        WatchBits kinds = watch.Union() & WatchBits.Weakened;
        for (int page = 0; kinds != WatchBits.None && page < WatchSegment.Pages; page++)
        {
            Take(watch, segment + ((ulong)page << GuestAddress.PageShift), kinds);
        }
    }

    /// <summary>The same of a 2 GB leaf, whose pages all have watch tables if one has.</summary>
    public void TakeWeakenedRegion(WatchDirectory watch, ulong region)
    {
        WatchBits kinds = watch.Union() & WatchBits.Weakened;
        for (int page = 0; kinds != WatchBits.None && page < GuestAddress.RegionThirdPages; page++)
        {
            ulong address = region + ((ulong)page << GuestAddress.PageShift);
            Take(watch.Segment(GuestAddress.SegmentIndex(address)), address, kinds);
        }
    }

    /// <summary>
    /// Clears what is armed but for <paramref name="keep"/>, and sets what is due, in one atomic step; what shadows armed is
    /// queued for them.
    /// </summary>
    public void Take(WatchSegment watch, ulong address, WatchBits taken, WatchBits keep = WatchBits.None)
    {
        WatchBits due = WatchBit.DueOf(taken);
        if (due != WatchBits.None)
        {
            Interlocked.Increment(ref _taken); // before it can be claimed: who tells knows that it is to wait for readers once more
            t_taken++;
        }
        Probe.At(Place.DueNext);
        if ((taken & WatchBits.ByShadows) != 0 && space.Shadows is { } shadows)
        {
            lock (Telling.Gate)
            {
                SetDue(watch, address, taken & ~keep, due);
                shadows.Queue(address, taken & WatchBits.ByShadows); // who claims it, and who begins a grace for it, finds it queued
            }
        }
        else
        {
            SetDue(watch, address, taken & ~keep, due);
        }
        Probe.At(Place.DueTaken);
    }

    private void SetDue(WatchSegment watch, ulong address, WatchBits taken, WatchBits due)
    {
        int page = GuestAddress.PageIndex(address);
        WatchBits seen = watch.Of(page);
        bool done = false;
        while (!done && (seen & due) == WatchBits.None)
        {
            CountDue(due, 1);
            done = watch.TryReplace(page, ref seen, (seen & ~taken) | due);
            CountDue(due, done ? 0 : -1);
        }
        if (!done)
        {
            TakeAgain(watch, address, taken, due);
        }
    }

    /// <summary>
    /// Something of it is due already. If that is just being told, it is told again; if not, once is enough. The gate keeps the one who
    /// tells from ending in between.
    /// </summary>
    private void TakeAgain(WatchSegment watch, ulong address, WatchBits taken, WatchBits due)
    {
        int page = GuestAddress.PageIndex(address);
        lock (Telling.Gate)
        {
            WatchBits seen = watch.Of(page);
            CountDue(due, 1);
            while (!watch.TryReplace(page, ref seen, (seen & ~taken) | due))
            {
            }
            CountDue(seen & due, -1);
            for (WatchBits left = seen & due; left != WatchBits.None; left &= left - 1)
            {
                WatchBits one = left & (WatchBits)(-(short)left);
                Telling? owner = Probe.LeavesOut(Step.NotToldAgain) ? null : Telling.OwnerOf(address, one);
                if (owner is not null)
                {
                    owner.Again |= one;
                    owner.AgainTold |= one & ~WatchBits.WriteDue; // which is of a table here: nobody hears of that
                }
            }
        }
    }

    private void CountDue(WatchBits due, int sign)
    {
        if (sign != 0)
        {
            Interlocked.Add(ref _due, sign * BitOperations.PopCount((uint)due));
        }
    }
}
