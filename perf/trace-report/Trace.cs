using System.Collections.Generic;

namespace GmapNative.TraceReport;

/// <summary>A fault; times are seconds since the recording began, here and below.</summary>
internal readonly record struct Fault(double At, bool Slow, uint Done, double Milliseconds);

internal readonly record struct Split(double At, bool Lost);

internal readonly record struct Arm(double At, uint Slot, ulong Pages, double Milliseconds);

/// <summary>A harvest that ended; <paramref name="Pages"/> is what was asked for, null where its begin was not recorded.</summary>
internal readonly record struct Harvest(double Begin, double End, uint Slot, ulong? Pages, ulong Dirty, double Milliseconds, int Status);

internal readonly record struct GraceWait(double At, double Milliseconds, int Status);

/// <summary>What a recording tells.</summary>
internal sealed class Trace
{
    public double Seconds { get; set; }

    /// <summary>How a file that breaks off does so; null for a whole one.</summary>
    public string? Damage { get; set; }

    /// <summary>Events that were dropped because the buffers were full.</summary>
    public long Dropped { get; set; }

    public List<Fault> Faults { get; } = [];

    public List<Split> Splits { get; } = [];

    public List<Arm> Arms { get; } = [];

    public List<Harvest> Harvests { get; } = [];

    public List<GraceWait> GraceWaits { get; } = [];

    /// <summary>Harvests that had begun and not ended when the recording did.</summary>
    public int OpenHarvests { get; set; }

    public int HarvestBegins { get; set; }

    public int SlotChanges { get; set; }

    public int Unmaps { get; set; }

    public ulong UnmappedBytes { get; set; }

    public ulong ArenaGrowthBytes { get; set; }

    /// <summary>Backing trouble and refused memory, in the library's words.</summary>
    public List<string> Troubles { get; } = [];

    /// <summary>Events of the provider that this program does not know, by number.</summary>
    public SortedDictionary<int, int> Unknown { get; } = [];

    public long Events { get; set; }
}
