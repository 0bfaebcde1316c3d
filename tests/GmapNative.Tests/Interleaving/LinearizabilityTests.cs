using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// Short random programs of two and three threads: what each page's calls gave could have been given one after the other. Under a
/// scheduler by lot, and by threads that run as they like.
/// </summary>
[TestFixture]
[NonParallelizable]
public sealed class LinearizabilityTests
{
    private const int FewestRuns = 300;
    private const int LongestMilliseconds = 20_000; // on a busy machine fewer runs

    private static readonly int s_longer = ScheduleTests.IsLong ? 30 : 1;

    private static readonly Scenario s_space = new("a random program")
    {
        Options = new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 },
        Before = _ => { },
    };

    [TearDown]
    public void LeaveNothingOut()
    {
        Probe.LeftOut = Step.None;
        Probe.Visitor = null;
    }

    [Test]
    public void Scheduled_histories_are_linearizable()
    {
        string? wrong = Scheduled(programs: 150 * s_longer, schedules: 15, out int runs);
        TestContext.Out.WriteLine($"{runs} histories");
        Assert.That(wrong, Is.Null, wrong);
    }

    /// <summary>The check sees what it is there for.</summary>
    [TestCase(Step.NoGrace)]
    [TestCase(Step.EntriesBeforeSummary)]
    [TestCase(Step.GetTakes)]
    [TestCase(Step.NoPourOnUnmap)]
    public void Left_out_step_gives_a_history_that_is_not(object step)
    {
        Probe.LeftOut = (Step)step;
        string? wrong = Scheduled(programs: 1500, schedules: 15, out int runs);
        TestContext.Out.WriteLine($"history {runs}: {wrong}");
        Assert.That(wrong, Is.Not.Null);
    }

    [Test]
    public void Histories_of_free_threads_are_linearizable()
    {
        int most = 3000 * s_longer;
        int runs = 0;
        long begin = Environment.TickCount64;
        Probe.Visitor = Jostle;
        InlineShim shim = InlineShim.Of(HeaderTwin.None);
        shim.Begin(place => Jostle((Place)place), buffersStores: false);
        for (int run = 0; run < most && (run < FewestRuns || Environment.TickCount64 - begin < LongestMilliseconds * s_longer); run++)
        {
            runs++;
            var history = new History(run / 3);
            using var world = new World(s_space, shim, null);
            Action[] bodies = [.. history.Begin(world, mapped: run % 2 == 0)];
            Exception? failure = RunFree(bodies);
            string? wrong = failure?.ToString() ?? history.Check() ?? world.Test.Violation();
            History.Clean();
            Assert.That(wrong, Is.Null, $"program {run / 3}: {wrong}");
        }
        TestContext.Out.WriteLine($"{runs} histories");
    }

    private static IEnumerable<TestCaseData> Histories()
    {
        TestCaseData Case(string name, bool fits, params Call[] calls) => new TestCaseData(fits, calls).SetName($"History: {name}");
        yield return Case("a store that a harvest finds", true, W(1, 1, 2), H(3, 4, 1), R(5, 6, 1));
        yield return Case("a store that a harvest misses", false, W(1, 1, 2), H(3, 4, 0));
        yield return Case("a store beside a harvest", true, W(1, 1, 4), H(2, 3, 0), H(5, 6, 1));
        yield return Case("a store that two harvests miss", false, W(1, 1, 4), H(2, 3, 0), H(5, 6, 0));
        yield return Case("a page that nobody wrote", false, H(1, 2, 1));
        yield return Case("a page that is found twice", false, W(1, 1, 2), H(3, 4, 1), H(5, 6, 1));
        yield return Case("a store that is overtaken and marks again", true, W(1, 1, 8), H(2, 3, 1), H(6, 7, 1));
        yield return Case("a harvest that did not wait for the store it reports", false, W(1, 1, 8), H(2, 3, 1), R(4, 5, 0));
        yield return Case("a look before the store is done", true, W(1, 1, 8), G(2, 3, 1), R(4, 5, 0), H(9, 10, 1));
        yield return Case("a look that sees a mark being made", true, D(1, 1, 8), G(2, 3, 1), H(4, 5, 0), H(9, 10, 1));
        yield return Case("a look at nothing", false, G(1, 2, 1), D(1, 3, 4));
        yield return Case("a look that takes", false, W(1, 1, 2), G(3, 4, 1), H(5, 6, 0));
        yield return Case("a clear", true, W(1, 1, 2), C(3, 4), H(5, 6, 0));
        yield return Case("a store that a clear forgets", false, C(1, 2), W(1, 3, 4), H(5, 6, 0));
        yield return Case("a device that has not marked yet", true, D(1, 1, 8), R(2, 3, 1), H(4, 5, 0), H(9, 10, 1));
    }

    [TestCaseSource(nameof(Histories))]
    public void Small_history_is_judged(bool fits, object calls) => Assert.That(Linearizer.IsLinearizable((Call[])calls), Is.EqualTo(fits));

    private static Call W(ulong stamp, long begin, long end) => new(Deed.Write, 0, begin, end, stamp);

    private static Call D(ulong stamp, long begin, long end) => new(Deed.Device, 0, begin, end, stamp);

    private static Call H(long begin, long end, ulong bit) => new(Deed.Harvest, -1, begin, end, bit);

    private static Call G(long begin, long end, ulong bit) => new(Deed.Get, -1, begin, end, bit);

    private static Call C(long begin, long end) => new(Deed.Clear, -1, begin, end, 1);

    private static Call R(long begin, long end, ulong value) => new(Deed.Read, 0, begin, end, value);

    private static string? Scheduled(int programs, int schedules, out int runs)
    {
        using var search = new Search(s_space);
        runs = 0;
        for (int program = 0; program < programs; program++)
        {
            var history = new History(program);
            for (int seed = 0; seed < schedules; seed++)
            {
                runs++;
                Found? found = search.RunBodies(
                    world => history.Begin(world, mapped: (seed & 1) == 0),
                    _ => history.Check(),
                    new ByLot(seed, history.Threads, 1 + (seed % 4), steps: 60));
                History.Clean();
                if (found is not null)
                {
                    return $"program {program}, seed {seed}: {found}";
                }
            }
        }
        return null;
    }

    private static void Jostle(Place place)
    {
        int lot = Random.Shared.Next(32);
        if (lot == 0)
        {
            _ = Thread.Yield();
        }
        else if (lot < 6)
        {
            Thread.SpinWait(lot * lot * 20);
        }
    }

    private static Exception? RunFree(Action[] bodies)
    {
        Exception? failure = null;
        using var start = new Barrier(bodies.Length);
        Thread[] threads = [.. bodies.Select(body => new Thread(() =>
        {
            start.SignalAndWait();
            try
            {
                body();
            }
            catch (Exception thrown)
            {
                failure = thrown;
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        return failure;
    }
}
