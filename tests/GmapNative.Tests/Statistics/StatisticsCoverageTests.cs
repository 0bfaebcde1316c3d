using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Text.RegularExpressions;
using GmapNative.Exports.Abi;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Statistics;

/// <summary>No figure without a test that makes it move, and none without a word about it in the header.</summary>
[TestFixture]
public sealed class StatisticsCoverageTests
{
    [Test]
    public void Every_figure_of_a_space_moves_in_a_test() =>
        Assert.That(Figures.FieldsOf<SpaceStats>().Except(Tested("space.")), Is.Empty);

    [Test]
    public void Every_figure_of_an_engine_moves_in_a_test() =>
        Assert.That(Figures.FieldsOf<EngineStats>().Except(Tested("engine.")), Is.Empty);

    [TestCase("gmap_space_stats", typeof(SpaceStats))]
    [TestCase("gmap_engine_stats", typeof(EngineStats))]
    public void Every_figure_is_explained_in_the_header(string name, Type type)
    {
        string header = Repository.Text("native-exports/include/gmap.h");
        string body = Regex.Match(header, $@"typedef struct {name} \{{(.*?)\}} {name};", RegexOptions.Singleline).Groups[1].Value;
        string[] explained = [.. Regex.Matches(body, @"uint64_t (\w+);\s+/\* \S").Select(match => match.Groups[1].Value)];
        Assert.That(explained, Is.EqualTo(type.GetFields().Where(f => f.FieldType == typeof(ulong)).Select(f => f.Name)));
    }

    private static IEnumerable<string> Tested(string room)
    {
        IEnumerable<string> cases = room == "space."
            ? SpaceStatisticsTests.Cases.SelectMany(known => known.Moves.Where(move => move.Value != 0).Select(move => move.Key)) : [];
        return cases.Concat(typeof(StatisticsCoverageTests).Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly))
            .SelectMany(method => method.GetCustomAttribute<CoversAttribute>()?.Fields ?? [])
            .Where(field => field.StartsWith(room, StringComparison.Ordinal)).Select(field => field[room.Length..]));
    }
}
