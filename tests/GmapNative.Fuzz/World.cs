using System.Collections.Generic;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>What an engine does when a reader does not leave.</summary>
internal enum Patience
{
    /// <summary>It waits for ever: no foreign view may be left inside.</summary>
    Endless,

    /// <summary>It gives up soon, and nobody is told.</summary>
    Short,

    /// <summary>It tells, and who is told leaves.</summary>
    Kicks,
}

internal sealed class EngineState
{
    public required ulong Handle { get; init; }

    /// <summary>Whether an allocation may fail: the arena is small, or has to be locked.</summary>
    public required bool IsTight { get; init; }

    public required Patience Patience { get; init; }

    public List<SpaceState> Spaces { get; } = [];
}

internal sealed class SpaceState
{
    public required ulong Handle { get; init; }

    public required EngineState Engine { get; init; }

    public required ReferenceSpace Model { get; init; }

    public required bool Huge { get; init; }

    public required bool Splits { get; init; }

    public List<VcpuState> Vcpus { get; } = [];

    public List<BackingState> Backings { get; } = [];

    public Counts Counts { get; } = new();

    /// <summary>The last figures: counters only rise.</summary>
    public SpaceStats Last { get; set; }
}

/// <summary>What is counted beside the model.</summary>
internal sealed class Counts
{
    public long ReadFaults;
    public long WriteFaults;
    public long Conditions;
    public long Harvests;
    public long Harvested;
    public long Epochs;
    public long GrantedInline; // by the header's fast path, which the engine does not see
}

internal sealed class VcpuState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }

    /// <summary>The view's words; 0: opened without.</summary>
    public required nint View { get; init; }

    /// <summary>Whether the inline header was told to be one that the library speaks.</summary>
    public required bool Speaks { get; init; }

    /// <summary>Whether it belongs to the thread that runs the program; else to the one that only opens and faults.</summary>
    public bool IsOwn { get; set; }

    public bool IsOpen { get; set; } = true;

    /// <summary>Pages that became dirty through it.</summary>
    public long Granted { get; set; }

    /// <summary>The header's twin; null without a view.</summary>
    public InlineWriter? Inline { get; init; }

    public bool IsInside => Inline is { IsInside: true };
}

internal sealed class BackingState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }

    public required uint Slot { get; init; }

    public required ulong Host { get; init; }

    public required ulong Size { get; init; }

    /// <summary>False when its slot or its space is gone, and took it along.</summary>
    public bool IsAttached { get; set; } = true;
}
