using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using System.Xml.Linq;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.TraceReport;

/// <summary>A known run is played in another process, recorded through its diagnostic socket, and drawn.</summary>
[TestFixture]
[NonParallelizable]
public sealed class TraceReportTests
{
    private static readonly XNamespace s_svg = "http://www.w3.org/2000/svg";

    private static readonly string s_folder = Path.Combine(Path.GetTempPath(), $"gmap-trace-{Environment.ProcessId}");

    private static string Recording => Path.Combine(s_folder, "played.nettrace");

    [OneTimeSetUp]
    public async Task Record()
    {
        Directory.CreateDirectory(s_folder);
        ProcessStartInfo start = new(Program("trace-player")) { RedirectStandardInput = true, RedirectStandardOutput = true };
        using Process player = Process.Start(start)!;
        Assert.That(await player.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(30)), Is.EqualTo("ready"));
        Task<(int, string)> record = Task.Run(() => Run("record", "--pid", $"{player.Id}", "--seconds", "30", "--out", Recording));
        Assert.That(await player.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(30)), Is.EqualTo("played"));
        player.StandardInput.Close(); // it ends, and with it the recording
        (int status, string said) = await record.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.That(status, Is.Zero, said);
    }

    [OneTimeTearDown]
    public void Remove() => Directory.Delete(s_folder, recursive: true);

    [Test]
    public void Figures_are_those_of_the_run()
    {
        (int status, string said) = Run("draw", Recording, "--out", Path.Combine(s_folder, "figures.svg"));
        Assert.That(status, Is.Zero, said);
        Assert.Multiple(() =>
        {
            Assert.That(said, Does.Match(@"(?m)^62 events in 0\.\d+ s$"));
            Assert.That(said, Does.Match(@"slow faults +10 .*, 30\.000 ms in all, median 3\.0000 ms"));
            Assert.That(said, Does.Match(@"other faults +15 "));
            Assert.That(said, Does.Match(@"splits +5 .*, 1 lost"));
            Assert.That(said, Does.Match(@"armings +1 .* 0\.250 ms in all"));
            Assert.That(said, Does.Match(@"harvests +5 .* 10\.000 ms in all"));
            Assert.That(said, Does.Match(@"dirty pages +1500  = 5\.9 MiB; 1 harvests failed, 0 did not end"));
            Assert.That(said, Does.Match(@"grace waits +5 .* 7\.500 ms in all"));
            Assert.That(said, Does.Match(@"slot changes +1\n").And.Match(@"unmaps +1  3\.0 MiB"));
            Assert.That(said, Does.Match(@"arena growth +1024  KiB"));
            Assert.That(said, Does.Contain("trouble: a scan failed <here> & there").And.Contain("trouble: no table"));
            Assert.That(said, Does.Not.Contain("is not known here"));
        });
    }

    [Test]
    public void Picture_is_well_formed_and_has_every_panel_with_its_count()
    {
        string file = Path.Combine(s_folder, "picture.svg");
        (int status, string said) = Run("draw", Recording, "--out", file, "--title", "a < b & \"c\"");
        Assert.That(status, Is.Zero, said);
        XElement svg = XDocument.Load(file).Root!;
        Assert.That(svg.Name, Is.EqualTo(s_svg + "svg"));
        Assert.That(svg.Element(s_svg + "title")!.Value, Is.EqualTo("a < b & \"c\""));
        string[] panels = [.. svg.Elements(s_svg + "g").Select(g => $"{g.Attribute("id")!.Value} {g.Attribute("data-count")!.Value}")];
        Assert.That(panels, Is.EqualTo(new[] { "faults 25", "splits 6", "harvests 5", "dirty 5", "grace 5", "armings 1" }));
        Assert.That(svg.Descendants(s_svg + "script"), Is.Empty);
        Assert.That(
            svg.Descendants(s_svg + "text").Select(text => text.Value),
            Has.Member("slow: 10").And.Member("other: 15").And.Member("lost to another thread: 1").And.Member("failed: 1")
                .And.Member("time in seconds"));
    }

    /// <summary>The heights are the values: 100 to 500 pages on a linear scale, the third of them a harvest that failed.</summary>
    [Test]
    public void Dirty_pages_are_drawn_to_scale()
    {
        string file = Path.Combine(s_folder, "scale.svg");
        _ = Run("draw", Recording, "--out", file);
        XElement panel = XDocument.Load(file).Root!.Elements(s_svg + "g").Single(g => g.Attribute("id")!.Value == "dirty");
        double[] heights =
        [
            .. panel.Elements(s_svg + "path").Where(path => path.Attribute("fill-opacity") is not null)
                .SelectMany(path => path.Attribute("d")!.Value.Split('M', StringSplitOptions.RemoveEmptyEntries))
                .Select(Height).Order(),
        ];
        Assert.That(heights, Has.Length.EqualTo(5));
        for (int i = 0; i < heights.Length; i++)
        {
            Assert.That(heights[i] / heights[0], Is.EqualTo(i + 1).Within(0.05));
        }
    }

    [TestCase("random", "not a .nettrace file")]
    [TestCase("empty", "not a .nettrace file")]
    [TestCase("cut", "is damaged after")]
    [TestCase("noise", "is damaged after")]
    [TestCase("missing", "Could not find file")]
    public void Damaged_file_is_one_clear_line_and_status_1(string damage, string says)
    {
        string file = Path.Combine(s_folder, damage + ".nettrace");
        byte[] whole = File.ReadAllBytes(Recording);
        byte[] noise = new byte[2000];
        new Random(1).NextBytes(noise);
        if (damage != "missing")
        {
            File.WriteAllBytes(file, damage switch
            {
                "random" => noise,
                "empty" => [],
                "cut" => whole[..^40],
                _ => [.. whole[..200], .. noise],
            });
        }
        string svg = Path.Combine(s_folder, "never.svg");
        (int status, string said) = Run("draw", file, "--out", svg);
        string[] lines = said.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.That((status, lines.Length), Is.EqualTo((1, 1)), said);
        Assert.That(lines[0], Does.StartWith("trace-report: ").And.Contain(says).And.Contain(file));
        Assert.That(File.Exists(svg), Is.False);
    }

    [Test]
    public void What_a_recording_holds_that_breaks_off_can_be_drawn()
    {
        string file = Path.Combine(s_folder, "broken.nettrace");
        File.WriteAllBytes(file, File.ReadAllBytes(Recording)[..^40]);
        (int status, string said) = Run("draw", file, "--partial", "--out", Path.Combine(s_folder, "broken.svg"));
        Assert.That(status, Is.Zero, said);
        Assert.That(said, Does.Contain("breaks off").And.Match("harvests +5 "));
    }

    [Test]
    public void Process_that_does_not_answer_is_one_clear_line_and_status_1()
    {
        (int status, string said) = Run("record", "--pid", "1", "--seconds", "1", "--out", Path.Combine(s_folder, "none.nettrace"));
        Assert.That((status, said.Trim().Split('\n').Length), Is.EqualTo((1, 1)), said);
        Assert.That(said, Does.Contain("process 1 does not answer"));
    }

    private static double Height(string stem)
    {
        // "x footVheadh..."
        string[] numbers = stem.Split([' ', 'V', 'h'], StringSplitOptions.RemoveEmptyEntries);
        System.Globalization.CultureInfo culture = System.Globalization.CultureInfo.InvariantCulture;
        return double.Parse(numbers[1], culture) - double.Parse(numbers[2], culture);
    }

    private static (int Status, string Output) Run(params string[] arguments) => Repository.Run(Program("trace-report"), arguments);

    private static string Program(string name) => Path.Combine(Repository.Artifacts, "dotnet", "bin", name, Configuration, name);

    /// <summary>The folder of this program's own build: release or debug.</summary>
    private static string Configuration => Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
}
