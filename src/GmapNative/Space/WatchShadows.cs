using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What of watched pages concerns shadows (rules 35 and 36).</summary>
internal sealed partial class Watches
{
    /// <summary>
    /// Before a page of guests' tables is written, what hangs on it is gone, and who may still use it has left: by a grace of the root.
    /// Where that does not end in time the page is armed again, and the write answers so.
    /// </summary>
    private int EndShadows(Telling telling)
    {
        if ((telling.Armed & WatchBits.Table) == 0)
        {
            return Status.Ok;
        }
        int status = space.Epochs.WaitForGrace();
        if (status != Status.Ok)
        {
            ArmAgain(telling);
        }
        return status;
    }

    /// <summary>
    /// Tables of guests that were weakened: who writes there waits until nobody uses what hung on them, also where the caller's own grace
    /// timed out.
    /// </summary>
    private void SettleTables(ulong start, ulong end)
    {
        ulong at = start;
        while (space.Shadows is not null && TryClaim(ref at, end, WatchBits.WriteDue) is { } telling)
        {
            if (EndShadows(telling) == Status.Ok)
            {
                Tell(telling);
            }
        }
    }

    /// <summary>Nothing was told, and nobody wrote. What was taken once more meanwhile, hosts hear of now.</summary>
    private void ArmAgain(Telling telling)
    {
        int section = LibrarySections.Enter();
        lock (Telling.Gate)
        {
            WatchBits over = telling.Due & ~telling.Again;
            for (ulong at = telling.First; telling.OwnsBits && at <= telling.Last; at += GuestAddress.PageSize)
            {
                WatchSegment watch = FindWatch(at, out _);
                CountDue(watch.Change(GuestAddress.PageIndex(at), over, telling.Armed) & over, -1);
            }
            telling.Due = telling.Again;
            telling.Told = telling.AgainTold;
            telling.Again = telling.AgainTold = WatchBits.None;
            if (telling.Due == WatchBits.None)
            {
                Telling.Remove(telling);
            }
        }
        LibrarySections.Leave(section);
        Tell(telling);
    }
}
