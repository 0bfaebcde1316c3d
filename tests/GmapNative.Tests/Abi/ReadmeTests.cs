using System;
using System.IO;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>What the README tells a newcomer to paste, pasted.</summary>
public sealed class ReadmeTests
{
    [Test]
    public void TheHostOfTheReadmeWorksWhenPasted()
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        Match code = Regex.Match(readme, "```c\n(.*?)```", RegexOptions.Singleline);
        Match output = Regex.Match(readme, @"&& \./host\n((?:    .+\n)+)");
        Assert.That(code.Success && output.Success, "the README shows a C host and what it prints");
        Assert.That(code.Groups[1].Value.Split('\n'), Has.Length.LessThan(45), "thirty lines, and some air");
        Pasted.CheckC(code.Groups[1].Value, output.Groups[1].Value.Replace("    ", "", StringComparison.Ordinal));
    }

    [Test]
    public void TheLookFromPythonWorksWhenPasted()
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        Match code = Regex.Match(readme, "```python\n(.*?)```\n\n    (GMAPNATIVE=[^\n]*)\n\n```\n(.*?)```", RegexOptions.Singleline);
        Assert.That(code.Success, "the README shows a program in Python, how it is run, and what it prints");
        Assert.That(code.Groups[1].Value.Split('\n'), Has.Length.LessThan(21), "twenty lines");
        Repository.RequireLibrary();
        _ = Programs.Require("python3", "python3");
        Pasted.In("look.py", code.Groups[1].Value, source =>
        {
            string command = code.Groups[2].Value.Replace(" look.py", $" {source}", StringComparison.Ordinal)
                .Replace("artifacts/", $"{Repository.Artifacts}/", StringComparison.Ordinal);
            return NativeHost.Run(
                "sh", ["-c", $"cd '{Repository.Root}' && PYTHONDONTWRITEBYTECODE=1 {command}"], TimeSpan.FromSeconds(30), []);
        }, code.Groups[3].Value);
    }
}
