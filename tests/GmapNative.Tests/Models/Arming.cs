using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>Rule 19: publish, grace, walk and change, grace, return; and how the walk treats the summary.</summary>
[TestFixture]
public sealed class Arming
{
    private const string Untracked = "a writable, untracked leaf after arming returned";
    private const string Unseen = "a store is neither in the copy made after arming nor marked in entry and summary";

    private const string Unsummarized = "an entry is marked and its summary bit is clear";

    public enum Order
    {
        PublishGraceWalkGrace,
        PublishWalkGrace,
        PublishGraceWalk,
        GraceWalkPublishGrace,
    }

    public enum WalkOrder
    {
        SummaryThenEntries,
        EntriesThenSummary,
    }

    [Test]
    public void Rule_holds() => Check.Holds(FaultInFlight(Order.PublishGraceWalkGrace));

    [TestCase(Order.PublishWalkGrace, Untracked)]
    [TestCase(Order.GraceWalkPublishGrace, Untracked)]
    [TestCase(Order.PublishGraceWalk, Unseen)]
    public void Any_other_order_fails(Order order, string kind) => Check.Fails(FaultInFlight(order), kind);

    [Test]
    public void Summary_exchanged_before_the_entries_holds() => Check.Holds(Walk(WalkOrder.SummaryThenEntries));

    [Test]
    public void Summary_cleared_after_the_entries_fails() =>
        Check.Fails(Walk(WalkOrder.EntriesThenSummary), Unsummarized);

    /// <summary>A fault that installs leaf X, an inline writer of the writable leaf Y, and arming.</summary>
    private static Model<Slot> FaultInFlight(Order order) => new Model<Slot>(default)
        .Thread("F", f => f
            .Do("enter", (ref s) => s.Sections.Enter(1))
            .Do("read slot flag", (ref s) => s.SawLogging = s.Logging)
            .Do("install leaf X", (ref s) => s.WritableX = !s.SawLogging)
            .Do("leave", (ref s) => s.Sections.Leave(1)))
        .Thread("W", w => w
            .Do("enter", (ref s) => s.Sections.Enter(2))
            .Try("load leaf Y", (ref s) => s.ArmedY ? Flow.Next : Flow.To("store"))
            .Do("mark", (ref s) => s.MarkedY = true)
            .Do("store", (ref s) => s.Memory = true)
            .Do("leave", (ref s) => s.Sections.Leave(2)))
        .Thread("A", a =>
        {
            if (order == Order.GraceWalkPublishGrace)
            {
                Grace(a, 1);
                ProtectAll(a);
                Publish(a);
                Grace(a, 2);
            }
            else
            {
                Publish(a);
                if (order != Order.PublishWalkGrace)
                {
                    Grace(a, 1);
                }

                ProtectAll(a);
                if (order != Order.PublishGraceWalk)
                {
                    Grace(a, 2);
                }
            }

            a.Do("return, copy", (ref s) => (s.Returned, s.Copy) = (true, s.Memory));
        })
        .Never(Untracked, (in s) => s.Returned && s.WritableX)
        .NeverAtEnd(Unseen, (in s) => s.Memory && !s.Copy && !s.MarkedY);

    private static void Publish(Actor<Slot> a) => a.Do("publish LOG flag", (ref s) => s.Logging = true);

    private static void ProtectAll(Actor<Slot> a) => a
        .Do("protect X", (ref s) => s.WritableX = false)
        .Do("protect Y", (ref s) => s.ArmedY = true);

    private static void Grace(Actor<Slot> a, int number) => a
        .Do($"barrier {number}", (ref s) => s.Sections.BeginGrace())
        .When($"grace {number}", (in s) => s.Sections.GraceOver());

    /// <summary>
    /// Arming drops the stale marks of a page that two writers go on writing. The wrong order leaves a mark without
    /// its summary bit: no store is lost by that alone (the last grace, and rule 1, still cover it), the invariant
    /// is.
    /// </summary>
    private static Model<Page> Walk(WalkOrder order)
    {
        return new Model<Page>(new Page { SoftDirty = true, Writable = true, Summary = true })
            .Thread("W1", w => Write(w, 1))
            .Thread("W2", w => Write(w, 2))
            .Thread("A", a =>
            {
                if (order == WalkOrder.SummaryThenEntries)
                {
                    ClearSummary(a);
                }

                a.Do("CAS entry P=1, clean", (ref s) => s.Writable = s.SoftDirty = false);
                if (order == WalkOrder.EntriesThenSummary)
                {
                    ClearSummary(a);
                }

                a.Do("barrier", (ref s) => s.Sections.BeginGrace());
                a.When("grace", (in s) => s.Sections.GraceOver());
                a.Do("return, copy", (ref s) => s.Copy = s.Memory);
            })
            .NeverAtEnd(Unsummarized, (in s) => s.SoftDirty && !s.Summary)
            .NeverAtEnd(Unseen, (in s) => s.Memory != s.Copy && !(s.SoftDirty && s.Summary));

        static void ClearSummary(Actor<Page> a) => a.Do("exchange summary", (ref s) => s.Summary = false);
    }

    private static void Write(Actor<Page> w, byte bit) => w
        .Do("enter", (ref s) => s.Sections.Enter(bit))
        .Do("CAS entry", (ref s) =>
        {
            if (!s.Writable)
            {
                s.Writable = s.SoftDirty = true;
            }
        })
        .Try("test summary", (ref s) => s.Summary ? Flow.To("store") : Flow.Next)
        .Do("OR summary", (ref s) => s.Summary = true)
        .Do("store", (ref s) => s.Memory |= bit)
        .Do("leave", (ref s) => s.Sections.Leave(bit));

    private record struct Slot
    {
        public Sections Sections;
        public bool Logging;
        public bool SawLogging;
        public bool WritableX;
        public bool ArmedY;
        public bool MarkedY;
        public bool Memory;
        public bool Copy;
        public bool Returned;
    }

    private record struct Page
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Writable;
        public bool Summary;
        public byte Memory;
        public byte Copy;
    }
}
