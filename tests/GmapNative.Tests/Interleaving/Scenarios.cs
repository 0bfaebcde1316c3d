using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>The small worlds in which the schedules are enumerated.</summary>
internal static class Scenarios
{
    private const ulong Wide = (4UL << 30) - 1;
    private const ulong Narrow = TestSpace.TwoGigabytes - 1;

    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    public static Scenario WriterAndHarvest { get; } = new("a writer, a harvest", a => a.Write(3), b => b.Harvest())
    {
        Before = world => Dirty(world, s_segment, 9),
        Bound = 3,
    };

    public static Scenario WriterTwiceAndHarvest { get; } = new(
        "a writer of two stores in a section, harvests",
        a =>
        {
            a.Enter();
            a.WriteInside(3);
            a.WriteInside(3);
            a.Leave();
        },
        b =>
        {
            b.Harvest();
            b.Harvest();
        })
    {
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario TwoWritersAndHarvest { get; } = new(
        "two writers of a page, a harvest", a => a.Write(3), b => b.Write(3), c => c.Harvest())
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario WriterOfALine { get; } = new(
        "two writers of a line of entries, a harvest", a => a.Write(3), b => b.Write(4), c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario CachedWriter { get; } = new(
        "a writer with a translation cache, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Harvest())
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario CachedWriterGoesOn { get; } = new(
        "a writer whose cache is warm, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Harvest())
    {
        Before = world =>
        {
            Clean(world, s_segment, 3);
            world.Actors[0].WriteCached(3);
        },
    };

    public static Scenario BufferedEnter { get; } = CachedWriterGoesOn with
    {
        Name = "a writer whose enter stays in its store buffer, a harvest",
        BuffersStores = true,
    };

    public static Scenario FaultsAndHarvest { get; } = new(
        "two first writers of a page in the library, a harvest", a => a.Write(3), b => b.Write(3), c => c.Harvest())
    {
        // Not a leaf: the pages are installed one by one, by the library.
        Options = new SpaceOptions { Limit = Narrow, Huge = false },
        Before = world => world.Set(s_segment),
    };

    public static Scenario HostWriterAndHarvest { get; } = new(
        "gmap_write, a harvest", a => a.HostWrite(3), b => b.Harvest())
    {
        Before = world => Dirty(world, s_segment, 9),
        Bound = 3,
    };

    public static Scenario MarkerAndHarvest { get; } = new(
        "a device that marks, harvests",
        a =>
        {
            a.Mark(3);
            a.Mark(4);
        },
        b => b.Harvest())
    {
        Before = world => Clean(world, s_segment, 9),
        Bound = 3,
    };

    public static Scenario RangeMarkerAndHarvest { get; } = new(
        "a device that marks whole words, a device that marks, harvests",
        a => a.MarkRun(60, 132, 70),
        b => b.Mark(71),
        c =>
        {
            c.Harvest();
            c.Harvest();
        })
    {
        Before = world => Clean(world, s_segment, 9),
    };

    public static Scenario MarkersOfAPage { get; } = new(
        "two devices that mark one page, a harvest", a => a.Mark(3), b => b.Mark(3), c => c.Harvest())
    {
        Before = world => Clean(world, s_segment, 9),
    };

    public static Scenario TwoHarvests { get; } = new(
        "a writer, two harvests", a => a.Write(3), b => b.Harvest(), c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 9),
    };

    public static Scenario HarvestAndGetClear { get; } = new(
        "a writer, get and clear, a harvest", a => a.Write(3), b => b.GetAndClear(), c => c.Harvest())
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario GetAndWriter { get; } = new(
        "a writer, a get, a harvest", a => a.Write(3), b => b.Get(), c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario KeptHarvest { get; } = new(
        "a writer, a harvest that leaves the marks, a harvest",
        a => a.Write(3),
        b => b.Harvest(flags: HarvestFlags.NoRearm),
        c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario TwoSplits { get; } = new(
        "two writers split a leaf, a harvest", a => a.Write(3), b => b.Write(200), c => c.Harvest())
    {
        Before = world => Leaf(world, s_segment),
    };

    public static Scenario SplitAndUnmap { get; } = new(
        "a writer splits a leaf, unmap, a harvest", a => a.Write(3), b => b.Unmap(0, 256), c => c.Harvest())
    {
        Before = world => Leaf(world, s_segment),
    };

    public static Scenario DirtyLeaf { get; } = new(
        "a dirty leaf (policy never), unmap, a harvest",
        a => a.Write(3),
        b => b.Unmap(0, 256),
        c => c.Harvest())
    {
        Options = new SpaceOptions { Limit = Narrow, Policy = SplitPolicy.Never },
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario TwoWritersOfALeaf { get; } = new(
        "two writers of a leaf (policy never), a harvest", a => a.Write(3), b => b.Write(4), c => c.Harvest())
    {
        Options = new SpaceOptions { Limit = Narrow, Policy = SplitPolicy.Never },
        Before = world => Leaf(world, s_segment),
    };

    public static Scenario CrossingWriter { get; } = new(
        "a store across two pages, a harvest", a => a.WriteAcross(4), b => b.Harvest())
    {
        Before = world => Dirty(world, s_segment, 9),
    };

    public static Scenario CollapseAndWriter { get; } = new(
        "a writer, a collapse, a harvest", a => a.Write(3), b => b.Collapse(0, 256), c => c.Harvest())
    {
        Before = world =>
        {
            Leaf(world, s_segment);
            world.Actors[2].Write(9);
            _ = world.Harvest(1);
        },
    };

    public static Scenario CollapseOfADirtyTable { get; } = new(
        "a collapse of a dirty table, a harvest", a => a.Collapse(0, 256), b => b.Harvest())
    {
        Before = world => Dirty(world, s_segment, TestSpace.Range(0, 256)),
    };

    public static Scenario CollapseOfAMixedTable { get; } = new(
        "a collapse of a table with one dirty page, a harvest", a => a.Collapse(0, 256), b => b.Harvest())
    {
        Before = world =>
        {
            Leaf(world, s_segment);
            world.Actors[2].Write(0);
        },
    };

    public static Scenario SplitOfADirtyLeaf { get; } = new(
        "a split of a dirty leaf, a harvest", a => a.Split(0, 256), b => b.Harvest())
    {
        Before = world =>
        {
            Dirty(world, s_segment, TestSpace.Range(0, 256));
            world.Actors[2].Collapse(0, 256);
        },
    };

    public static Scenario AgingAndWriter { get; } = new(
        "a writer, aging, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Age(0, 256),
        c => c.Harvest())
    {
        Before = world => Clean(world, s_segment, 3, 9),
    };

    public static Scenario UnmapWriterHarvest { get; } = new(
        "a writer, unmap of the segment, a harvest", a => a.Write(3), b => b.Unmap(0, 256), c => c.Harvest())
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario UnmapPage { get; } = new(
        "a writer, unmap of a page, a harvest", a => a.Write(3), b => b.Unmap(3, 1), c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 3),
    };

    public static Scenario UnmapAndReader { get; } = new(
        "a reader, unmap of the segment", a => a.Read(3), b => b.Unmap(0, 256))
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario ArmingAndWriter { get; } = new(
        "a writer, logging begins, a harvest",
        a =>
        {
            a.Write(3);
            a.Write(4);
        },
        b =>
        {
            b.Arm(s_segment);
            b.Harvest();
        })
    {
        Before = world => Before(world, World.Slot(1, 0, 256, log: false), 3, 9),
    };

    public static Scenario DisarmingAndWriter { get; } = new(
        "a writer, logging ends, a harvest",
        a => a.Write(3),
        b => b.SetWithFinal(World.Slot(1, 0, 256, log: false)),
        c => c.Harvest())
    {
        Before = world => Dirty(world, s_segment, 9),
    };

    public static Scenario LimitAndWalkers { get; } = new(
        "the limit rises and falls, a writer",
        a =>
        {
            a.Write(3);
            a.Write(3);
        },
        b =>
        {
            b.SetLimit(Wide);
            b.SetLimit(Narrow);
        })
    {
        Before = world => Clean(world, s_segment, 3),
    };

    public static Scenario DeletionAndFault { get; } = new(
        "a slot ends, a writer faults", a => a.Write(3), b => b.SetWithFinal(new SlotRequest { Id = 1 }))
    {
        Before = world => world.Set(s_segment),
        Bound = 3,
    };

    public static Scenario SharedLine { get; } = new(
        "two slots in one line of entries, a writer, a harvest of each",
        a => a.Write(4),
        b => b.Harvest(1),
        c => c.Harvest(2))
    {
        Before = world =>
        {
            world.Set(World.Slot(2, 4, 252));
            Dirty(world, World.Slot(1, 0, 4), 3);
        },
    };

    public static IEnumerable<Scenario> All =>
    [
        .. FreezingScenarios.All, .. MissingScenarios.All, .. FormatScenarios.All, .. PopulateScenarios.All, .. AgainScenarios.All,
        .. GenerationScenarios.All, .. SlotScenarios.All, .. StripeScenarios.All,
        .. ConsumerScenarios.All, .. PgsteScenarios.All, .. WatchScenarios.All, .. RegionScenarios.All, .. ShadowScenarios.All,
        WriterAndHarvest, WriterTwiceAndHarvest, TwoWritersAndHarvest, WriterOfALine, CachedWriter, CachedWriterGoesOn, BufferedEnter,
        FaultsAndHarvest, HostWriterAndHarvest, MarkerAndHarvest,
        RangeMarkerAndHarvest, MarkersOfAPage, TwoHarvests, HarvestAndGetClear, GetAndWriter, KeptHarvest, TwoSplits,
        SplitAndUnmap, DirtyLeaf, TwoWritersOfALeaf, CrossingWriter, CollapseAndWriter, CollapseOfADirtyTable, CollapseOfAMixedTable,
        SplitOfADirtyLeaf, AgingAndWriter, UnmapWriterHarvest, UnmapPage, UnmapAndReader, ArmingAndWriter, DisarmingAndWriter,
        LimitAndWalkers, DeletionAndFault, SharedLine,
    ];

    /// <summary>The slot is there, and these pages are written and not yet harvested.</summary>
    internal static void Dirty(World world, SlotRequest slot, params int[] pages) => Before(world, slot, pages);

    /// <summary>The slot is there, and these pages are mapped, one by one, and clean.</summary>
    internal static void Clean(World world, SlotRequest slot, params int[] pages)
    {
        Before(world, slot, pages);
        _ = world.Harvest(slot.Id);
    }

    /// <summary>The slot is there, and its first segment is one clean leaf.</summary>
    private static void Leaf(World world, SlotRequest slot)
    {
        world.Set(slot);
        world.Actors[2].ReadMapped(0);
    }

    private static void Before(World world, SlotRequest slot, params int[] pages)
    {
        world.Set(slot);
        foreach (int page in pages)
        {
            world.Actors[2].Write(page);
        }
    }
}
