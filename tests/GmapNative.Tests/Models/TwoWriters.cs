using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>Rule 1: entry grants, summary is set, then the store; for every store, not only the first.</summary>
[TestFixture]
public sealed class TwoWriters
{
    private const string Missed = "a store that ended before the harvest began is not in its copy";
    private const string Invented = "a page was reported that nobody had written";
    private const string Unmarked = "a store ends neither copied nor marked in entry and summary";

    public enum Order
    {
        EntrySummaryStore,
        GrantedSkipsSummary,
        SummaryEntryStore,
        EntryStoreSummary,
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Rule_holds(bool firstMayDie) => Check.Holds(Build(Order.EntrySummaryStore, firstMayDie));

    [TestCase(Order.GrantedSkipsSummary, false, Missed)]
    [TestCase(Order.GrantedSkipsSummary, true, Missed)]
    [TestCase(Order.SummaryEntryStore, false, Unmarked)]
    [TestCase(Order.EntryStoreSummary, true, Unmarked)]
    public void Without_it_fails(Order order, bool firstMayDie, string kind) =>
        Check.Fails(Build(order, firstMayDie), kind);

    private static Model<State> Build(Order order, bool firstMayDie)
    {
        Model<State> model = new Model<State>(default)
            .Thread("W1", w =>
            {
                Write(w, 1, order);
                if (firstMayDie)
                {
                    w.MayDie((ref s) => s.Sections.Leave(1));
                }
            })
            .Thread("W2", w => Write(w, 2, order).Do("done", (ref s) => s.SecondDone = true))
            .Thread("H", Harvest)
            .NeverAtEnd(Missed, (in s) => s.SecondDoneAtBegin && (s.Copy & 2) == 0)
            .NeverAtEnd(Unmarked, (in s) => s.Memory != s.Copy && !(s.SoftDirty && s.Summary));
        return firstMayDie ? model : model.NeverAtEnd(Invented, (in s) => s.ReportedUnwritten);
    }

    private static Actor<State> Write(Actor<State> w, byte bit, Order order)
    {
        w.Do("enter", (ref s) => s.Sections.Enter(bit));
        switch (order)
        {
            case Order.SummaryEntryStore:
                Summarize(w, "CAS entry");
                Mark(w, "store");
                Store(w, bit);
                break;
            case Order.EntryStoreSummary:
                Mark(w, "store");
                Store(w, bit);
                Summarize(w, "leave");
                break;
            default:
                Mark(w, order == Order.GrantedSkipsSummary ? "store" : "test summary");
                Summarize(w, "store");
                Store(w, bit);
                break;
        }

        return w.Do("leave", (ref s) => s.Sections.Leave(bit));
    }

    private static void Mark(Actor<State> w, string whenGranted) => w.Try("CAS entry", (ref s) =>
    {
        if (s.Writable)
        {
            return Flow.To(whenGranted);
        }

        s.Writable = s.SoftDirty = true;
        return Flow.Next;
    });

    private static void Summarize(Actor<State> w, string whenSet) => w
        .Try("test summary", (ref s) => s.Summary ? Flow.To(whenSet) : Flow.Next)
        .Do("OR summary", (ref s) => s.Summary = true);

    private static void Store(Actor<State> w, byte bit) => w.Do("store", (ref s) => s.Memory |= bit);

    private static void Harvest(Actor<State> h) => h
        .Do("begin", (ref s) => s.SecondDoneAtBegin = s.SecondDone)
        .Try("exchange summary", (ref s) =>
        {
            bool any = s.Summary;
            s.Summary = false;
            return any ? Flow.Next : Flow.End;
        })
        .Try("take", (ref s) =>
        {
            bool any = s.SoftDirty;
            s.SoftDirty = false;
            s.Writable &= !any;
            return any ? Flow.Next : Flow.End;
        })
        .Do("barrier", (ref s) => s.Sections.BeginGrace())
        .When("grace", (in s) => s.Sections.GraceOver())
        .Do("copy", (ref s) =>
        {
            s.Copy = s.Memory;
            s.ReportedUnwritten = s.Memory == 0;
        });

    private record struct State
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Writable;
        public bool Summary;
        public byte Memory;
        public byte Copy;
        public bool SecondDone;
        public bool SecondDoneAtBegin;
        public bool ReportedUnwritten;
    }
}
