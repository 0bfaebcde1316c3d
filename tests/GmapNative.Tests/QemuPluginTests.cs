using System.IO;
using System.Linq;
using System.Text.Json;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>
/// The plugin in QEMU, told of every store of a small guest: exactly the pages it stores to are reported. Linux guests, which take
/// minutes, are <c>./build.sh qemu</c>'s; that also gets QEMU and the header that the plugin is compiled with.
/// </summary>
[TestFixture]
public sealed class QemuPluginTests
{
    private static readonly string s_plugin = Path.Combine(Repository.Artifacts, "bin", "libgmap-qemu-plugin.so");
    private static readonly string s_prepared = Path.Combine(Repository.Artifacts, "qemu");
    private static readonly string s_runner = Path.Combine(Repository.Root, "native-exports", "hosts", "qemu-plugin", "run.py");

    [SetUp]
    public void NeedsQemu()
    {
        if (!File.Exists(s_plugin) || !File.Exists(Path.Combine(s_prepared, "host.done")))
        {
            Abi.NativeHost.Skip("QEMU 10 and its plugin header are not there: ./build.sh qemu prepare gets Debian's");
        }
    }

    [TestCase("fault", 40)]
    [TestCase("inline", 40)]
    [TestCase("mark", 0)]
    public void What_the_guest_stores_to_is_reported_and_nothing_else(string feed, int splits)
    {
        (int status, string output) = Run("tiny", "--feed", feed, "--json");
        Assert.That(status, Is.Zero, output);
        JsonElement result = Result(output);
        JsonElement sum = result.GetProperty("sum");
        Assert.Multiple(() =>
        {
            Assert.That(result.GetProperty("wrong").GetInt64(), Is.Zero, output);
            Assert.That(sum.GetProperty("lost").GetInt64(), Is.Zero, output);
            Assert.That(sum.GetProperty("splits").GetInt64(), Is.EqualTo(splits), output);
            Assert.That(sum.GetProperty("across").GetInt64(), Is.EqualTo(6), output);
            Assert.That(sum.GetProperty("dirty_pages").GetInt64(), Is.GreaterThan(3000), output);
        });
    }

    [Test]
    public void Pages_that_are_left_out_are_missed()
    {
        (int status, string output) = Run("tiny", "--drop", "100", "--json");
        Assert.That(status, Is.EqualTo(1), output);
        Assert.That(Result(output).GetProperty("wrong").GetInt64(), Is.EqualTo(58), output); // not reported, and changed
    }

    [Test]
    public void A_bad_option_is_status_2()
    {
        (int status, string output) = Run("tiny", "--feed", "sometimes");
        Assert.That(status, Is.EqualTo(2), output);
    }

    private static (int Status, string Output) Run(params string[] arguments) =>
        Repository.Run("python3", [
            "-B",
            s_runner, "--bin", Path.Combine(Repository.Artifacts, "bin"), "--prepared", s_prepared,
            "--out", Path.Combine(Repository.Artifacts, "tests", "qemu"), .. arguments]);

    private static JsonElement Result(string output)
    {
        string last = output.Split('\n').Last(line => line.StartsWith('{'));
        return JsonDocument.Parse(last).RootElement.GetProperty("results")[0];
    }
}
