using System;
using System.Linq;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>Scenario 24: logging is turned off, and the segments collapse, while vcpus write.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class LoggingOffScenarios(bool pgstes) : ScenarioFixture(pgstes)
{
    private const int Rounds = 60;

    private static readonly int[] s_pages = [.. Range(0, 8), .. Range(250, 12)]; // of two segments

    private static readonly SlotRequest s_off = Slot with { LogDirty = false };

    [Test]
    [Property("Scenario", 24)]
    public void S24_TheLastStoreByAnOldRightIsInTheLastBits()
    {
        using TestSpace test = Make();
        Store(test, test.View, 3 * Page, 1);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Store(test, test.View, 5 * Page, 1);
        nint host = 0;
        using var writer = new Reader(
            test,
            view => Assert.That(new InlineWriter(view).Store(3 * Page, out host), Is.Zero),
            () => Volatile.Write(ref *(ulong*)host, 24)); // guest memory; the section that the pointer is of is open
        int[] last = [];
        using var off = new Background(() => last = test.SetWithFinal(s_off));
        Assert.That(off.EndsSoon(), Is.False, "a reader is in the table that goes");
        writer.Leave();
        off.Join();
        Assert.That(last, Is.EqualTo(new[] { 3, 5 }));
        Assert.That(test.Write(9 * Page).Done, Is.EqualTo(FaultDone.None), "nothing is left to split or to grant");
        Assert.That(test.Translate(3 * Page, Access.Write, out FaultOutcome seen), Is.Zero);
        Assert.That((seen.LeafSize, seen.Rights), Is.EqualTo((Segment, Access.Read | Access.Write)));
        Assert.That((test.Counters.Collapses, test.PageTables, test.Engine.LimboBytes), Is.EqualTo((1L, 0L, 0UL)));
        test.Check();
    }

    [Test]
    [Property("Scenario", 24)]
    public void S24_NoStoreIsLostAndNoLeafStaysReadOnly()
    {
        using TestSpace test = Make();
        ulong[] published = new ulong[s_pages.Length];
        ulong[] image = new ulong[s_pages.Length];
        bool stop = false;
        using var writer = new Background(() => Write(test, published, ref stop));
        string? lost = null;
        for (int round = 0; round < Rounds && lost is null && !writer.IsDone; round++)
        {
            test.Set(Slot with { InitiallyDirty = true });
            for (int harvest = 0; harvest < 3; harvest++)
            {
                lost ??= CopyAndCompare(published, image, () => test.Harvest(1), $"round {round}, harvest {harvest}");
            }
            lost ??= CopyAndCompare(published, image, () => test.SetWithFinal(s_off), $"round {round}, logging off");
            for (ulong segment = 0; segment < 2; segment++)
            {
                // Not there since it was last unmapped, or a leaf: open, or armed and not written since; the next write opens it.
                int status = test.Translate(segment * Segment, Access.Write, out FaultOutcome seen);
                bool right = status == Status.SegmentTranslation
                    || (seen.LeafSize == Segment && (status == Status.Ok || seen.Reason == FaultReason.NeedsFault));
                lost ??= right ? null : $"round {round}: segment {segment} answers {status}, {seen.LeafSize}, {seen.Rights}";
            }
        }
        Volatile.Write(ref stop, true);
        writer.Join();
        Assert.That(lost, Is.Null);
        Assert.That(test.Counters.Collapses, Is.Positive, "how many depends on when the writer runs");
        long splits = test.Counters.Splits;
        for (ulong segment = 0; segment < 4; segment++)
        {
            Assert.That(test.Write(segment * Segment).LeafSize, Is.EqualTo(Segment));
            Assert.That(test.Write((segment * Segment) + Page).Done, Is.EqualTo(FaultDone.None), "one write opens all of the leaf");
        }
        Assert.That(test.Counters.Splits, Is.EqualTo(splits));
        test.Check();
    }

    private static void Write(TestSpace test, ulong[] published, ref bool stop)
    {
        View view = test.OpenView();
        var inline = new InlineWriter(view);
        ulong stamp = 0;
        while (!Volatile.Read(ref stop))
        {
            inline.Enter();
            for (int i = 0; i < s_pages.Length; i++)
            {
                int at = i;
                stamp++;
                _ = inline.Write((ulong)s_pages[i] * Page, stamp, address => test.Fault(view, address, Access.Write, out _));
                Volatile.Write(ref published[at], stamp);
            }
            inline.Leave();
        }
        test.CloseView(view);
    }

    /// <summary>Everything that was published before the call is in the image after the reported pages were copied.</summary>
    private static string? CopyAndCompare(ulong[] published, ulong[] image, Func<int[]> reported, string when)
    {
        ulong[] before = [.. Enumerable.Range(0, published.Length).Select(i => Volatile.Read(ref published[i]))];
        int[] found = reported();
        for (int i = 0; i < s_pages.Length; i++)
        {
            if (found.Contains(s_pages[i]))
            {
                image[i] = ValueAt((ulong)s_pages[i] * Page);
            }
            if (image[i] < before[i])
            {
                return $"{when}: page {s_pages[i]} has {image[i]} in the copy, {before[i]} was stored";
            }
        }
        return null;
    }
}
