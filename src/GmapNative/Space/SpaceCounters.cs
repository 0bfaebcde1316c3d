using System.Threading;

namespace GmapNative.Space;

/// <summary>What a space counts; each name carries its unit. Bumped with <see cref="Add"/>, read at any time.</summary>
internal sealed class SpaceCounters
{
    public long ReadFaults;
    public long WriteFaults;
    public long GuestConditions;
    public long SegmentsMapped;
    public long PagesMapped;
    public long Splits;
    public long SplitsLost;
    public long PagesGranted;
    public long SegmentsGranted;
    public long PagesUnmapped;
    public long Armings;
    public long Harvests;
    public long PagesHarvested;
    public long PagesTaken;
    public long PagesMarked;
    public long HarvestNanoseconds;
    public long BackingScans;
    public long Collapses;
    public long PagesDiscarded;
    public long PagesAged;

    public static void Add(ref long counter, long amount = 1) => Interlocked.Add(ref counter, amount);
}
