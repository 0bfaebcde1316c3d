using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-top beside a host that publishes, and beside pages that nobody should believe.</summary>
[TestFixture]
[NonParallelizable] // it finds the only host there is
public sealed class TopTests
{
    private const int BadOption = 2;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);
    private static readonly string s_top = Path.Combine(Repository.Artifacts, "bin", "gmap-top");
    private static readonly string s_migrate = Path.Combine(Repository.Artifacts, "bin", "gmap-migrate");

    private static string Page => $"/dev/shm/gmap-{Environment.ProcessId}";

    [TearDown]
    public void RemovePage() => File.Delete(Page);

    [Test]
    public void A_migration_is_seen_round_by_round()
    {
        var start = new ProcessStartInfo(s_migrate, ["demo", "--guest", "threads", "--memory", "64M", "--link", "32M", "--watch"])
        {
            RedirectStandardOutput = true,
        };
        using Process migration = Process.Start(start)!;
        migration.BeginOutputReadLine();
        string pid = $"{migration.Id}";
        Assert.That(SpinWait.SpinUntil(() => File.Exists($"/dev/shm/gmap-{pid}"), s_patience), Is.True);
        (int exit, string output) = Run(pid, "--json", "--interval", "0.1");
        Assert.That(exit, Is.Zero, output);
        JsonElement[] samples = [.. Samples(output)];
        Assert.That(samples.Select(s => s.GetProperty("pid").GetInt32()), Is.All.EqualTo(migration.Id));
        int[] epochs = [.. samples.Select(s => s.GetProperty("consumers")[0].GetProperty("epochs").GetInt32())];
        Assert.That(epochs, Is.Ordered);
        Assert.That(epochs[^1], Is.GreaterThan(1));
        JsonElement last = samples[^1];
        Assert.That(last.GetProperty("arena").GetProperty("committed_bytes").GetInt64(), Is.Positive);
        Assert.That(last.GetProperty("spaces")[0].GetProperty("write_faults").GetInt64(), Is.Positive);
        Assert.That(last.GetProperty("slots")[0].GetProperty("dirty_pages").GetInt64(), Is.Positive);
        Assert.That(output, Does.Contain($"process {pid} has ended"));
        Assert.That(migration.WaitForExit(s_patience), Is.True);
        Assert.That((migration.ExitCode, File.Exists($"/dev/shm/gmap-{pid}")), Is.EqualTo((0, false)), "it takes its page away");
    }

    [TestCase("1", 1, "process 1 publishes no page")]
    [TestCase("--interval 0", BadOption, "usage:")]
    [TestCase("--count x", BadOption, "usage:")]
    [TestCase("12 13", BadOption, "usage:")]
    [TestCase("--help", 0, "usage:")]
    public void Options(string options, int status, string says)
    {
        (int exit, string output) = Run(options.Split(' '));
        Assert.That((exit, output.Contains(says, StringComparison.Ordinal)), Is.EqualTo((status, true)), output);
    }

    /// <summary>Too short; of another version; all ones.</summary>
    [TestCase(100, 0)]
    [TestCase(1 << 16, 0)]
    [TestCase(1 << 16, 0xFF)]
    public void A_page_of_something_else_is_refused(int bytes, byte filled)
    {
        byte[] page = new byte[bytes];
        Array.Fill(page, filled);
        File.WriteAllBytes(Page, page);
        (int exit, string output) = Run($"{Environment.ProcessId}");
        Assert.That((exit, output.Contains("of another version", StringComparison.Ordinal)), Is.EqualTo((1, true)), output);
    }

    private static JsonElement[] Samples(string output) =>
        [.. output.Split('\n').Where(line => line.StartsWith('{')).Select(line => JsonDocument.Parse(line).RootElement)];

    private static (int Exit, string Output) Run(params string[] arguments) => NativeHost.Run(s_top, arguments, s_patience, []);
}
