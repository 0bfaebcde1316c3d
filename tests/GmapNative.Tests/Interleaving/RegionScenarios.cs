using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, with a leaf of 2 GB (rule 33). The pages of it that are written are its first ones.</summary>
internal static class RegionScenarios
{
    /// <summary>Of three threads: a schedule costs several of those of smaller slots, whose logs are not of 64 KB.</summary>
    private const int Preemptions = 1;

    private const ulong Wide = (4UL << 30) - 1;
    private const ulong Narrow = (2UL << 30) - 1;

    private static readonly SpaceOptions s_splits = new() { Limit = Wide, Huge2G = true };
    private static readonly SpaceOptions s_whole = new() { Limit = Wide, Huge2G = true, Policy = SplitPolicy.Never };
    private static readonly SlotRequest s_slot = World.Slot(1, 0, World.RegionPages);
    private static readonly SlotRequest s_unlogged = World.Slot(1, 0, World.RegionPages, log: false);

    public static Scenario TwoSplits { get; } = new(
        "two writers split a 2 GB leaf, a harvest", a => a.Write(3), b => b.Write(300), c => c.Harvest())
    {
        Options = s_splits,
        Before = Leaf,
        Bound = Preemptions,
    };

    /// <summary>The leaf logs and is dirty: its pages were reported by a harvest that leaves the marks.</summary>
    public static Scenario SplitOfADirtyLeaf { get; } = new(
        "a writer of a dirty 2 GB leaf, a split of it, a harvest", a => a.Write(3), b => b.Split(0, 256), c => c.Harvest())
    {
        Options = s_splits,
        Before = DirtyLeaf,
        Bound = Preemptions,
    };

    public static Scenario SplitAndTwoHarvests { get; } = new(
        "a split of a dirty 2 GB leaf, two harvests", a => a.Split(256, 1), b => b.Harvest(), c => c.Harvest())
    {
        Options = s_splits,
        Before = DirtyLeaf,
        Bound = Preemptions,
    };

    public static Scenario SplitAndUnmap { get; } = new(
        "a writer splits a 2 GB leaf, unmap of all of it, a harvest",
        a => a.Write(3), b => b.Unmap(0, World.RegionPages), c => c.Harvest())
    {
        Options = s_splits,
        Before = Leaf,
        Bound = Preemptions,
    };

    public static Scenario UnmapOfAPart { get; } = new(
        "a writer of a dirty 2 GB leaf, unmap of a part, a harvest", a => a.Write(3), b => b.Unmap(3, 1), c => c.Harvest())
    {
        Options = s_splits,
        Before = DirtyLeaf,
        Bound = Preemptions,
    };

    /// <summary>The leaf is granted while it is split: by a slot that does not log.</summary>
    public static Scenario GrantAndSplit { get; } = new(
        "a writer of a 2 GB leaf that was armed, a split, logging begins again",
        a => a.Write(3),
        b => b.Split(0, 1),
        c =>
        {
            c.Arm(s_slot);
            c.Harvest();
        })
    {
        Options = s_splits,
        Before = world =>
        {
            Leaf(world);
            world.Test.Set(s_unlogged); // the leaf is armed still
        },
        Bound = Preemptions,
    };

    public static Scenario TwoWriters { get; } = new(
        "two writers of a 2 GB leaf (policy never), a harvest", a => a.Write(3), b => b.Write(300), c => c.Harvest())
    {
        Options = s_whole,
        Before = Leaf,
        Bound = Preemptions,
    };

    public static Scenario CachedWriter { get; } = new(
        "a writer with a cache of a 2 GB leaf (policy never), a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Harvest())
    {
        Options = s_whole,
        Before = world =>
        {
            Leaf(world);
            world.Actors[0].WriteCached(3);
        },
    };

    public static Scenario DirtyLeafAndUnmap { get; } = new(
        "a dirty 2 GB leaf (policy never), unmap, a harvest",
        a => a.Write(3), b => b.Unmap(0, World.RegionPages), c => c.Harvest())
    {
        Options = s_whole,
        Before = world =>
        {
            world.Set(s_slot);
            world.Actors[2].Write(3);
        },
        Bound = Preemptions,
    };

    public static Scenario GetAndClear { get; } = new(
        "a writer of a 2 GB leaf (policy never), get and clear, a harvest",
        a => a.Write(3), b => b.GetAndClear(), c => c.Harvest(flags: HarvestFlags.NoRearm))
    {
        Options = s_whole,
        Before = Leaf,
        Bound = Preemptions,
    };

    public static Scenario AgingAndWriter { get; } = new(
        "a writer of a 2 GB leaf (policy never), aging, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Age(0, 256),
        c => c.Harvest())
    {
        Options = s_whole,
        Before = Leaf,
        Bound = Preemptions,
    };

    public static Scenario ArmingAndWriter { get; } = new(
        "a writer of a 2 GB leaf, logging begins, a harvest",
        a =>
        {
            a.Write(3);
            a.Write(4);
        },
        b =>
        {
            b.Arm(s_slot);
            b.Harvest();
        })
    {
        Options = s_splits,
        Before = world =>
        {
            world.Set(s_unlogged);
            world.Actors[2].Write(3);
        },
    };

    public static Scenario DisarmingAndWriter { get; } = new(
        "a writer of a split 2 GB leaf, logging ends and collapses it, a harvest",
        a => a.Write(3), b => b.SetWithFinal(s_unlogged), c => c.Harvest())
    {
        Options = s_splits,
        Before = world =>
        {
            Leaf(world);
            world.Actors[2].Write(3); // a page table: a leaf would be granted as a whole, by who finds the slot not logging any more
            world.Actors[2].Write(300);
        },
        Bound = Preemptions,
    };

    public static Scenario TwoInstalls { get; } = new(
        "two first writers of 2 GB, a harvest", a => a.Write(3), b => b.Write(300), c => c.Harvest())
    {
        Options = s_whole,
        Before = world => world.Set(s_slot),
        Bound = Preemptions,
    };

    public static Scenario DeletionAndFault { get; } = new(
        "a slot of 2 GB ends, a writer faults", a => a.Write(3), b => b.SetWithFinal(new SlotRequest { Id = 1 }))
    {
        Options = s_splits,
        Before = world => world.Set(s_slot),
        Bound = 3,
    };

    public static Scenario LimitAndWriter { get; } = new(
        "the limit falls over a 2 GB leaf and rises, a writer",
        a =>
        {
            a.Write(3);
            a.Write(3);
        },
        b =>
        {
            b.SetLimit(Narrow);
            b.SetLimit(Wide);
        })
    {
        Options = s_splits,
        Before = Leaf,
    };

    public static Scenario PopulateAndWriter { get; } = new(
        "a populate of 2 GB, a writer, a harvest", a => a.Populate(0, World.RegionPages), b => b.Write(259), c => c.Harvest())
    {
        Options = s_splits,
        Before = world => world.Set(s_slot),
        Bound = Preemptions,
    };

    public static IEnumerable<Scenario> All =>
    [
        TwoSplits, SplitOfADirtyLeaf, SplitAndTwoHarvests, SplitAndUnmap, UnmapOfAPart, GrantAndSplit, TwoWriters, CachedWriter,
        DirtyLeafAndUnmap, GetAndClear, AgingAndWriter, ArmingAndWriter, DisarmingAndWriter, TwoInstalls, DeletionAndFault, LimitAndWriter,
        PopulateAndWriter,
    ];

    /// <summary>The slot is there, and its 2 GB are one clean leaf.</summary>
    private static void Leaf(World world)
    {
        world.Set(s_slot);
        world.Actors[2].ReadMapped(0);
    }

    private static void DirtyLeaf(World world)
    {
        world.Test.Set(s_unlogged);
        world.Actors[2].Write(9);
        world.Arm(s_slot with { InitiallyDirty = true });
        _ = world.Harvest(1, HarvestFlags.NoRearm);
    }
}
