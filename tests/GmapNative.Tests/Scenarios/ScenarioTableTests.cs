using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Text.RegularExpressions;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Scenarios;

/// <summary>The table of tests/README.md and the tests' numbers say the same.</summary>
[TestFixture]
public sealed partial class ScenarioTableTests
{
    private const int Last = 55;

    /// <summary>A row: its number, and the tests that it names; none where it says "not yet".</summary>
    private readonly record struct Row(int Number, string[] Tests, string Why);

    [Test]
    public void Every_scenario_has_a_test_or_a_reason()
    {
        Row[] rows = Rows();
        Assert.That(rows.Select(row => row.Number), Is.EqualTo(Enumerable.Range(1, Last)), "one row each, in order");
        Assert.That(rows.Where(row => row.Tests.Length == 0 && !row.Why.StartsWith("not yet: ", StringComparison.Ordinal)), Is.Empty);
    }

    [Test]
    public void Table_and_tests_name_each_other()
    {
        IEnumerable<string> named = Rows().SelectMany(row => row.Tests.Select(test => $"{row.Number} {test}"));
        Assert.That(named, Is.EquivalentTo(Numbered()));
    }

    private static Row[] Rows() =>
    [
        .. TableRow().Matches(Repository.Text("tests/README.md")).Select(match => new Row(
            int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture),
            [.. TestName().Matches(match.Groups[2].Value).Select(test => test.Groups[1].Value)],
            match.Groups[2].Value.Trim())),
    ];

    /// <summary>"number class.method" of each test that has the property.</summary>
    private static IEnumerable<string> Numbered() =>
        from type in typeof(ScenarioTableTests).Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
        where method.IsDefined(typeof(TestAttribute)) || method.IsDefined(typeof(TestCaseAttribute))
        from property in method.GetCustomAttributes<PropertyAttribute>()
        from object number in property.Properties["Scenario"]
        select $"{number} {type.Name}.{method.Name}";

    [GeneratedRegex(@"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    [GeneratedRegex(@"`(\w+\.\w+)`")]
    private static partial Regex TestName();
}
