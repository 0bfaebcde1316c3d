using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using GmapNative.Backing;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-kvm: a real guest's stores, tracked by us and by KVM at once, and its migration.</summary>
[TestFixture]
public sealed class KvmHostTests
{
    private const int Skipped = 77;

    private static readonly string[] s_wrong = ["lost", "lost_by_kvm", "own_lost", "unexplained", "wrong_pages"];
    private static readonly string[] s_smallMigration = ["--memory", "32M", "--steps", "200000", "--json"];

    [TestCase("")]
    [TestCase("compare --nope")]
    [TestCase("compare --rounds")]
    [TestCase("compare --rounds 1")]
    [TestCase("compare --memory 1G")]
    [TestCase("compare --memory 33555432")]
    [TestCase("compare --log sometimes")]
    [TestCase("compare run")]
    [TestCase("compare --fail-first-at 2")]
    [TestCase("compare --listen unix:/tmp/x")]
    [TestCase("--listen nowhere")]
    public void A_bad_option_is_one_line_and_status_2(string words)
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-kvm", words.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((2, 1)), result.Everything);
        Assert.That(result.Errors, Does.StartWith("gmap-kvm: "));
    }

    [Test]
    public void Where_something_is_missing_it_says_what()
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-kvm", "compare", "--rounds", "2");
        if (KvmOpens && Userfaultfd.IsAvailable && result.Status != Skipped)
        {
            Assert.That(result.Status, Is.Zero, result.Everything);
            return;
        }

        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((Skipped, 0)), result.Everything);
        Assert.That(result.Output, Does.StartWith("skipped: ").And.Match("/dev/kvm|userfaultfd"));
    }

    [TestCase("get")]
    [TestCase("clear")]
    [TestCase("ring")]
    public void With_the_vcpus_stopped_our_log_is_KVMs_and_the_vmms_own_stores(string log)
    {
        MigrateResult result = Run("compare", "--rounds", "40", "--memory", "32M", "--log", log, "--json");
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.Multiple(() =>
        {
            Assert.That(s_wrong.Select(name => Number(result.Json, name)), Is.All.Zero, result.Everything);
            Assert.That(Number(result.Json, "own_only"), Is.EqualTo(Number(result.Json, "own_stores")).And.GreaterThan(40));
            Assert.That(Number(result.Json, "both"), Is.GreaterThan(500));
            Assert.That(Number(result.Json, "steps"), Is.GreaterThan(500));
        });
    }

    [TestCase("get")]
    [TestCase("clear")]
    [TestCase("ring")]
    public void While_the_vcpus_run_no_log_leaves_out_what_was_written(string log)
    {
        MigrateResult result = Run("run", "--rounds", "100", "--memory", "32M", "--log", log, "--json");
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.Multiple(() =>
        {
            foreach (JsonElement one in new[] { result.Json.GetProperty("ours"), result.Json.GetProperty("kvm") })
            {
                Assert.That(Number(one, "l1") + Number(one, "l2") + Number(one, "l3"), Is.Zero, result.Everything);
                Assert.That(Number(one, "reported"), Is.GreaterThan(1000), result.Everything);
            }

            Assert.That(Number(result.Json, "kvm_only") + Number(result.Json, "ours_only"), Is.Zero, result.Everything);
        });
    }

    [TestCase("compare", "--drop-a-page", "and is not in our log")]
    [TestCase("compare", "--invent-a-page", "and no store followed")]
    [TestCase("run", "--drop-a-page", "is not in our next harvest")]
    [TestCase("run", "--invent-a-page", "and never in KVM's")]
    [TestCase("migrate", "--drop-a-page", "differs")]
    public void One_wrong_page_is_found(string action, string mistake, string line)
    {
        string[] rounds = action == "migrate" ? s_smallMigration : ["--rounds", "40", "--memory", "32M"];
        MigrateResult result = Run([action, mistake, .. rounds]);
        Assert.That(result.Status, Is.EqualTo(1), result.Everything);
        Assert.That(result.Errors, Does.Contain(line), result.Everything);
    }

    [Test]
    public void The_machine_goes_on_in_another_process_to_the_answer_known_beforehand()
    {
        MigrateResult result = Run(["migrate", .. s_smallMigration]);
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(result.Output, Does.Match("every page equal; .* after [1-9][0-9]* more steps: answer .*, as known beforehand"));
        Assert.That(Number(result.Json, "rounds"), Is.GreaterThan(1));
        Assert.That(Number(result.Json, "steps_at_source"), Is.GreaterThan(0));
    }

    [Test]
    public void The_machine_survives_a_destination_that_dies()
    {
        MigrateResult result = Run(["migrate", "--fail-first-at", "60", .. s_smallMigration]); // the last round: it was stopped
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(Number(result.Json, "attempts"), Is.EqualTo(2), result.Everything);
    }

    [Test]
    public async Task A_source_of_another_kind_is_refused()
    {
        NeedsKvm();
        string folder = Directory.CreateTempSubdirectory("gmap").FullName;
        try
        {
            using MigrateProgram destination = MigrateProgram.StartHost("gmap-kvm", "--listen", $"unix:{folder}/socket");
            await destination.LineAfter("listening on ");
            string[] options = ["--memory", "64M", "--steps", "1000", "--retry-s", "0"];
            MigrateResult here = MigrateProgram.Run(["--connect", $"unix:{folder}/socket", .. options]);
            Assert.That(here.Status, Is.EqualTo(1), here.Everything);
            Assert.That(here.Errors, Does.Contain("refuses: an unknown guest"), here.Everything);
            Assert.That(destination.End().Status, Is.EqualTo(1));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static bool KvmOpens
    {
        get
        {
            try
            {
                using FileStream device = new("/dev/kvm", FileMode.Open, FileAccess.ReadWrite);
                return true;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }

    internal static void NeedsKvm()
    {
        Assume.That(KvmOpens, "/dev/kvm is not there, or not for this user");
        Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
    }

    private static MigrateResult Run(params string[] arguments)
    {
        NeedsKvm();
        MigrateResult result = MigrateProgram.RunHost("gmap-kvm", arguments);
        Assume.That(result.Status, Is.Not.EqualTo(Skipped), result.Output); // /dev/kvm opens, and makes no machine
        return result;
    }

    private static long Number(JsonElement element, string name) => element.GetProperty(name).GetInt64();
}
