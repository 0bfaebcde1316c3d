using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, with shadows of a guest's guest (rules 34 to 36).</summary>
internal static class ShadowScenarios
{
    private const Protection Free = Protection.Read | Protection.Write;

    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);
    private static readonly SpaceOptions s_leaves = new() { Limit = TestSpace.TwoGigabytes - 1, Policy = SplitPolicy.Never };
    private static readonly SpaceOptions s_one = new() { Limit = TestSpace.TwoGigabytes - 1, MostShadows = 1 };

    public static Scenario InstallAndHarvest { get; } = new(
        "a shadow maps a page that is dirty, a harvest takes it without the lock",
        a =>
        {
            a.InnerWrite(3);
            a.InnerWrite(3);
        },
        b => b.Harvest())
    {
        Before = world => Warm(world, 3),
    };

    /// <summary>The entry is there, and cached by who stores.</summary>
    public static Scenario CachedWriterAndHarvest { get; } = new(
        "an inner writer whose cache is warm, a harvest",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b => b.Harvest())
    {
        Before = world =>
        {
            Warm(world, 3);
            world.Actors[0].InnerWriteCached(3);
        },
    };

    public static Scenario InstallAndFreeze { get; } = new(
        "a shadow maps a page of a segment that is about to be frozen", InstallAndHarvest.Threads)
    {
        FreezesFrom = 1,
        Before = InstallAndHarvest.Before,
    };

    /// <summary>The outer guest has granted itself the page, and has not set its summary bit.</summary>
    public static Scenario InstallAndWriter { get; } = new(
        "an outer writer of a page that a shadow maps, a harvest",
        a => a.Write(3),
        b =>
        {
            b.InnerRead(3);
            b.InnerWrite(3);
            b.Harvest();
        })
    {
        Before = world =>
        {
            Warm(world, 9);
            _ = world.Harvest(1);
            world.Actors[2].ReadMapped(3);
        },
    };

    public static Scenario TwoHarvests { get; } = new(
        "an inner writer whose cache is warm, two harvests",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b => b.Harvest(),
        c => c.Harvest())
    {
        Before = CachedWriterAndHarvest.Before,
    };

    public static Scenario Unmapping { get; } = new(
        "an inner writer, its page is unmapped, a harvest",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b =>
        {
            b.UnmapGone(3);
            b.Harvest();
        })
    {
        Before = CachedWriterAndHarvest.Before,
    };

    public static Scenario Cancelling { get; } = new(
        "an inner writer, a host arms and cancels the same, a harvest",
        a =>
        {
            a.InnerWrite(3);
            a.InnerWrite(3);
        },
        b =>
        {
            b.Protect(3, Free, NotifyFlags.Change);
            b.Protect(3, Free, NotifyFlags.Change | NotifyFlags.Cancel);
            b.Harvest();
        })
    {
        Before = world =>
        {
            Warm(world, 3);
            world.Actors[2].InnerWrite(3);
        },
    };

    public static Scenario RestrictingAnInstall { get; } = new(
        "a shadow maps a page, writing is forbidden",
        a =>
        {
            a.InnerWrite(3);
            a.InnerWrite(3);
        },
        b => b.Protect(3, Protection.Read, NotifyFlags.None))
    {
        Before = world => Warm(world, 3),
    };

    public static Scenario Deletion { get; } = new(
        "an inner writer, the slot of its memory ends",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b => b.EndSlot(1, 3))
    {
        Before = CachedWriterAndHarvest.Before,
    };

    public static Scenario DeletionAndInstall { get; } = new(
        "a shadow maps a page, its slot ends",
        a => a.InnerWrite(3),
        b => b.EndSlot(1, 3))
    {
        Before = world => Warm(world, 3),
    };

    public static Scenario Sessions { get; } = new(
        "two shadows where there is room for one, a harvest",
        a => a.InnerSession(Inner.First, 3),
        b => b.InnerSession(Inner.Real, 3),
        c => c.Harvest())
    {
        Options = s_one,
        Before = world =>
        {
            Scenarios.Dirty(world, s_segment, 3);
            world.PlantTables();
        },
    };

    public static Scenario SameShadowTwice { get; } = new(
        "the same shadow is opened by two, and closed",
        a => a.InnerSession(Inner.Real, 3),
        b => b.InnerSession(Inner.Real, 7))
    {
        Before = world => Scenarios.Dirty(world, s_segment, 3),
    };

    public static Scenario Nested { get; } = new(
        "a shadow of a shadow, an entry of the lower guest is rewritten",
        a =>
        {
            a.InnerWriteCached(3, Inner.Second);
            a.InnerWriteCached(3, Inner.Second);
        },
        b => b.Rewrite(World.PageTable, 3, 7))
    {
        Before = world =>
        {
            Warm(world, 3);
            world.OpenShadow(Inner.Second);
            world.Actors[0].InnerWriteCached(3, Inner.Second);
        },
    };

    public static Scenario NestedHarvest { get; } = new(
        "a shadow of a shadow and the one below write the same page, a harvest",
        a => a.InnerWriteCached(3, Inner.Second),
        b => b.InnerWriteCached(3),
        c => c.Harvest())
    {
        Before = world =>
        {
            Nested.Before(world);
            world.Actors[1].InnerWriteCached(3);
        },
    };

    /// <summary>Where leaves are never split there are no tables to be shadowed, but there is real space.</summary>
    public static Scenario LeafAndHarvest { get; } = new(
        "a shadow maps a leaf by a leaf, a harvest",
        a =>
        {
            a.InnerWriteCached(3, Inner.Real);
            a.InnerWriteCached(3, Inner.Real);
        },
        b => b.Harvest())
    {
        Options = s_leaves,
        Before = world =>
        {
            world.Set(s_segment);
            world.Actors[2].Write(9); // a dirty leaf
            world.OpenShadow(Inner.Real);
        },
    };

    public static Scenario LeafAndWriter { get; } = new(
        "an outer writer of a leaf that a shadow maps, a harvest",
        a => a.Write(3),
        b =>
        {
            b.InnerRead(7, Inner.Real);
            b.InnerWrite(7, Inner.Real);
            b.Harvest();
        })
    {
        Options = s_leaves,
        Before = world =>
        {
            world.Set(s_segment);
            world.Actors[2].ReadMapped(9);
            world.OpenShadow(Inner.Real);
        },
    };

    public static Scenario LeafAndSplit { get; } = new(
        "a shadow maps a leaf by a leaf, which is split by hand, a harvest",
        a =>
        {
            a.InnerReadCached(7, leaf: true);
            a.InnerWriteCached(3, leaf: true);
            a.InnerWriteCached(3, leaf: true);
        },
        b =>
        {
            b.Split(0, 256);
            b.Harvest();
        })
    {
        Before = world => Leaf(world),
    };

    /// <summary>The leaf of the shadow goes for a page, and what was cached of it must not outlive what still hangs there.</summary>
    public static Scenario LeafForAPage { get; } = new(
        "an inner reader of a leaf whose cache is warm, a store splits it, the page that was read is unmapped",
        a =>
        {
            a.InnerReadCached(7, leaf: true);
            a.InnerReadCached(7, leaf: true);
        },
        b =>
        {
            b.InnerWrite(3, leaf: true);
            b.UnmapGone(7);
        })
    {
        Before = world =>
        {
            Leaf(world);
            world.Actors[0].InnerReadCached(7, leaf: true);
        },
    };

    public static Scenario Room { get; } = new(
        "an inner writer whose cache is warm, its shadow is emptied for others, a harvest",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b => b.EmptyOldest(),
        c => c.Harvest())
    {
        Before = world =>
        {
            CachedWriterAndHarvest.Before(world);
            world.OpenShadow(Inner.Real); // for whom room is made
        },
    };

    public static IEnumerable<Scenario> All =>
    [
        InstallAndHarvest, CachedWriterAndHarvest, InstallAndFreeze, InstallAndWriter, TwoHarvests, Unmapping, Cancelling,
        RestrictingAnInstall, Deletion, DeletionAndInstall, Sessions, SameShadowTwice, Nested, NestedHarvest,
        LeafAndHarvest, LeafAndWriter, LeafAndSplit, LeafForAPage, Room, .. ShadowTableScenarios.All,
    ];

    /// <summary>These pages are dirty; the tables are armed, and what is mapped by them lies in another segment.</summary>
    public static void Warm(World world, params int[] pages)
    {
        Scenarios.Dirty(world, s_segment, pages);
        WarmTables(world);
    }

    private static void WarmTables(World world)
    {
        world.PlantTables();
        world.OpenShadow(Inner.First);
        world.Actors[2].InnerRead(4);
    }

    /// <summary>These pages are dirty; the table is, too, and nobody has walked it.</summary>
    public static void Cold(World world, params int[] pages)
    {
        Scenarios.Dirty(world, s_segment, pages);
        world.PlantTables();
        world.Actors[2].Write(World.SegmentTable);
        world.Actors[2].Write(World.PageTable);
        world.OpenShadow(Inner.First);
    }

    /// <summary>The first segment is a clean leaf, which nobody maps.</summary>
    private static void Leaf(World world)
    {
        world.Set(s_segment);
        world.Actors[2].ReadMapped(0);
        WarmTables(world);
    }
}
