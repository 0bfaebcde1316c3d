using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>A populate leaves what faults one after the other leave: the tables bit for bit, the counters, the answer.</summary>
[TestFixture]
public sealed class PopulateTests
{
    private const ulong Host = 1UL << 40; // nothing of it is touched
    private const ulong Reach = 4 * Segment;

    [Test]
    public void Tables_are_those_that_faults_leave([Range(1, 300)] int seed)
    {
        var random = new Random(seed);
        SpaceOptions options = new()
        {
            Limit = random.Next(2) == 0 ? TwoGigabytes - 1 : (4 * TwoGigabytes) - 1,
            Huge = random.Next(3) != 0,
            Policy = random.Next(3) == 0 ? SplitPolicy.Never : SplitPolicy.Lazy,
            Pgstes = seed % 2 == 0,
        };
        using var one = new TestSpace(options);
        using var other = new TestSpace(options);
        ulong start = options.Limit > TwoGigabytes && random.Next(2) == 0 ? TwoGigabytes - (2 * Segment) : 0;
        foreach (SlotRequest slot in Slots(random, start))
        {
            one.Set(slot);
            other.Set(slot);
        }
        for (int step = 0; step < 6; step++)
        {
            (ulong from, ulong size) = Range(random, start);
            Access access = random.Next(2) == 0 ? Access.Read : Access.Write;
            switch (random.Next(4))
            {
                case 0:
                    Same(test => test.Fault(from, access, out _), one, other);
                    break;
                case 1:
                    Same(test => RangeCalls.Unmap(test.Space, from, size, out _), one, other);
                    break;
                case 2:
                    Same(test => RangeCalls.Age(test.Space, from, size, out _), one, other);
                    break;
                default:
                    int status = RangeCalls.Populate(one.Space, from, size, access, out ulong next);
                    Assert.That((status, next), Is.EqualTo(ByFaults(other, from, size, access)));
                    break;
            }
            Assert.That(Picture(one), Is.EqualTo(Picture(other)));
            Assert.That(Counters(one), Is.EqualTo(Counters(other)));
            one.Check();
        }
    }

    [Test]
    public void Every_allocation_in_turn_fails_and_what_was_mapped_stays([Values] bool huge, [Values] bool write)
    {
        var options = new SpaceOptions { Limit = (4 * TwoGigabytes) - 1, Huge = huge };
        const ulong Start = TwoGigabytes - (70 * Segment);
        const ulong Size = (140 * Segment) + (2 * Page);
        Access access = write ? Access.Write : Access.Read;
        using var whole = new TestSpace(options);
        whole.Set(new SlotRequest { Id = 1, GuestAddress = Start, Size = Size, HostAddress = Host, LogDirty = true });
        _ = ByFaults(whole, Start, Size, access);
        int failed = 0;
        for (int n = 0; n == failed; n++)
        {
            using var test = new TestSpace(options);
            test.Set(new SlotRequest { Id = 1, GuestAddress = Start, Size = Size, HostAddress = Host, LogDirty = true });
            test.Engine.Arena.FailAfter = n;
            int status = RangeCalls.Populate(test.Space, Start, Size, access, out ulong next);
            test.Check();
            if (status != Status.Ok)
            {
                failed++;
                Assert.That(status, Is.EqualTo(Status.NoMemory));
                long faults = test.Counters.ReadFaults + test.Counters.WriteFaults;
                ulong each = huge && !write && next <= Start + (140 * Segment) ? Segment : Page;
                Assert.That((ulong)faults, Is.EqualTo((next - Start) / each), "next says where to go on");
                Assert.That(RangeCalls.Populate(test.Space, next, Start + Size - next, access, out next), Is.Zero);
            }
            Assert.That((status == Status.Ok) == (test.Engine.Arena.FailAfter >= 0), "a refusal is never swallowed");
            Assert.That(next, Is.EqualTo(Start + Size));
            Assert.That(Picture(test), Is.EqualTo(Picture(whole)));
        }
        Assert.That(failed, Is.EqualTo(huge && !write ? 3 : 143), "segment tables and page tables");
    }

    private static List<SlotRequest> Slots(Random random, ulong start)
    {
        List<SlotRequest> slots = [];
        ulong at = start + ((ulong)random.Next(3) * Page * (ulong)random.Next(100));
        for (uint id = 1; id <= 3 && at < start + Reach; id++)
        {
            ulong size = random.Next(2) == 0 ? (ulong)random.Next(1, 3) * Segment : (ulong)random.Next(1, 700) * Page;
            ulong skew = random.Next(3) == 0 ? Page : 0; // no leaf fits
            slots.Add(new SlotRequest
            {
                Id = id,
                GuestAddress = at,
                Size = size,
                HostAddress = Host + at + skew,
                ReadOnly = random.Next(4) == 0,
                LogDirty = random.Next(2) == 0,
            });
            at += size + (random.Next(2) == 0 ? 0 : (ulong)random.Next(300) * Page);
        }
        return slots;
    }

    private static (ulong From, ulong Size) Range(Random random, ulong start)
    {
        ulong from = start + (random.Next(2) == 0 ? (ulong)random.Next(4) * Segment : (ulong)random.Next(1024) * Page);
        return (from, random.Next(2) == 0 ? (ulong)random.Next(1, 4) * Segment : (ulong)random.Next(600) * Page);
    }

    private static void Same(Func<TestSpace, int> call, TestSpace one, TestSpace other) =>
        Assert.That(call(one), Is.EqualTo(call(other)));

    private static (int Status, ulong Next) ByFaults(TestSpace test, ulong from, ulong size, Access access)
    {
        ulong end = from + size;
        while (from < end)
        {
            int status = test.Fault(from, access, out FaultOutcome outcome);
            if (status != Status.Ok)
            {
                return (status, from);
            }
            from = Math.Min(end, (from & ~(outcome.LeafSize - 1)) + outcome.LeafSize);
        }
        return (Status.Ok, from);
    }

    /// <summary>Every entry and summary word, with the tables' own places left out.</summary>
    private static string[] Picture(TestSpace test)
    {
        List<string> seen = [];
        for (ulong region = 0; region <= test.Space.Limit; region += TwoGigabytes)
        {
            if (!test.Space.Tree.TryFind(region, out SegmentTable table))
            {
                _ = test.Space.Tree.TryLoadRegion(region, out RegionEntry none);
                seen.Add($"{region:x}: {none.Value:x}");
                continue;
            }
            for (int i = 0; i < GuestAddress.TableEntries; i++)
            {
                SegmentCell cell = table.Cell(i);
                SegmentEntry entry = cell.Load();
                ulong place = entry.IsTable ? entry.TableOrigin : 0;
                seen.Add($"{region:x} {i}: {entry.Value - place:x} {cell.Summary:x}");
                seen.AddRange(place == 0 ? [] : Pages(new PageTable(place)));
            }
        }
        return [.. seen];
    }

    private static IEnumerable<string> Pages(PageTable table) =>
        Enumerable.Range(0, GuestAddress.PageTableEntries).Select(page => $"  {page}: {table.Load(page).Value:x}");

    private static long[] Counters(TestSpace test)
    {
        CounterWords counted = test.Counters;
        return
        [
            counted.ReadFaults, counted.WriteFaults, counted.GuestConditions, counted.SegmentsMapped, counted.PagesMapped, counted.Splits,
            counted.SplitsLost, counted.PagesGranted, counted.SegmentsGranted,
        ];
    }
}
