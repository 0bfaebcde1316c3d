using System;
using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>The two things that are asserted of a model; both print what the search found.</summary>
internal static class Check
{
    /// <summary>No reachable state breaks a rule, and every step of every thread was taken somewhere.</summary>
    public static void Holds<TState>(Model<TState> model)
        where TState : struct, IEquatable<TState>
    {
        Outcome found = model.Explore();
        TestContext.Out.WriteLine($"{found.States} states");
        Assert.That(found.Violation, Is.Null, () => Text(found));
        Assert.That(found.Unreached, Is.Empty, "these steps were never taken: the model proves nothing about them");
    }

    /// <summary>The search finds this violation, and no shorter one of another kind.</summary>
    public static void Fails<TState>(Model<TState> model, string kind)
        where TState : struct, IEquatable<TState>
    {
        Outcome found = model.Explore();
        TestContext.Out.WriteLine(Text(found));
        Assert.That(found.Violation, Is.EqualTo(kind), () => Text(found));
    }

    private static string Text(Outcome found) => found.Violation is null
        ? $"no violation in {found.States} states"
        : $"{found.Violation} ({found.States} states)\n  {found.Schedule}\n  {found.State}";
}
