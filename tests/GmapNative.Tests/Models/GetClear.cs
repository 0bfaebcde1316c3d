using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>Rule 14: GET only looks, CLEAR takes; and what a last round without re-arming may leave behind.</summary>
[TestFixture]
public sealed class GetClear
{
    private const string Lost = "a store is neither copied nor marked";
    private const string OtherMissed = "another consumer never hears of the page";

    public enum Variant
    {
        GetClearCopy,
        GetCopyClear,
        ClearPoursForNobody,
        GetTakes,
        ClearArmsAfterGrace,
    }

    public enum LastRound
    {
        QuietGuest,
        RunningGuest,
        ResumedAfterRearm,
        ResumedMarksKept,
        ResumedMarksTaken,
    }

    [Test]
    public void Get_clear_copy_holds() => Check.Holds(Build(Variant.GetClearCopy));

    [TestCase(Variant.GetCopyClear, Lost)]
    [TestCase(Variant.ClearPoursForNobody, OtherMissed)]
    [TestCase(Variant.GetTakes, Lost)]
    [TestCase(Variant.ClearArmsAfterGrace, Lost)]
    public void Any_other_way_fails(Variant variant, string kind) => Check.Fails(Build(variant), kind);

    [TestCase(LastRound.QuietGuest)]
    [TestCase(LastRound.ResumedAfterRearm)]
    [TestCase(LastRound.ResumedMarksKept)]
    public void Last_round_without_rearm_holds(LastRound round) => Check.Holds(NoRearm(round));

    [TestCase(LastRound.RunningGuest)]
    [TestCase(LastRound.ResumedMarksTaken)]
    public void Last_round_without_rearm_fails(LastRound round) => Check.Fails(NoRearm(round), Lost);

    /// <summary>
    /// The host may give up after GET, because somebody cancels: what it did not copy must stay marked.
    /// </summary>
    private static Model<State> Build(Variant variant) => new Model<State>(default)
        .Thread("W1", w => Write(w, 1))
        .Thread("W2", w => Write(w, 2))
        .Thread("Host", h =>
        {
            h.Try("GET", (ref s) =>
            {
                s.Got = s.SoftDirty;
                s.SoftDirty &= variant != Variant.GetTakes;
                s.OtherLog |= s.Got && variant == Variant.GetTakes;
                return s.Got ? Flow.Next : Flow.End;
            });
            h.Try("give up, or go on", (ref s) => s.GivesUp ? Flow.End : Flow.Next);

            if (variant == Variant.GetCopyClear)
            {
                Copy(h);
            }

            if (variant == Variant.ClearArmsAfterGrace)
            {
                h.Do("CLEAR: take, P stays 0", (ref s) => (s.OtherLog, s.SoftDirty) = (true, false));
                Grace(h);
                h.Do("CLEAR: P=1", (ref s) => s.Writable = false);
            }
            else
            {
                h.Do("CLEAR: take, P=1", (ref s) =>
                {
                    s.OtherLog |= variant != Variant.ClearPoursForNobody;
                    s.Writable = s.SoftDirty = false;
                });
                Grace(h);
            }

            if (variant != Variant.GetCopyClear)
            {
                Copy(h);
            }
        })
        .Thread("Somebody", b => b.Do("cancels", (ref s) => s.GivesUp = true))
        .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty)
        .NeverAtEnd(OtherMissed, (in s) => s.Memory != 0 && !s.OtherLog && !s.SoftDirty);

    /// <summary>
    /// The last round leaves P = 0. A guest that runs on must find its page marked, or armed again.
    /// </summary>
    private static Model<State> NoRearm(LastRound round) => new Model<State>(default)
        .Thread("W", w =>
        {
            Write(w, 1);
            w.Do("paused", (ref s) => s.Paused = true);
            if (round != LastRound.QuietGuest)
            {
                w.When("runs on", (in s) => s.Resumed || round == LastRound.RunningGuest);
                w.Do("enter again", (ref s) => s.Sections.Enter(1));
                w.Do("CAS entry again", Mark);
                w.Do("store again", (ref s) => s.Memory |= 2);
                w.Do("leave again", (ref s) => s.Sections.Leave(1));
            }
        })
        .Thread("Host", h =>
        {
            if (round != LastRound.RunningGuest)
            {
                h.When("guest paused", (in s) => s.Paused);
            }

            h.Do("take, P stays 0", (ref s) =>
            {
                s.Got = s.SoftDirty;
                s.SoftDirty &= round == LastRound.ResumedMarksKept;
            });
            Grace(h);
            h.Do("copy if reported", (ref s) => s.Copy = s.Got ? s.Memory : s.Copy);
            if (round == LastRound.ResumedAfterRearm)
            {
                h.Do("arm again", (ref s) => s.Writable = s.SoftDirty = false);
            }

            h.Do("resume", (ref s) => s.Resumed = true);
        })
        .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty);

    private static void Write(Actor<State> w, byte bit) => w
        .Do("enter", (ref s) => s.Sections.Enter(bit))
        .Do("CAS entry", Mark)
        .Do("store", (ref s) => s.Memory |= bit)
        .Do("leave", (ref s) => s.Sections.Leave(bit));

    private static void Mark(ref State s)
    {
        if (!s.Writable)
        {
            s.Writable = s.SoftDirty = true;
        }
    }

    private static void Grace(Actor<State> h) => h
        .Do("barrier", (ref s) => s.Sections.BeginGrace())
        .When("grace", (in s) => s.Sections.GraceOver());

    private static void Copy(Actor<State> h) => h.Do("copy", (ref s) => s.Copy = s.Memory);

    private record struct State
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Writable;
        public bool OtherLog;
        public bool Got;
        public bool GivesUp;
        public bool Paused;
        public bool Resumed;
        public byte Memory;
        public byte Copy;
    }
}
