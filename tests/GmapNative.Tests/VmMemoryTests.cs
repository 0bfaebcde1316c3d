using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-vm-memory: rust-vmm's vm-memory over the engine says the same pages are dirty as over its own AtomicBitmap.</summary>
[TestFixture]
public sealed class VmMemoryTests
{
    private static readonly string s_program = Path.Combine(Repository.Artifacts, "bin", "gmap-vm-memory");

    [SetUp]
    public void NeedsRust() =>
        Assume.That(s_program, Does.Exist, "gmap-vm-memory was not built: it needs the Debian packages cargo and librust-vm-memory-dev");

    [Test]
    public void The_same_work_leaves_the_same_dirty_pages([Values("2026", "7")] string seed)
    {
        (int status, string output) = Run("--no-costs", "--json", "--rounds", "200", "--seed", seed);
        Assert.That(status, Is.Zero, output);
        JsonElement run = Json(output);
        Assert.Multiple(() =>
        {
            Assert.That(Count(run, "differences"), Is.Zero, output);
            Assert.That(Count(run, "rounds"), Is.EqualTo(200), output);
            Assert.That(Count(run, "rounds_in_threads"), Is.EqualTo(50), output);
            Assert.That(Count(run, "rounds_beside_a_harvest"), Is.EqualTo(25), output);
            Assert.That(Count(run, "regions_plugged"), Is.EqualTo(3), output);
            Assert.That(Count(run, "vcpu_stores"), Is.EqualTo(150 * 10), output);
            Assert.That(Count(run, "dirty_pages"), Is.GreaterThan(200 * 50), output);
        });
    }

    [TestCase("1")]
    [TestCase("50")]
    [TestCase("150")]
    public void A_mark_that_is_left_out_is_a_difference(string number)
    {
        (int status, string output) = Run("--no-costs", "--json", "--leave-out", number);
        Assert.That(status, Is.EqualTo(1), output);
        Assert.That(output, Does.Contain("dirty to AtomicBitmap, clean to the engine"));
        Assert.That(Count(Json(output), "differences"), Is.Positive, output);
    }

    [Test]
    public void Costs_are_told_of_both()
    {
        (int status, string output) = Run("--json", "--rounds", "1", "--repeats", "1", "--gib", "1");
        Assert.That(status, Is.Zero, output);
        JsonElement[] costs = [.. Json(output).GetProperty("costs").EnumerateArray()];
        Assert.That(costs, Has.Length.EqualTo(7), output);
        foreach (JsonElement cost in costs)
        {
            double atomic = cost.GetProperty("atomic_bitmap_ns").GetDouble();
            double engine = cost.GetProperty("engine_ns").GetDouble();
            Assert.That(Math.Min(atomic, engine), Is.Positive, output);
            Assert.That(cost.GetProperty("ratio").GetDouble(), Is.EqualTo(engine / atomic).Within(1).Percent, output);
        }
    }

    [TestCase("--rounds")]
    [TestCase("--rounds", "0")]
    [TestCase("--threads", "17")]
    [TestCase("--seed", "x")]
    [TestCase("--nope")]
    public void A_bad_option_is_one_line_and_status_2(params string[] arguments)
    {
        (int status, string output) = Run(arguments);
        Assert.That(status, Is.EqualTo(2), output);
        Assert.That(output.Split('\n'), Has.Length.EqualTo(1), output);
        Assert.That(output, Does.StartWith($"gmap-vm-memory: {arguments[0]}"));
    }

    private static (int Status, string Output) Run(params string[] arguments)
    {
        (int status, string output) = Repository.Run(s_program, arguments);
        return (status, output.Trim()); // the ends of both streams are empty lines
    }

    /// <summary>The object of --json: the last line.</summary>
    private static JsonElement Json(string output) =>
        JsonDocument.Parse(output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Last(line => line.StartsWith('{'))).RootElement;

    private static long Count(JsonElement run, string name) => run.GetProperty(name).GetInt64();
}
