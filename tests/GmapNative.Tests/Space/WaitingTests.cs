using System;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Who waits for whom, what a reader costs that does not leave, and how spaces and engines end.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
public sealed class WaitingTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Milliseconds = 1_000_000;

    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = 0,
        Size = 2 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    private static TestSpace Make(ulong timeout = 0, Action<ulong>? kick = null)
    {
        var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 },
            new EngineOptions { ArenaBytes = 4 << 20, GraceTimeoutNanoseconds = timeout, Kick = kick });
        test.Set(s_slot);
        return test;
    }

    [TestCase("harvest")]
    [TestCase("clear")]
    [TestCase("unmap")]
    [TestCase("slot")]
    [TestCase("limit")]
    [TestCase("destroy")]
    [Property("Scenario", 28)]
    public void Call_that_waits_is_refused_inside_a_section(string call)
    {
        using TestSpace test = Make();
        test.Write(0);
        test.View.Enter();
        int status = call switch
        {
            "harvest" => test.Harvest(1, 0, 512, HarvestFlags.None, new ulong[8], out _),
            "clear" => test.Clear(1, 0, 512, [1, 0, 0, 0, 0, 0, 0, 0]),
            "unmap" => RangeCalls.Unmap(test.Space, 0, Segment, out _),
            "slot" => test.Space.Changes.Set(new SlotRequest { Id = 1 }),
            "limit" => test.Space.SetLimit(4 * TwoGigabytes),
            _ => test.Space.TryDestroy(),
        };
        test.View.Leave();
        Assert.That(status, Is.EqualTo(Status.Deadlock));
        Assert.That(test.Translate(0, Access.Write, out _), Is.Zero, "nothing changed");
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [Test]
    public void Get_waits_for_no_reader_and_goes_inside_a_section()
    {
        using TestSpace test = Make();
        test.Write(0);
        test.View.Enter();
        int status = test.Get(1, 0, 512, null, out ulong dirty);
        test.View.Leave();
        Assert.That((status, dirty), Is.EqualTo((Status.Ok, 1UL)));
    }

    [Test]
    public void Reader_that_stays_costs_a_harvest_its_time_and_nothing_is_lost()
    {
        int kicks = 0;
        ulong kicked = 0;
        using TestSpace test = Make(30 * Milliseconds, vcpu =>
        {
            kicks++;
            kicked = vcpu;
        });
        test.Write(7 * Page);
        ulong stuck = 0;
        OnAnotherThread(test, view =>
        {
            stuck = view.Vcpu;
            test.Fault(view, 9 * Page, Access.Write, out _);
        }, () =>
        {
            ulong[] bitmap = [5, 0, 0, 0, 0, 0, 0, 0];
            Assert.That(test.Harvest(1, 0, 512, HarvestFlags.None, bitmap, out ulong dirty), Is.EqualTo(Status.TimedOut));
            Assert.That((bitmap[0], dirty), Is.EqualTo((5UL, 0UL)), "nothing is delivered");
            Assert.That(test.Harvest(1, 0, 512, HarvestFlags.None, bitmap, out _), Is.EqualTo(Status.TimedOut));
        });
        Assert.That((kicks > 0, kicked), Is.EqualTo((true, stuck)));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7, 9 }));
        Assert.That(test.Harvest(1), Is.Empty);
        test.Check();
    }

    [Test]
    public void Kicked_reader_leaves_and_the_harvest_goes_on()
    {
        using var leave = new ManualResetEventSlim();
        using TestSpace test = Make(0, _ => leave.Set());
        test.Write(3 * Page);
        using var inside = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            View view = test.OpenView();
            view.Enter();
            inside.Set();
            leave.Wait();
            view.Leave();
            test.CloseView(view);
        });
        thread.Start();
        inside.Wait();
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Assert.That(leave.IsSet, Is.True, "without a kick nothing would have ended the wait");
        thread.Join();
    }

    [Test]
    public void Reader_that_enters_anew_counts_as_one_that_left()
    {
        using TestSpace test = Make(5_000 * Milliseconds);
        test.Write(3 * Page);
        bool stop = false;
        using var inside = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            View view = test.OpenView();
            while (!Volatile.Read(ref stop))
            {
                view.Enter(); // never a leave: left by longjmp
                inside.Set();
            }
            test.CloseView(view);
        });
        thread.Start();
        inside.Wait();
        int[] found = test.Harvest(1);
        Volatile.Write(ref stop, true);
        thread.Join();
        Assert.That(found, Is.EqualTo(new[] { 3 }));
    }

    [Test]
    public void Tables_wait_in_limbo_for_a_reader()
    {
        using TestSpace test = Make(10 * Milliseconds);
        test.Write(0);
        OnAnotherThread(test, view => view.Enter(), () =>
        {
            Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out ulong next), Is.EqualTo(Status.TimedOut));
            Assert.That(next, Is.EqualTo(Segment), "it is unmapped all the same");
            Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((test.PageTableBytes, 1L)));
        });
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((0UL, 0L)));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [Test]
    public void Change_of_a_slot_that_times_out_is_made()
    {
        using TestSpace test = Make(10 * Milliseconds);
        test.Write(0);
        OnAnotherThread(test, view => view.Enter(), () =>
            Assert.That(test.Space.Changes.Set(s_slot with { ReadOnly = true }), Is.EqualTo(Status.TimedOut)));
        Assert.That(test.Fault(0, Access.Write, out _), Is.EqualTo(Status.Protection));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
        test.Check();
    }

    [Test]
    public void Harvest_while_logging_is_turned_on_does_not_cost_the_next_write()
    {
        using TestSpace test = Make();
        test.Set(s_slot with { LogDirty = false });
        test.Write(0);
        View call = test.OpenView();
        call.EnterCall(); // a fault in flight: the change waits for it between publishing and arming
        call.Leave();
        var arms = new Thread(() => test.Set(s_slot with { InitiallyDirty = true }));
        arms.Start();
        Assert.That(SpinWait.SpinUntil(() => test.Space.Map.ById(1)!.Tracking is not null, 5000), Is.True);
        int[] first = [];
        var harvests = new Thread(() =>
        {
            View view = test.OpenView();
            first = test.Harvest(1);
            test.Fault(view, 5 * Page, Access.Write, out _);
            test.CloseView(view);
        });
        harvests.Start();
        harvests.Join(200); // either it comes through, or it waits for the change
        call.LeaveCall();
        arms.Join();
        harvests.Join();
        Assert.That(first, Is.EqualTo(Range(0, 512)));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 5 }), "written after the harvest");
    }

    [Test]
    public void Destroying_a_space_frees_all_its_tables()
    {
        using TestSpace test = Make();
        test.Write(0);
        test.Read(Segment);
        Assert.That(test.Space.TryDestroy(), Is.EqualTo(Status.Busy), "a view is open");
        test.CloseView(test.View);
        Assert.That(test.Space.TryDestroy(), Is.Zero);
        Assert.That((test.PageTables, test.Engine.Pool.Live(TableKind.Segment)), Is.EqualTo((0L, 1L)));
        Assert.That((ulong)test.Engine.Arena.Charged, Is.Zero);
        Assert.That(test.Engine.Spaces, Is.Zero);
        Assert.That(test.Space.TryDestroy(), Is.EqualTo(Status.BadHandle));
        Assert.That(test.Space.Changes.Set(s_slot), Is.EqualTo(Status.BadHandle));
        Assert.That(test.Space.SetLimit(0), Is.EqualTo(Status.BadHandle));
        Assert.That(RangeCalls.Unmap(test.Space, 0, Page, out _), Is.EqualTo(Status.BadHandle));
        Assert.That(RangeCalls.Populate(test.Space, 0, Page, Access.Read, out _), Is.EqualTo(Status.BadHandle));
    }

    [Test]
    public void Space_and_engine_do_not_end_under_a_harvest_that_waits()
    {
        for (int round = 0; round < 20; round++)
        {
            TestSpace test = Make();
            test.Write(0);
            View reader = test.OpenView();
            reader.Owner = -1; // another thread's
            reader.Enter();
            var harvests = new Thread(() => test.Harvest(1, 0, 512, HarvestFlags.None, new ulong[8], out _));
            long graces = test.Space.Epochs.GracePeriods;
            harvests.Start();
            Assert.That(SpinWait.SpinUntil(() => test.Space.Epochs.GracePeriods > graces, 5000), Is.True);
            Thread.Sleep(1); // it looks at the reader's word from time to time by now
            string? wrong = test.Close(); // the memory is gone: a harvest that still looked would end the process
            harvests.Join();
            Assert.That(wrong, Is.Null);
        }
    }

    [Test]
    public void Engine_that_ends_makes_no_more_spaces()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        Assert.That(test.Engine.TryClose(), Is.False, "a space lives");
        test.CloseView(test.View);
        Assert.That(test.Space.TryDestroy(), Is.Zero);
        Assert.That((test.Engine.TryClose(), test.Engine.TryClose()), Is.EqualTo((true, false)));
        Assert.That(AddressSpace.TryCreate(test.Engine, new SpaceOptions { Limit = 0 }, out _), Is.EqualTo(Status.BadHandle));
    }

    [Test]
    public void Closed_view_answers_ask_to_everything()
    {
        using TestSpace test = Make();
        test.Write(0);
        View view = test.OpenView();
        var writer = new InlineWriter(view);
        writer.Enter();
        Assert.That(writer.Store(0, out _), Is.Zero);
        test.CloseView(view);
        Assert.That(writer.IsInside, Is.False, "closing counts as leave");
        writer.Enter();
        Assert.That((writer.Store(0, out _), writer.Load(0, out _)), Is.EqualTo((InlineWriter.Ask, InlineWriter.Ask)));
        writer.Leave();
    }

    [Test]
    public void View_of_another_version_answers_ask_to_everything()
    {
        using TestSpace test = Make();
        test.Write(0);
        unsafe
        {
            nint words = test.Engine.Control.TryAllocate();
            var view = new View(words, test.Space.Words, ViewWords.InlineVersion + 1, test.Engine.ClosedSpace);
            Assert.That(new InlineWriter(view).Load(0, out _), Is.EqualTo(InlineWriter.Ask));
        }
    }

    /// <summary>
    /// Runs <paramref name="enter"/> on a thread with a view of its own, then <paramref name="meanwhile"/> here, then leaves there.
    /// </summary>
    private static void OnAnotherThread(TestSpace test, Action<View> enter, Action meanwhile)
    {
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            View view = test.OpenView();
            enter(view);
            inside.Set();
            leave.Wait();
            view.Leave();
            test.CloseView(view);
        });
        thread.Start();
        inside.Wait();
        try
        {
            meanwhile();
        }
        finally
        {
            leave.Set();
            thread.Join();
        }
    }
}
