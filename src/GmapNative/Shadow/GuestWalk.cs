using System.Runtime.CompilerServices;

namespace GmapNative.Shadow;

/// <summary>One entry that a walk read, and where.</summary>
internal readonly record struct GuestStep(ulong Address, ulong Entry, GuestTable Level)
{
    /// <summary>log2 of the inner range that the 4 KB of storage around the entry describe: what hangs on that page.</summary>
    public int PageSpanShift => GuestTables.PageSpanShiftOf(Level);
}

/// <summary>What a walk of a guest's tables found. A plain value: 5 steps at most, no memory besides it.</summary>
internal struct GuestWalk
{
    public const int MostSteps = 5;

    private Steps _steps;

    /// <summary>0, or a program-interruption code, or the negative status that storage answered.</summary>
    public int Code;

    /// <summary>
    /// Where the address leads, also when a store is refused for P (<see cref="Code"/> 0x04). Only with <see cref="LeafShift"/>.
    /// </summary>
    public ulong Real;

    /// <summary>log2 of what the last entry maps: 12, 20, 31 (31 for a real space); 0 where the walk did not come to an end.</summary>
    public int LeafShift;

    /// <summary>P was set on the way, where it counts: no stores.</summary>
    public bool IsProtected;

    /// <summary>Where the last entry is that was read, or could not be read; 0 where none was looked at.</summary>
    public ulong EntryAddress;

    /// <summary>Entries that were read, the one that ended the walk included.</summary>
    public int StepCount { get; private set; }

    /// <summary>The entries in the order of the walk, from the top table.</summary>
    public readonly GuestStep this[int index] => _steps[index];

    public void Add(GuestStep step) => _steps[StepCount++] = step;

    [InlineArray(MostSteps)]
    private struct Steps
    {
        private GuestStep _first;
    }
}
