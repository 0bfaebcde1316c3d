using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>Logging that begins with every page dirty (rule 19), and a device with a log of its own (rule 15).</summary>
internal static class FormatScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);
    private static readonly SlotRequest s_unlogged = World.Slot(1, 0, 256, log: false);

    /// <summary>The leaf is writable before, and stays so until somebody takes its pages.</summary>
    public static Scenario InitiallySetAndWriter { get; } = new(
        "a writer, logging begins with every page set, get and clear",
        a =>
        {
            a.Write(3);
            a.Write(4);
        },
        b =>
        {
            b.Arm(s_segment with { InitiallyDirty = true });
            b.GetAndClear();
        })
    {
        Before = world => Written(world, 3, 9),
    };

    /// <summary>The same by a cached right, which only the clear ends.</summary>
    public static Scenario InitiallySetAndCache { get; } = new(
        "a writer whose cache is warm, logging begins with every page set, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b =>
        {
            b.Arm(s_segment with { InitiallyDirty = true });
            b.Harvest();
        })
    {
        Before = world =>
        {
            Written(world, 3);
            world.Actors[0].WriteCached(3);
        },
    };

    /// <summary>Pages of a table of which some are armed from an earlier time of logging: the header grants them.</summary>
    public static Scenario InitiallySetAndTable { get; } = new(
        "two writers of a table, logging begins again with every page set, a harvest",
        a => a.Write(3),
        b => b.Write(4),
        c =>
        {
            c.Arm(s_segment with { InitiallyDirty = true });
            c.Harvest();
        })
    {
        Options = new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1, Huge = false }, // or the end of logging would collapse it
        Before = world =>
        {
            world.Set(s_segment);
            world.Actors[2].Write(3);
            world.Actors[2].Write(4);
            _ = world.Harvest(1);
            world.Set(s_unlogged);
        },
    };

    /// <summary>A fault that is in flight when logging begins installs its leaf dirty, though it only reads.</summary>
    public static Scenario InitiallySetAndFault { get; } = new(
        "a reader faults, logging begins with every page set, a harvest",
        a => a.ReadMapped(3),
        b => b.Arm(s_segment with { InitiallyDirty = true }),
        c =>
        {
            c.Harvest();
            c.Harvest();
        })
    {
        Before = world =>
        {
            world.Set(s_unlogged);
            world.Know(3);
        },
        Bound = 3,
    };

    /// <summary>Two pages of one word of the log.</summary>
    public static Scenario DeviceAndDrain { get; } = new(
        "a device with a log of its own, a drain and a harvest, another harvest",
        a => a.WriteLogged(4),
        b => b.DrainAndHarvest(),
        c => c.Harvest())
    {
        Before = world =>
        {
            world.Set(s_segment);
            world.Actors[0].WriteLogged(3);
        },
    };

    public static IEnumerable<Scenario> All =>
        [InitiallySetAndWriter, InitiallySetAndCache, InitiallySetAndTable, InitiallySetAndFault, DeviceAndDrain];

    private static void Written(World world, params int[] pages)
    {
        world.Set(s_unlogged);
        foreach (int page in pages)
        {
            world.Actors[2].Write(page);
        }
    }
}
