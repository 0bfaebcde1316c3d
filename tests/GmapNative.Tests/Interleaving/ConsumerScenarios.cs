using System.Collections.Generic;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, with consumers: each has an image of its own (rule 25).</summary>
internal static class ConsumerScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    public static Scenario AndHarvest { get; } = new(
        "a writer, a harvest, an epoch", a => a.Write(3), b => b.Harvest(), c => c.Epoch(0))
    {
        Before = world => Joined(world, 3),
    };

    /// <summary>The page is dirty before the consumer comes: that store is not of its history.</summary>
    public static Scenario OpenAndWriter { get; } = new(
        "a writer, a consumer opens and begins",
        a => a.Write(9),
        b =>
        {
            b.Open(0);
            b.Epoch(0);
        })
    {
        Before = world => Scenarios.Dirty(world, s_segment, 9),
        Bound = 3,
    };

    public static Scenario OpenAndCachedWriter { get; } = new(
        "a writer whose cache is warm, a consumer opens and begins",
        a =>
        {
            a.WriteCached(9);
            a.WriteCached(9);
        },
        b =>
        {
            b.Open(0);
            b.Epoch(0);
        })
    {
        Before = world =>
        {
            Scenarios.Clean(world, s_segment, 9);
            world.Actors[0].WriteCached(9);
        },
    };

    public static Scenario OpenAndMarker { get; } = new(
        "a device that marks, a consumer opens and begins",
        a =>
        {
            a.Mark(3);
            a.Mark(4);
        },
        b =>
        {
            b.Open(0);
            b.Epoch(0);
        })
    {
        Before = world => Scenarios.Clean(world, s_segment, 9),
        Bound = 3,
    };

    public static Scenario OpenAndHarvest { get; } = new(
        "a writer, a consumer opens and begins, a harvest",
        a => a.Write(3),
        b =>
        {
            b.Open(0);
            b.Epoch(0);
        },
        c => c.Harvest())
    {
        Before = world => Scenarios.Dirty(world, s_segment, 3),
    };

    public static Scenario CloseAndMarker { get; } = new(
        "a device that marks, a consumer closes, an epoch of another",
        a =>
        {
            a.Mark(3);
            a.Mark(4);
        },
        b => b.Close(0),
        c => c.Epoch(1))
    {
        Before = world => Joined(world, 9),
    };

    /// <summary>An epoch that begins while the slot ends has what was written before it began, though no harvest would find it.</summary>
    public static Scenario DeletionAndCachedWriter { get; } = new(
        "a writer whose cache is warm, a slot ends, an epoch",
        a => a.WriteCached(3),
        b => b.SetWithFinal(new SlotRequest { Id = 1 }),
        c => c.Epoch(0))
    {
        Before = world =>
        {
            Joined(world, 9);
            world.Actors[0].WriteCached(3);
        },
    };

    public static Scenario LoggingEnds { get; } = new(
        "a writer, logging ends, an epoch",
        a => a.Write(3),
        b => b.SetWithFinal(World.Slot(1, 0, 256, log: false)),
        c => c.Epoch(0))
    {
        Before = world => Joined(world, 9),
    };

    /// <summary>The epoch finds nothing in the tables, and in the log what the unmap poured before it ended the cached right.</summary>
    public static Scenario UnmapAndCachedWriter { get; } = new(
        "a writer whose cache is warm, unmap, an epoch",
        a => a.WriteCached(3),
        b => b.Unmap(0, 256),
        c => c.Epoch(0))
    {
        Before = DeletionAndCachedWriter.Before,
    };

    public static Scenario TwoBegins { get; } = new(
        "a writer, epochs of two consumers", a => a.Write(3), b => b.Epoch(0), c => c.Epoch(1))
    {
        Before = world => Joined(world, 9),
    };

    public static Scenario TwoFreezingBegins { get; } = TwoBegins with
    {
        Name = "a writer, epochs of two consumers that freeze",
        FreezesFrom = 1,
    };

    public static Scenario AbortAndWriter { get; } = new(
        "a writer, an epoch that is aborted and one that is not",
        a => a.Write(3),
        b =>
        {
            b.Epoch(0, aborts: true);
            b.Epoch(0);
        })
    {
        Before = world => Joined(world, 3),
    };

    /// <summary>One leaves the marks in the tables, the other takes them.</summary>
    public static Scenario KeptAndTaken { get; } = new(
        "a writer, an epoch that leaves the marks, an epoch of another",
        a => a.Write(3),
        b => b.Epoch(0, rearm: false),
        c => c.Epoch(1))
    {
        Before = world => Joined(world, 3),
    };

    /// <summary>Pages in the middle of a run go while they are read, and are written afterwards.</summary>
    public static Scenario ReadAndDiscard { get; } = new(
        "a discard, an epoch that is read, a writer of what was discarded",
        a => a.Discard(4, 2),
        b => b.EpochBesideDiscard(0, 4, 5),
        c =>
        {
            c.AwaitDiscard();
            c.Write(4);
            c.Write(5);
        })
    {
        Before = world => Joined(world, 3, 4, 5, 6, 70, 200),
    };

    public static IEnumerable<Scenario> All =>
    [
        AndHarvest, OpenAndWriter, OpenAndCachedWriter, OpenAndMarker, OpenAndHarvest, CloseAndMarker,
        DeletionAndCachedWriter, LoggingEnds, UnmapAndCachedWriter, TwoBegins, TwoFreezingBegins, AbortAndWriter, KeptAndTaken,
        ReadAndDiscard,
    ];

    /// <summary>Two consumers, and these pages are dirty for everybody.</summary>
    private static void Joined(World world, params int[] pages)
    {
        Scenarios.Clean(world, s_segment, 100);
        world.Open(0);
        world.Open(1);
        foreach (int page in pages)
        {
            world.Actors[2].Write(page);
        }
    }
}
