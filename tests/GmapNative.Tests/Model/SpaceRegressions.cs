using GmapNative.Space;
using NUnit.Framework;

namespace GmapNative.Tests.Model;

/// <summary>Sequences of <see cref="SpaceProperties"/> that failed once, by what was wrong.</summary>
[TestFixture]
[NonParallelizable]
public sealed class SpaceRegressions
{
    /// <summary>No harvest took a page of the last 64 that there are: the end of their run was address 0.</summary>
    [Test]
    public void The_last_pages_of_all_addresses_are_taken() => Passes(new Sequence(SplitPolicy.Eager, true, 3, false, true, true, [
        new(Kind.Slot, 2, 3158, 2102, 67),
        new(Kind.WriteFault, 96, 3753, 1053, 107)]));

    /// <summary>A populate over the border of 2 GB went on at the end of its range.</summary>
    [Test]
    public void A_populate_goes_on_behind_two_gigabytes() => Passes(new Sequence(SplitPolicy.Lazy, true, 3, false, false, false, [
        new(Kind.Slot, 0, 853, 1389, 14),
        new(Kind.Slot, 1, 460, 1188, 8),
        new(Kind.Populate, 189, 2623, 1344, 36)]));

    private static void Passes(Sequence sequence) => Assert.That(SpaceDriver.Run(sequence, null), Is.Null);
}
