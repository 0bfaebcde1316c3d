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
        string folder = Directory.CreateTempSubdirectory("gmap-readme").FullName;
        try
        {
            string source = Path.Combine(folder, "host.c");
            File.WriteAllText(source, code.Groups[1].Value);
            Repository.RequireLibrary();
            (int exit, string found) = NativeHost.Run(NativeHost.Compile(source, Flavour.Plain), [], TimeSpan.FromSeconds(30), []);
            Assert.That(exit, Is.Zero, found);
            Assert.That(found.Trim(), Is.EqualTo(output.Groups[1].Value.Replace("    ", "").Trim()));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
