using System;
using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.RegionSpace;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// Rule 33 by lot: the same calls in a space with 2 GB leaves and in one without answer the same, and report the same pages; under the
/// policy never those of the larger leaves too.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
internal sealed class RegionLeafPropertyTests(bool pgstes) : FormatFixture(pgstes)
{
    private const int Steps = 40;

    private static readonly ulong[] s_starts = [Start, First, First + Segment, Second - Segment, Second, Second + (700 * Segment), Third];
    private static readonly ulong[] s_sizes = [Page, 3 * Page, Segment, 3 * Segment, TwoGigabytes, TwoGigabytes + Segment];

    [Test]
    public void Calls_by_lot_answer_as_without_2_GB_leaves([Values] SplitPolicy policy, [Range(1, 6)] int seed)
    {
        var random = new Random(seed);
        bool logs = seed % 2 == 0;
        using TestSpace large = RegionSpace.Make(policy, logs);
        using var small = new TestSpace(RegionSpace.Options with { Policy = policy, Huge2G = false });
        small.Set(RegionSpace.Slot with { LogDirty = logs });
        var story = new List<string>();
        var pair = new Pair(large, small, policy == SplitPolicy.Never, story) { Logs = logs };
        for (int step = 0; step < Steps; step++)
        {
            pair.Step(random);
            Assert.That(large.Violation(), Is.Null, string.Join('\n', story));
        }
        pair.Harvest(HarvestFlags.None);
        Assert.That(large.Counters.SegmentsMapped, Is.Not.Zero);
    }

    /// <summary>Two spaces that are to be told apart by nothing but the sizes of their leaves.</summary>
    private sealed class Pair(TestSpace large, TestSpace small, bool whole, List<string> story)
    {
        public bool Logs { get; set; }

        private bool IsReadOnly { get; set; }

        public void Step(Random random)
        {
            ulong at = s_starts[random.Next(s_starts.Length)] + ((ulong)random.Next(4) * Page);
            ulong size = s_sizes[random.Next(s_sizes.Length)];
            size = Math.Min(size, Start + Size - at);
            switch (random.Next(14))
            {
                case 0:
                    Both($"unmap {at:x} {size:x}", test => RangeCalls.Unmap(test.Space, at, size, out _));
                    break;
                case 1:
                    Both($"discard {at:x} {size:x}", test => RangeCalls.Discard(test.Space, at, size, out _));
                    break;
                case 2:
                    Both($"age {at:x} {size:x}", test => RangeCalls.Age(test.Space, at, size, out _));
                    break;
                case 3:
                    size = Math.Min(size, 3 * Segment);
                    Both($"split {at:x} {size:x}", test => RangeCalls.Split(test.Space, at, size, out _));
                    break;
                case 4:
                    Both($"collapse {at:x} {size:x}", test => RangeCalls.Collapse(test.Space, at, size, out _));
                    break;
                case 5:
                    Access access = random.Next(2) == 0 || size > 3 * Segment ? Access.Read : Access.Read | Access.Write;
                    Both($"populate {at:x} {size:x} {access}", test => RangeCalls.Populate(test.Space, at, size, access, out _));
                    break;
                case 6:
                    SetSlot(random);
                    break;
                case 7:
                    Harvest(random.Next(3) == 0 ? HarvestFlags.NoRearm : HarvestFlags.None);
                    break;
                default:
                    Touch(random, at);
                    break;
            }
        }

        public void Harvest(HarvestFlags flags)
        {
            if (Logs)
            {
                story.Add($"harvest {flags}");
                ulong[] first = Harvest(large, flags);
                ulong[] second = Harvest(small, flags);
                for (int i = 0; i < first.Length; i++)
                {
                    bool right = whole ? (second[i] & ~first[i]) == 0 : first[i] == second[i];
                    Assert.That(right, Is.True, $"pages from {i * 64}: {first[i]:x} {second[i]:x}\n" + string.Join('\n', story));
                }
            }
        }

        private static ulong[] Harvest(TestSpace test, HarvestFlags flags)
        {
            ulong[] bitmap = new ulong[Size / Page / 64];
            Assert.That(test.Harvest(1, 0, Size / Page, flags, bitmap, out _), Is.Zero);
            return bitmap;
        }

        private void SetSlot(Random random)
        {
            bool logs = random.Next(2) == 0;
            bool initially = logs && !Logs && random.Next(2) == 0;
            IsReadOnly ^= random.Next(4) == 0;
            SlotRequest slot = RegionSpace.Slot with { LogDirty = logs, InitiallyDirty = initially, ReadOnly = IsReadOnly };
            Both($"slot logs {logs} initially {initially} read-only {IsReadOnly}", test => test.Space.Changes.Set(slot));
            Logs = logs;
        }

        private void Touch(Random random, ulong at)
        {
            Access access = random.Next(3) == 0 ? Access.Read : Access.Write;
            for (int i = 0; i < 3; i++, at += (ulong)random.Next(300) * Page)
            {
                ulong address = at;
                Both($"{access} {address:x}", test => test.Fault(address, access, out _));
            }
        }

        private void Both(string what, Func<TestSpace, int> call)
        {
            story.Add(what);
            (int first, int second) = (call(large), call(small));
            Assert.That(first, Is.EqualTo(second), string.Join('\n', story));
        }
    }
}
