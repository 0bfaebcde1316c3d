using System;
using System.Diagnostics;
using System.IO;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;
using NUnit.Framework.Interfaces;

[assembly: Progress]

namespace GmapNative.Tests.BuildHabits;

/// <summary>
/// Says which fixture runs, as it begins: in a log nobody sees the runner's live line, and if a fault in native code takes the
/// runner down, this is what tells where.
/// </summary>
[AttributeUsage(AttributeTargets.Assembly)]
internal sealed class ProgressAttribute : Attribute, ITestAction
{
    private static readonly Stopwatch s_clock = Stopwatch.StartNew();
    private static readonly Stream s_output = Console.OpenStandardOutput(); // past NUnit, which keeps a test's output until its end
    private static readonly object s_lock = new();
    private static string? s_fixture;

    public ActionTargets Targets => ActionTargets.Test;

    public void BeforeTest(ITest test)
    {
        if (!Console.IsOutputRedirected)
        {
            return;
        }

        lock (s_lock)
        {
            if (s_fixture != test.ClassName)
            {
                s_fixture = test.ClassName;
                s_output.Write(System.Text.Encoding.UTF8.GetBytes($"[{s_clock.Elapsed.TotalSeconds,5:F1} s] {s_fixture}\n"));
                s_output.Flush();
            }
        }
    }

    public void AfterTest(ITest test)
    {
    }
}
