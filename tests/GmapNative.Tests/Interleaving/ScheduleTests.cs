using System;
using System.Collections.Generic;
using System.Linq;
using NUnit.Framework;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// Every schedule of small scenarios within a bound of preemptions, and some beyond it by lot: nothing is lost or invented.
/// </summary>
[TestFixture]
[NonParallelizable]
public sealed class ScheduleTests
{
    /// <summary>GMAP_LONG=1: one preemption more, and more schedules.</summary>
    internal static readonly bool IsLong = Environment.GetEnvironmentVariable("GMAP_LONG") == "1";

    private const int Most = 6_000;
    private const int ByLot = 300;

    private static IEnumerable<TestCaseData> Cases()
    {
        foreach (Scenario scenario in Scenarios.All)
        {
            yield return new TestCaseData(scenario).SetName($"Schedules: {scenario.Name}");
        }
    }

    /// <summary>The scenarios pass every place of the engine and of the header.</summary>
    [Test]
    public void Every_place_is_passed()
    {
        HashSet<string> seen = [];
        foreach (Scenario scenario in Scenarios.All)
        {
            using var search = new Search(scenario);
            _ = search.Run(most: 30, byLot: 10);
            seen.UnionWith(search.Seen);
        }
        string[] elsewhere = [nameof(Place.None), nameof(Place.RunProtected)]; // a kernel's: sync.c and its twin stop there
        Assert.That(Search.Places.Except(seen), Is.EquivalentTo(elsewhere));
    }

    [TestCaseSource(nameof(Cases))]
    public void Every_schedule_is_right(object given)
    {
        var scenario = (Scenario)given;
        using var search = new Search(IsLong ? scenario with { Bound = scenario.Bound + 1 } : scenario);
        int most = scenario.Threads.Length == 2 ? Most : Most / 2; // of three threads one preemption is enumerated, and some of two
        Found found = search.Run(IsLong ? 100 * Most : most, IsLong ? 100 * ByLot : ByLot);
        TestContext.Out.WriteLine(found);
        Assert.That(found.Failure, Is.Null, found.ToString());
        Assert.That(found.Complete, Is.GreaterThanOrEqualTo(scenario.Threads.Length == 2 ? 2 : 1), "preemptions enumerated");
    }
}
