using System.Collections.Generic;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>A slot that logs is moved or resized beside writers: what had been stored is in its last bits (rules 10, 18 and 19).</summary>
internal static class SlotScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    /// <summary>One writes where the slot was and where it comes to, one where it was, by a cached right.</summary>
    public static Scenario MoveAndWriters { get; } = new(
        "a writer of both places, a writer whose cache is warm, a slot moves, a harvest",
        a =>
        {
            a.Write(4);
            a.Write(260);
        },
        b =>
        {
            b.WriteCached(3);
            b.WriteCached(3);
        },
        c =>
        {
            c.Change(World.Slot(1, 256, 256));
            c.Harvest();
        })
    {
        Before = Warm,
    };

    /// <summary>One writes a page that stays and one that goes, one a page that stays, by a cached right.</summary>
    public static Scenario ResizeAndWriters { get; } = new(
        "a writer of what stays and of what goes, a writer whose cache is warm, a slot is resized, a harvest",
        a =>
        {
            a.Write(200);
            a.Write(4);
        },
        b =>
        {
            b.WriteCached(3);
            b.WriteCached(3);
        },
        c =>
        {
            c.Change(World.Slot(1, 0, 128));
            c.Harvest();
        })
    {
        Before = Warm,
    };

    public static IEnumerable<Scenario> All => [MoveAndWriters, ResizeAndWriters];

    /// <summary>Page 9 is written and not harvested, page 3 is clean, and the second thread has it in its cache.</summary>
    private static void Warm(World world)
    {
        Scenarios.Clean(world, s_segment, 3);
        world.Actors[2].Write(9);
        world.Actors[1].WriteCached(3);
    }
}
