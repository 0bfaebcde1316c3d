using System.Collections.Generic;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Tests.Review;
using NUnit.Framework;
using E = GmapNative.Exports.Abi.EngineStats;

namespace GmapNative.Tests.Statistics;

/// <summary>Each figure of an engine is the size of what was made, and together they are what is committed.</summary>
[TestFixture]
[NonParallelizable]
public sealed unsafe class EngineStatisticsTests
{
    private const ulong Timeout = 10_000_000;

    [Test]
    [Covers(
        "engine." + nameof(E.segment_table_bytes), "engine." + nameof(E.page_table_bytes), "engine." + nameof(E.log_bytes),
        "engine." + nameof(E.view_bytes), "engine." + nameof(E.region_table_bytes), "engine." + nameof(E.spaces),
        "engine." + nameof(E.watch_bytes))]
    public void Figures_move_by_the_size_of_what_is_made()
    {
        using var host = new Host(2 * Host.Segment);
        E first = Of(host.Engine);
        ulong vcpu = host.Open(out ViewWords* view);
        for (int more = 1; more < 4096 / sizeof(ViewWords); more++)
        {
            Host.Close(host.Open(out _)); // closed views keep their words
        }
        E opened = Of(host.Engine);
        Assert.That(Moves(first, opened), Is.EquivalentTo(Named((nameof(E.view_bytes), 4096))));

        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        E slot = Of(host.Engine);
        Assert.That(slot.log_bytes, Is.GreaterThanOrEqualTo(2UL * 256 / 8), "a log and an epoch, a bit a page");
        Assert.That(Moves(opened, slot), Has.Count.EqualTo(1).And.ContainKey(nameof(E.log_bytes)));

        Assert.That(Host.Fault(vcpu, 0, GmapNative.Space.Access.Write), Is.Zero);
        Host.Leave(view);
        Assert.That(
            Moves(slot, Of(host.Engine)),
            Is.EquivalentTo(Named((nameof(E.segment_table_bytes), 32 << 10), (nameof(E.page_table_bytes), 2 << 10))));

        E unwatched = Of(host.Engine);
        delegate* unmanaged<ulong, ulong, ulong, uint, uint, int> protect = &Notifiers.Protect;
        Assert.That(protect(host.Space, 0, 4096, 3, 1), Is.Zero);
        Assert.That(Moves(unwatched, Of(host.Engine)), Is.EquivalentTo(Named((nameof(E.watch_bytes), 2 * 4096))), "for 2 GB and for 8 MB");

        E before = Of(host.Engine);
        ulong second = MakeSpace(host.Engine);
        Assert.That(
            Moves(before, Of(host.Engine)),
            Is.EquivalentTo(Named((nameof(E.region_table_bytes), 16 << 10), (nameof(E.spaces), 1))));
        delegate* unmanaged<ulong, int> destroy = &Spaces.Destroy;
        Assert.That(destroy(second), Is.Zero);
        Assert.That(Of(host.Engine).spaces, Is.EqualTo(1));
        Host.Close(vcpu);
    }

    [Test]
    [Covers(
        "engine." + nameof(E.reserved_bytes), "engine." + nameof(E.limit_bytes), "engine." + nameof(E.committed_bytes),
        "engine." + nameof(E.locked_bytes), "engine." + nameof(E.free_bytes))]
    public void Figures_add_up_to_what_is_committed()
    {
        using var host = new Host(8 * Host.Segment);
        ulong vcpu = host.Open(out ViewWords* view);
        AddsUp(host);
        ulong committed = Of(host.Engine).committed_bytes;
        for (uint id = 1; id <= 8; id++)
        {
            Assert.That(host.SetSlot(id, (id - 1) * Host.Segment, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
            Assert.That(Host.Fault(vcpu, (id - 1) * Host.Segment, GmapNative.Space.Access.Write), Is.Zero);
            Host.Leave(view);
            AddsUp(host);
        }
        Assert.That(Of(host.Engine).committed_bytes, Is.GreaterThan(committed));
        Assert.That(host.Unmap(0, 8 * Host.Segment), Is.Zero);
        AddsUp(host);
        E stats = Of(host.Engine);
        Assert.That(stats.limit_bytes, Is.EqualTo(16UL << 20), "arena_bytes of the configuration");
        Assert.That(stats.reserved_bytes, Is.InRange(stats.limit_bytes, 4 * stats.limit_bytes));
        Host.Close(vcpu);
    }

    [Test]
    [Covers("engine." + nameof(E.limbo_bytes))]
    public void Table_that_a_reader_holds_is_in_limbo_until_it_leaves()
    {
        using var host = new Host(2 * Host.Segment, Timeout);
        using var reader = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        reader.Write(0); // stays inside
        Assert.That(host.Unmap(0, Host.Segment), Is.EqualTo(Status.TimedOut));
        E held = Of(host.Engine);
        Assert.That((held.limbo_bytes, held.page_table_bytes), Is.EqualTo((2048UL, 2048UL)), "contained in the bytes of its kind");
        Assert.That(Figures.Of(host.Inside).page_tables, Is.Zero, "unlinked");
        reader.Leave();
        Assert.That(host.Unmap(0, Host.Segment), Is.Zero);
        Assert.That((Of(host.Engine).limbo_bytes, Of(host.Engine).page_table_bytes), Is.EqualTo((0UL, 0UL)));
    }

    [Test]
    [Covers("engine." + nameof(E.dense_bytes))]
    public void Dense_bits_are_counted_with_their_segment_tables()
    {
        using var host = new Host(2 * Host.Segment);
        E before = Of(host.Engine);
        ulong space = MakeSpace(host.Engine, Spaces.TrackGeneration);
        Assert.That(
            Moves(before, Of(host.Engine)),
            Is.EquivalentTo(Named((nameof(E.region_table_bytes), 16 << 10), (nameof(E.spaces), 1))), "no segment table yet");
        delegate* unmanaged<ulong, ulong, int> limit = &Spaces.SetLimit;
        Assert.That(limit(space, (1 << 20) - 1), Is.Zero); // a segment table on top
        Assert.That((long)Of(host.Engine).dense_bytes - (long)before.dense_bytes, Is.EqualTo(128 << 10));
        var stats = new SpaceStats { struct_size = (uint)sizeof(SpaceStats) };
        delegate* unmanaged<ulong, SpaceStats*, int> get = &Spaces.GetStats;
        Assert.That(get(space, &stats), Is.Zero);
        Assert.That((stats.segment_tables, stats.table_bytes), Is.EqualTo((1UL, 160UL << 10)));
        AddsUp(host);
        delegate* unmanaged<ulong, int> destroy = &Spaces.Destroy;
        Assert.That(destroy(space), Is.Zero);
        Assert.That(Of(host.Engine).dense_bytes, Is.EqualTo(before.dense_bytes));
    }

    private static void AddsUp(Host host)
    {
        E stats = Of(host.Engine);
        ulong sum = stats.region_table_bytes + stats.segment_table_bytes + stats.page_table_bytes + stats.log_bytes + stats.view_bytes
            + stats.free_bytes + stats.dense_bytes + stats.watch_bytes;
        Assert.That(sum, Is.EqualTo(stats.committed_bytes));
        bool refused = host.Inside.Engine.Arena.LockRefused;
        Assert.That(stats.locked_bytes, refused ? Is.LessThan(stats.committed_bytes) : Is.EqualTo(stats.committed_bytes));
    }

    /// <summary>What moved but what the arena commits ahead, which <see cref="AddsUp"/> holds.</summary>
    private static Dictionary<string, long> Moves(E before, E after)
    {
        Dictionary<string, long> moved = Figures.Moved(before, after);
        foreach (string ahead in new[] { nameof(E.committed_bytes), nameof(E.locked_bytes), nameof(E.free_bytes) })
        {
            _ = moved.Remove(ahead);
        }
        return moved;
    }

    private static Dictionary<string, long> Named(params (string Field, long By)[] moves)
    {
        var named = new Dictionary<string, long>();
        foreach ((string field, long by) in moves)
        {
            named[field] = by;
        }
        return named;
    }

    private static E Of(ulong engine)
    {
        var stats = new E { struct_size = (uint)sizeof(E) };
        delegate* unmanaged<ulong, E*, int> get = &Engines.GetStats;
        Assert.That(get(engine, &stats), Is.Zero);
        return stats;
    }

    private static ulong MakeSpace(ulong engine, uint tracking = 0)
    {
        var config = new SpaceConfig { struct_size = (uint)sizeof(SpaceConfig), limit = uint.MaxValue, tracking = tracking };
        ulong space;
        delegate* unmanaged<ulong, SpaceConfig*, ulong*, int> create = &Spaces.Create;
        Assert.That(create(engine, &config, &space), Is.Zero);
        return space;
    }
}
