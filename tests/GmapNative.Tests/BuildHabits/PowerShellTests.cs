using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>build.ps1 has the verbs of build.sh, and runs under PowerShell, which is a .NET tool (.config/dotnet-tools.json).</summary>
[TestFixture]
public sealed class PowerShellTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);
    private static readonly string s_root = Abi.Repository.Root;

    [Test]
    public void It_has_the_verbs_of_the_other_script()
    {
        string script = File.ReadAllText(Path.Combine(s_root, "build.sh"));
        string cases = script[script.LastIndexOf("case $verb in", StringComparison.Ordinal)..];
        MatchCollection found = Regex.Matches(cases, @"^    ([a-z0-9]+)( \|.*)?\)", RegexOptions.Multiline);
        IEnumerable<string> verbs = found.Select(m => m.Groups[1].Value);
        string listed = Regex.Match(File.ReadAllText(Path.Combine(s_root, "build.ps1")), @"\$Verbs = (.*)").Groups[1].Value;
        Assert.That(Regex.Matches(listed, "'([a-z0-9]+)'").Select(m => m.Groups[1].Value), Is.EquivalentTo(verbs));
    }

    [TestCase("help", 0, "usage: ./build.ps1 VERB")]
    [TestCase("nonsense", 1, "no such verb: nonsense")]
    public void It_runs(string arguments, int status, string says)
    {
        (int exit, string found) = Run("--version");
        if (exit != 0 || !found.Contains("PowerShell", StringComparison.Ordinal))
        {
            NativeHost.Skip("PowerShell is not there: dotnet tool restore");
        }
        (exit, string output) = Run(["-NoProfile", "-File", Path.Combine(s_root, "build.ps1"), .. arguments.Split(' ')]);
        Assert.That(exit, Is.EqualTo(status), output);
        Assert.That(output, Does.Contain(says));
    }

    private static (int Exit, string Output) Run(params string[] arguments) => NativeHost.Run(
        "sh", ["-c", "cd \"$0\" && exec dotnet tool run pwsh -- \"$@\"", s_root, .. arguments], s_patience, [("NO_COLOR", "1")]);
}
