using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using GmapNative.Tests.Review;
using NUnit.Framework;

namespace GmapNative.Tests.FastPath;

/// <summary>
/// On the fast path of one vcpu no cache line is written that another vcpu reads or writes, but the entry's and its summary word's.
/// Shown by copies of all that the library has, before and after.
/// </summary>
[TestFixture]
[NonParallelizable]
public sealed unsafe class SharedLinesTests
{
    private const ulong Line = 64;
    private const ulong Pages = 2048; // of eight segments

    [TestCase("inline stores to clean pages")]
    [TestCase("inline stores to dirty pages")]
    [TestCase("faults on clean pages")]
    [TestCase("faults on dirty pages")]
    [TestCase("faults for reading")]
    public void Only_the_entry_its_summary_word_and_ones_own_lines_are_written(string path)
    {
        using var host = new Host(Pages * Host.Page);
        using var other = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, host.Bytes, Spaces.SlotLogDirty), Is.Zero);
        ulong vcpu = host.Open(out ViewWords* view);
        ulong[] addresses = [.. Enumerable.Range(0, 200).Select(i => (ulong)i * 37 % Pages * Host.Page)];
        Prepare(host, vcpu, view, addresses, clean: path.EndsWith("clean pages", StringComparison.Ordinal));
        HashSet<ulong> allowed = LinesOf(host.Inside, addresses, view);
        var own = HandleTable.Find<Vcpu>(HandleKind.Vcpu, vcpu)!;
        var writer = new InlineWriter(own.View);
        _ = Use(path, vcpu, view, writer, []); // what is compiled or first looked up comes before the copies
        byte[] memory = CopyOf(host.Inside.Engine.Arena);
        ulong[] sections = [.. Enumerable.Range(0, LibrarySections.Count).Select(slot => LibrarySections.Word(slot))];
        var objects = new ObjectSnapshot();

        int asked = Use(path, vcpu, view, writer, addresses);

        var after = new ObjectSnapshot();
        Assert.That(asked, Is.Zero);
        Assert.That(Enumerable.Range(0, LibrarySections.Count).Select(slot => LibrarySections.Word(slot)), Is.EqualTo(sections));
        HashSet<ulong> written = Differences(host.Inside.Engine.Arena, memory);
        Assert.That(written.Except(allowed), Is.Empty, "lines of table, log and view memory");
        Assert.That(written, Has.Member((ulong)view));
        Assert.That(written, Has.Count.GreaterThan(path.EndsWith("clean pages", StringComparison.Ordinal) ? 100 : 0));
        const string mine = "_owned[1]._words[1]."; // of the second view that was opened: the first is the other thread's
        string[] words = [.. objects.Differences(after)];
        Assert.That(words.Where(word => !word.Contains(mine, StringComparison.Ordinal)), Is.Empty, $"of {objects.Count} words in objects");
        Assert.That(words, path.StartsWith("faults", StringComparison.Ordinal) ? Is.Not.Empty : Is.Empty);
        Host.Close(vcpu);
    }

    /// <summary>The test above sees what it is there for: a library call without a view counts in a shared word, and is found.</summary>
    [Test]
    public void Copies_show_what_other_calls_write()
    {
        using var host = new Host(Host.Segment);
        Assert.That(host.SetSlot(1, 0, host.Bytes, Spaces.SlotLogDirty), Is.Zero);
        byte[] memory = CopyOf(host.Inside.Engine.Arena);
        var objects = new ObjectSnapshot();
        ulong vcpu = host.Open(out ViewWords* view);
        Assert.That(Host.Fault(vcpu, 0, Access.Write), Is.Zero);
        Host.Leave(view);
        _ = host.Harvest(1, 256, out _);
        Assert.That(Differences(host.Inside.Engine.Arena, memory), Has.Count.GreaterThan(4));
        string[] words = [.. objects.Differences(new ObjectSnapshot())];
        Assert.That(words.Count(word => word.Contains("_gracePeriods", StringComparison.Ordinal)), Is.EqualTo(1), string.Join('\n', words));
        Host.Close(vcpu);
    }

    [Test]
    public void Words_of_different_threads_lie_in_different_pairs_of_lines()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        SpaceCounters counters = test.Space.Counters;
        nint used = Unsafe.ByteOffset(ref counters.Of(0).ReadFaults, ref counters.Of(0).PagesAged) + sizeof(long);
        Assert.That((long)used + 127, Is.LessThan((long)Unsafe.ByteOffset(ref counters.Of(0), ref counters.Of(1))));
        View second = test.OpenView();
        Assert.That((ulong)test.View.Address % 128, Is.Zero);
        Assert.That((long)Math.Abs(second.Address - test.View.Address), Is.GreaterThanOrEqualTo(128));
        Assert.That((long)Math.Abs((nint)test.Space.Words - test.View.Address), Is.GreaterThanOrEqualTo(128), "harvests write it");
        nint sections = (nint)Unsafe.AsPointer(ref LibrarySections.Word(1)) - (nint)Unsafe.AsPointer(ref LibrarySections.Word(0));
        Assert.That((long)sections, Is.GreaterThanOrEqualTo(128));
    }

    [Test]
    public void Nothing_is_lost_where_more_threads_than_stripes_count_at_once()
    {
        const int Threads = SpaceCounters.Stripes + 8;
        const int Faults = 4000;
        using var memory = new GuestMemory(TestSpace.Segment);
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        test.Set(new SlotRequest { Id = 1, Size = TestSpace.Segment, HostAddress = memory.Start });
        int left = Threads;
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(i => new Thread(() =>
        {
            View view = test.OpenView();
            for (int n = 0; n < Faults; n++)
            {
                _ = test.Fault(view, (ulong)((i + n) % 256) * TestSpace.Page, n % 2 == 0 ? Access.Read : Access.Write, out _);
            }
            test.CloseView(view);
            Interlocked.Decrement(ref left);
        }))];
        Array.ForEach(threads, thread => thread.Start());
        for (long before = 0; Volatile.Read(ref left) != 0;)
        {
            CounterWords now = test.Counters;
            Assert.That(now.ReadFaults + now.WriteFaults, Is.GreaterThanOrEqualTo(before), "counters only rise");
            before = now.ReadFaults + now.WriteFaults;
        }
        Array.ForEach(threads, thread => thread.Join());
        Assert.That((test.Counters.ReadFaults, test.Counters.WriteFaults), Is.EqualTo((Threads * Faults / 2L, Threads * Faults / 2L)));
    }

    private static void Prepare(Host host, ulong vcpu, ViewWords* view, ulong[] addresses, bool clean)
    {
        foreach (ulong address in addresses)
        {
            Assert.That(Host.Fault(vcpu, address, Access.Write), Is.Zero);
        }
        Host.Leave(view);
        if (clean)
        {
            Assert.That(host.Harvest(1, Pages, out int[] found), Is.Zero);
            Assert.That(found, Has.Length.EqualTo(addresses.Length));
        }
    }

    /// <summary>How often the fast path asked the library.</summary>
    private static int Use(string path, ulong vcpu, ViewWords* view, InlineWriter writer, ulong[] addresses)
    {
        int asked = 0;
        foreach (ulong address in addresses)
        {
            if (path.StartsWith("inline", StringComparison.Ordinal))
            {
                writer.Enter();
                asked += writer.Store(address, out _);
                writer.Leave();
            }
            else
            {
                Access access = path.EndsWith("reading", StringComparison.Ordinal) ? Access.Read : Access.Write;
                asked += Host.Fault(vcpu, address, access) == Status.Ok ? 0 : 1;
            }
        }
        Host.Leave(view);
        return asked;
    }

    /// <summary>The lines of the entries, of their summary words, of those words' stripes, and the first line of the vcpu's view.</summary>
    private static HashSet<ulong> LinesOf(AddressSpace space, ulong[] addresses, ViewWords* view)
    {
        HashSet<ulong> lines = [(ulong)view];
        foreach (ulong address in addresses)
        {
            Assert.That(space.Tree.TryFind(address, out SegmentTable table), Is.True);
            int index = GuestAddress.SegmentIndex(address);
            SegmentEntry entry = table.Cell(index).Load();
            Assert.That(entry.IsTable, Is.True, "all are split");
            lines.Add((entry.TableOrigin + ((ulong)GuestAddress.PageIndex(address) * sizeof(ulong))) & ~(Line - 1));
            lines.Add((table.Origin + SegmentTable.SummaryOffset + ((ulong)index * sizeof(uint))) & ~(Line - 1));
            lines.Add((table.Origin + SegmentTable.StripesOffset) & ~(Line - 1));
        }
        return lines;
    }

    private static byte[] CopyOf(Arena arena) => Committed(arena).ToArray();

    private static HashSet<ulong> Differences(Arena arena, byte[] before)
    {
        ReadOnlySpan<byte> now = Committed(arena);
        HashSet<ulong> lines = [];
        for (int at = 0; at < before.Length; at += (int)Line)
        {
            if (!now.Slice(at, (int)Line).SequenceEqual(before.AsSpan(at, (int)Line)))
            {
                lines.Add((ulong)arena.Start + (ulong)at);
            }
        }
        return lines;
    }

    // Blocks that were handed out: committed, and mapped until the engine ends.
    private static ReadOnlySpan<byte> Committed(Arena arena) =>
        new((void*)arena.Start, (int)(arena.Committed - arena.Charged - arena.Unused));
}
