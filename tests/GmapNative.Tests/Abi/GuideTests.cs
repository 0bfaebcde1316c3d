using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>native-exports/README.md: its programs do what stands there, and its list has every function.</summary>
[TestFixture]
internal sealed class GuideTests
{
    private const string Heading = "^/\\* -+ ([^-:]+?)(?::[^-]*)? -+ \\*/";

    private static readonly string s_path = Path.Combine(Repository.Root, "native-exports", "README.md");
    private static readonly string s_text = File.ReadAllText(s_path);

    private static IEnumerable<TestCaseData> Programs() =>
        Regex.Matches(s_text, "\n## ([^:\n]*)[^\n]*\n(?:(?!\n## ).)*?```c\n(.*?)```\n\n```\n(.*?)```", RegexOptions.Singleline)
            .Select(match => new TestCaseData(match.Groups[2].Value, match.Groups[3].Value).SetName($"Guide: {match.Groups[1].Value}"));

    [TestCaseSource(nameof(Programs))]
    public void A_program_works_when_pasted(string code, string output) => Pasted.CheckC(code, output);

    [Test]
    public void There_is_one_for_each_kind_of_host() => Assert.That(Programs().Count(), Is.EqualTo(4));

    [Test]
    public void The_list_of_functions_is_the_header_s()
    {
        Match list = Regex.Match(s_text, "(?<=<!-- the list begins -->\n).*?(?=<!-- the list ends -->)", RegexOptions.Singleline);
        string made = List();
        if (Environment.GetEnvironmentVariable("GMAP_WRITE_GUIDE") == "1")
        {
            File.WriteAllText(s_path, s_text[..list.Index] + made + s_text[(list.Index + list.Length)..]);
        }
        else
        {
            Assert.That(list.Value, Is.EqualTo(made), "GMAP_WRITE_GUIDE=1 ./build.sh test --filter Name~list_of_functions");
        }
    }

    /// <summary>A table for each part of the header, in its order.</summary>
    private static string List()
    {
        string header = File.ReadAllText(Path.Combine(Repository.Include, "gmap.h"));
        var list = new StringBuilder();
        string part = "";
        foreach (CFunction function in CHeader.Read("gmap.h").Functions)
        {
            int at = Regex.Match(header, $"^GMAP_API [^;(]*\\b{function.Name}\\(", RegexOptions.Multiline).Index;
            string now = Regex.Matches(header[..at], Heading, RegexOptions.Multiline).Last().Groups[1].Value;
            if (now != part)
            {
                list.Append($"\n**{now}**\n\n| function | |\n|---|---|\n");
                part = now;
            }
            list.Append($"| `{function.Name}` | {Sentence(function)} |\n");
        }
        return list.Append('\n').ToString();
    }

    /// <summary>The first sentence of what the header says of it, with the mark of what waits.</summary>
    private static string Sentence(CFunction function)
    {
        string text = Regex.Replace(function.Comment, "^/\\*|\\*/$|\\n \\*", " ");
        text = Regex.Replace(text, "\\s+", " ").Trim();
        string own = Regex.Match(text, $"(?<={function.Name}: ).*").Value; // where a comment is about several
        text = own.Length > 0 ? own : text;
        string sentence = Regex.Match(text, "^.*?(?:\\.(?= |$)|$)").Value;
        return sentence.Replace("|", "\\|", StringComparison.Ordinal);
    }
}
