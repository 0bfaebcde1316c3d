using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Rule 23: a uniform table becomes a leaf while others use it, and nobody loses a write.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class CollapseTests(bool pgstes) : LoggedSlot(pgstes)
{
    [Test]
    public void Clean_table_becomes_a_leaf_that_the_next_write_splits()
    {
        using TestSpace test = Make();
        test.Write(7 * Page);
        Assert.That(Collapse(test), Is.Zero, "a page is dirty");
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }));
        Assert.That(Collapse(test), Is.EqualTo(1));
        Assert.That(test.Read(9 * Page).LeafSize, Is.EqualTo(Segment));
        Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((0UL, 0L)));
        FaultOutcome again = test.Write(9 * Page);
        Assert.That((again.LeafSize, again.Done & FaultDone.Split), Is.EqualTo((Page, FaultDone.Split)));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 9 }));
    }

    [Test]
    public void Dirty_table_becomes_a_dirty_leaf_that_is_reported_once()
    {
        using TestSpace test = Make();
        for (ulong page = 0; page < 256; page++)
        {
            test.Write(page * Page);
        }
        Assert.That(Collapse(test), Is.EqualTo(1));
        test.Check();
        Assert.That(test.Translate(3 * Page, Access.Write, out FaultOutcome leaf), Is.Zero);
        Assert.That(leaf.LeafSize, Is.EqualTo(Segment));
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, 256)));
        Assert.That(test.Harvest(1), Is.Empty);
    }

    [Test]
    public void What_is_not_uniform_stays_a_table([Values("hole", "marked", "ragged", "elsewhere")] string what)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(what switch
        {
            "ragged" => Slot with { GuestAddress = Page, Size = Segment - Page, HostAddress = Memory.Start + Page },
            "elsewhere" => Slot with { HostAddress = Memory.Start + Page },
            _ => Slot,
        });
        ulong first = what == "ragged" ? 1u : 0;
        for (ulong page = first; page < 256; page++)
        {
            test.Write(page * Page);
        }
        if (what == "hole")
        {
            Assert.That(RangeCalls.Unmap(test.Space, 200 * Page, Page, out _), Is.Zero);
        }
        else if (what == "marked")
        {
            Assert.That(test.Harvest(1, 200, 1, HarvestFlags.None, new ulong[1], out _), Is.Zero);
        }
        Assert.That(Collapse(test), Is.Zero);
        test.Check();
    }

    [Test]
    public void End_of_logging_leaves_leaves_that_take_writes([Values] bool readOnly)
    {
        using TestSpace test = Make();
        test.Write(7 * Page);
        test.Write(Segment);
        test.Set(Slot with { LogDirty = false, ReadOnly = readOnly });
        Assert.That(test.Read(7 * Page).LeafSize, Is.EqualTo(Segment));
        Assert.That(test.Translate(Segment, Access.Write, out _), readOnly ? Is.Not.Zero : Is.Zero);
        Assert.That(test.Space.Tree.Count().Pages, Is.Zero);
    }

    [Test]
    public void Reader_of_the_old_table_holds_only_itMemory()
    {
        using TestSpace test = Make(graceTimeout: 10_000_000);
        Split(test);
        View reader = test.OpenView();
        reader.Owner = -1; // as if it were another thread's: ours may wait for it
        reader.Enter();
        Assert.That(RangeCalls.Collapse(test.Space, 0, 2 * Segment, out ulong collapsed), Is.EqualTo(Status.TimedOut));
        Assert.That((collapsed, test.Engine.LimboBytes), Is.EqualTo((1UL, test.PageTableBytes)));
        Assert.That(test.Read(0).LeafSize, Is.EqualTo(Segment), "it is collapsed all the same");
        reader.Leave();
        Assert.That(RangeCalls.Unmap(test.Space, Segment, Segment, out _), Is.Zero, "the next grace frees it");
        Assert.That(test.Engine.LimboBytes, Is.Zero);
        test.CloseView(reader);
    }

    [Test]
    public void Inside_a_section_it_is_refused_and_without_leaves_it_is_not_there()
    {
        using TestSpace test = Make();
        test.View.Enter();
        int inside = RangeCalls.Collapse(test.Space, 0, Segment, out _);
        test.View.Leave();
        using var small = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, Huge = false });
        int without = RangeCalls.Collapse(small.Space, 0, Segment, out _);
        Assert.That((inside, without), Is.EqualTo((Status.Deadlock, Status.NotSupported)));
    }

    /// <summary>A writer comes at each place of a collapse, and to a page that was held already or comes later.</summary>
    [Test]
    public void Writer_that_comes_in_anywhere_is_reported([Values(0, 255)] int page)
    {
        List<string> lost = [.. Enumerable.Range(0, PlacesOfCollapse()).Select(place => LostAt(place, page)).OfType<string>()];
        Assert.That(lost, Is.Empty);
    }

    /// <summary>The mapping stays usable: at each place of a collapse a load walks through without asking the library.</summary>
    [Test]
    public void Loads_go_through_at_every_place([Values] bool dirty)
    {
        using TestSpace test = Make();
        Split(test);
        for (ulong page = 0; dirty && page < 256; page++)
        {
            test.Write(page * Page);
        }
        View view = test.OpenView();
        view.Owner = -1;
        var reader = new InlineWriter(view);
        int asked = 0;
        int places = 0;
        Probe.Visitor = _ =>
        {
            reader.Enter();
            foreach (ulong page in (ulong[])[0, 100, 255])
            {
                asked += reader.Load(page * Page, out nint host) == 0 && host == (nint)(Memory.Start + (page * Page)) ? 0 : 1;
            }
            places++;
            reader.Leave();
        };
        Assert.That(Collapse(test), Is.EqualTo(1));
        Probe.Visitor = null;
        test.CloseView(view);
        Assert.That((asked, places > 4), Is.EqualTo((0, true)));
    }

    /// <summary>Entries are held by their right to write; no slot becomes read-only by it.</summary>
    [Test]
    public void A_translation_never_calls_a_writable_slot_read_only()
    {
        using TestSpace test = Make();
        Split(test);
        List<(int Status, FaultReason Reason)> answers = [];
        Probe.Visitor = _ => answers.Add((test.Translate(0, Access.Write, out FaultOutcome outcome), outcome.Reason));
        Assert.That(Collapse(test), Is.EqualTo(1));
        Probe.Visitor = null;
        Assert.That(answers.Distinct(), Is.EqualTo(new[] { (Status.Protection, FaultReason.NeedsFault) }));
    }

    [Test]
    public void Writer_is_lost_where_entries_are_not_held()
    {
        Probe.LeftOut = Step.NoHoldInCollapse;
        Assert.That(Enumerable.Range(0, PlacesOfCollapse()).Any(place => LostAt(place, 0) is not null), Is.True);
    }

    [Test]
    public void Dirt_is_lost_where_a_mixed_table_becomes_a_clean_leaf()
    {
        Probe.LeftOut = Step.MixedCollapse;
        using TestSpace test = Make();
        test.Write(7 * Page);
        test.Read(0);
        Collapse(test);
        Assert.That(test.Harvest(1), Is.Not.EqualTo(new[] { 7 }));
    }

    /// <summary>Null, or what was lost when page was written at the n-th place of a collapse.</summary>
    private static string? LostAt(int place, int page)
    {
        using TestSpace test = Make();
        Split(test);
        View view = test.OpenView();
        view.Owner = -1;
        var writer = new InlineWriter(view);
        int at = 0;
        int status = InlineWriter.Ask;
        Probe.Visitor = _ =>
        {
            if (at++ == place)
            {
                Probe.Visitor = null; // not the writer's own places
                writer.Enter();
                status = writer.Store((ulong)page * Page, out nint _);
                writer.Leave();
            }
        };
        _ = Collapse(test);
        Probe.Visitor = null;
        if (status == InlineWriter.Ask)
        {
            Assert.That(test.Fault(view, (ulong)page * Page, Access.Write, out _), Is.Zero);
            view.Leave();
        }
        test.CloseView(view);
        int[] reported = test.Harvest(1);
        return reported.SequenceEqual([page]) ? null : $"place {place}: {string.Join(' ', reported)} reported";
    }

    private static int PlacesOfCollapse()
    {
        using TestSpace test = Make();
        Split(test);
        int places = 0;
        Probe.Visitor = _ => places++;
        _ = Collapse(test);
        Probe.Visitor = null;
        Assert.That(places, Is.GreaterThan(256));
        return places;
    }

    private static void Split(TestSpace test)
    {
        test.Read(0);
        Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
    }

    private static ulong Collapse(TestSpace test)
    {
        Assert.That(RangeCalls.Collapse(test.Space, 0, 2 * Segment, out ulong collapsed), Is.Zero);
        return collapsed;
    }
}
