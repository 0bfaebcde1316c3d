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

    /// <summary>
    /// Whether leaves may be of 2 GB, for which no slot here is large enough: region-third tables have places for deposits.
    /// </summary>
    public required bool HasDeposits { get; init; }

    /// <summary>What those take.</summary>
    public ulong DepositBytes => HasDeposits ? (ulong)Model.ThirdTables << 14 : 0;

    public List<VcpuState> Vcpus { get; } = [];

    public List<BackingState> Backings { get; } = [];

    public Counts Counts { get; } = new();

    /// <summary>The last figures: counters only rise.</summary>
    public SpaceStats Last { get; set; }

    public required int MostShadows { get; init; }

    /// <summary>Whether what shadows may take is little, so that they empty each other.</summary>
    public required bool HasLittleForShadows { get; init; }

    /// <summary>Shadows that are open, or are below one that is.</summary>
    public List<ShadowState> Shadows { get; } = [];

    /// <summary>Whether there was ever one.</summary>
    public bool IsNested { get; set; }

    /// <summary>Pages in which shadows found tables.</summary>
    public HashSet<ulong> TablePages { get; } = [];

    /// <summary>Those of them that were stored to since in a way that the engine cannot see.</summary>
    public HashSet<ulong> UntoldPages { get; } = [];
}

/// <summary>A shadow: the space of a guest's guest.</summary>
internal sealed class ShadowState
{
    public required ulong Handle { get; set; }

    public required SpaceState Root { get; init; }

    /// <summary>The shadow in whose guest the tables are; null: in the root.</summary>
    public required ShadowState? Below { get; init; }

    public required ulong Asce { get; init; }

    public required uint Edat { get; init; }

    /// <summary>How often it was opened and not closed.</summary>
    public int Opened { get; set; }

    public uint Depth => Below is null ? 1 : Below.Depth + 1;

    /// <summary>The bits of the ASCE that translation looks at.</summary>
    public ulong Significant => SignificantOf(Asce);

    /// <summary>Pages of the inner guest that tables were made for.</summary>
    public List<ulong> Known { get; } = [];

    public int Vcpus { get; set; }

    public static ulong SignificantOf(ulong asce) => (asce & 0x20) != 0 ? 0x20 : asce & ~0xED0UL;
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
    public long Notifiers;
    public long GrantedInline; // by the header's fast path, which the engine does not see
}

internal sealed class VcpuState
{
    public required ulong Handle { get; init; }

    /// <summary>The space whose memory it uses.</summary>
    public required SpaceState Space { get; init; }

    /// <summary>Null, or the shadow over that space that it runs in.</summary>
    public ShadowState? Shadow { get; init; }

    /// <summary>The view's words; 0: opened without.</summary>
    public required nint View { get; init; }

    /// <summary>Whether the inline header was told to be one that the library speaks.</summary>
    public required bool Speaks { get; init; }

    /// <summary>Whether it belongs to the thread that runs the program; else to the one that only opens and faults.</summary>
    public bool IsOwn { get; set; }

    public bool IsOpen { get; set; } = true;

    /// <summary>Pages that became dirty through it.</summary>
    public long Granted { get; set; }

    /// <summary>Pages that may count beside them.</summary>
    public long MayCount { get; set; }

    /// <summary>The header's twin; null without a view.</summary>
    public InlineWriter? Inline { get; init; }

    public bool IsInside => Inline is { IsInside: true };
}

internal sealed class NotifierState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }
}

internal sealed class BackingState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }

    public required uint Slot { get; init; }

    public required ulong Host { get; init; }

    public required ulong Size { get; init; }

    /// <summary>Of pages that come later.</summary>
    public bool IsOfMissing { get; init; }

    /// <summary>False when its slot or its space is gone, and took it along.</summary>
    public bool IsAttached { get; set; } = true;
}
