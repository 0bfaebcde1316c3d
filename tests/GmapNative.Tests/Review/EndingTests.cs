using System.Threading;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>Calls in flight while another thread destroys what they work on; and structs that claim an impossible size.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // Probe's visitor is the process's
public sealed unsafe class EndingTests(bool pgstes) : FormatFixture(pgstes)
{
    [Test]
    public void A_harvest_in_flight_does_not_write_into_the_words_of_a_space_that_ended()
    {
        for (int round = 0; round < 300; round++)
        {
            using var host = new Host(Host.Segment);
            Assert.That(host.SetSlot(1, 0, 64 * Host.Page, Spaces.SlotLogDirty), Is.Zero);
            AddressSpace space = host.Inside;
            SpaceWords* words = space.Words;
            var harvester = new Thread(() =>
            {
                ulong bits;
                for (int status = 0; status == Status.Ok;)
                {
                    _ = host.Mark(0);
                    status = GmapNative.Dirty.Harvester.Harvest(space, 1, 0, 64, default, &bits, 1, out _);
                }
            });
            harvester.Start();
            Thread.SpinWait(2000 + (round * 100));
            Assert.That(host.DestroySpace(), Is.Zero);
            words->Generation = 0x1234_5678; // their next owner
            harvester.Join();
            Assert.That(words->Generation, Is.EqualTo(0x1234_5678UL), $"round {round}");
        }
    }

    /// <summary>Whether a thread is inside is asked of the views of all engines: none of them may go under the look.</summary>
    [Test]
    public void A_look_at_all_views_outlives_another_engine()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        var other = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 }, new EngineOptions { ArenaBytes = 1 << 20 });
        var ending = new Thread(other.Dispose);
        Probe.Visitor = place =>
        {
            if (place == Place.ViewsListed && ending.ThreadState == ThreadState.Unstarted)
            {
                ending.Start();
                if (ending.Join(500))
                {
                    throw new System.InvalidOperationException("the engine has given its views' words back");
                }
            }
        };
        try
        {
            Assert.That(test.Space.Epochs.IsCallerInside(), Is.False);
        }
        finally
        {
            Probe.Visitor = null;
            ending.Join();
        }
    }

    /// <summary>
    /// A call that found its space and was held up until space and engine were gone. Where it looks at a table it kills the process.
    /// </summary>
    [TestCase("unmap")]
    [TestCase("discard")]
    [TestCase("collapse")]
    [TestCase("populate")]
    [TestCase("split")]
    [TestCase("age")]
    public void A_range_call_that_comes_too_late_looks_at_no_table(string call)
    {
        AddressSpace space;
        using (var test = new TestSpace(new SpaceOptions { Limit = (4 * TestSpace.TwoGigabytes) - 1 }))
        {
            space = test.Space;
        }
        const ulong Size = 2 * TestSpace.Segment;
        int status = call switch
        {
            "unmap" => RangeCalls.Unmap(space, 0, Size, out _),
            "discard" => RangeCalls.Discard(space, 0, Size, out _),
            "collapse" => RangeCalls.Collapse(space, 0, Size, out _),
            "populate" => RangeCalls.Populate(space, 0, Size, Access.Read, out _),
            "split" => RangeCalls.Split(space, 0, Size, out _),
            _ => RangeCalls.Age(space, 0, Size, out _),
        };
        Assert.That(status, Is.EqualTo(Status.BadHandle));
    }

    [Test]
    public void Figures_of_an_engine_may_be_asked_while_it_ends()
    {
        for (int round = 0; round < 50; round++)
        {
            var config = new EngineConfig { struct_size = (uint)sizeof(EngineConfig), arena_bytes = 1 << 20 };
            ulong engine;
            delegate* unmanaged<EngineConfig*, ulong*, int> create = &Engines.Create;
            Assert.That(create(&config, &engine), Is.Zero);
            ulong handle = engine;
            var asker = new Thread(() =>
            {
                var stats = new EngineStats { struct_size = (uint)sizeof(EngineStats) };
                delegate* unmanaged<ulong, EngineStats*, int> get = &Engines.GetStats;
                while (get(handle, &stats) == Status.Ok)
                {
                }
            });
            asker.Start();
            Thread.Sleep(1);
            delegate* unmanaged<ulong, int> destroy = &Engines.Destroy;
            Assert.That(destroy(engine), Is.Zero);
            asker.Join();
        }
    }

    [TestCase(4097u)]
    [TestCase(0x8000_0000u)]
    [TestCase(uint.MaxValue)]
    public void A_struct_of_an_impossible_size_is_not_looked_at(uint size)
    {
        using var host = new Host(2 * Host.Segment);
        var stats = new EngineStats { struct_size = size };
        delegate* unmanaged<ulong, EngineStats*, int> get = &Engines.GetStats;
        Assert.That(get(host.Engine, &stats), Is.EqualTo(Status.Invalid));
        Assert.That(stats.limit_bytes, Is.Zero);
        var slot = new SlotConfig { struct_size = size };
        delegate* unmanaged<ulong, SlotConfig*, int> set = &Spaces.SetSlot;
        Assert.That(set(host.Space, &slot), Is.EqualTo(Status.ArgumentTooBig));
    }
}
