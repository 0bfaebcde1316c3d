using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rules 9, 10, 12 and 13: the grace runs without the harvest lock. A slot has a log (bits that anyone poured) and
/// an epoch (bits moved out of the log, not yet delivered). Harvest: lock { take into log; log to epoch; seq =
/// ++moves }, grace, lock { moves == seq ? deliver : seq = moves and one more grace }.
/// </summary>
[TestFixture]
public sealed class HarvestDelivery
{
    private const string Lost = "a delivered bit was copied before its store, and nothing marks the page any more";

    public enum Variant
    {
        Rule,
        IgnoresMoves,
        GraceOnlyIfTaken,
        PourOutsideEpochCount,
        RetryWithoutGrace,
        UnmapWithoutTableLock,
    }

    public enum Others
    {
        Device,
        Unmap,
        Timeout,
    }

    [TestCase(Others.Device)]
    [TestCase(Others.Unmap)]
    [TestCase(Others.Timeout)]
    public void Rule_holds(Others others) => Check.Holds(Build(Variant.Rule, others));

    [TestCase(Variant.IgnoresMoves, Others.Device)]
    [TestCase(Variant.IgnoresMoves, Others.Unmap)]
    [TestCase(Variant.GraceOnlyIfTaken, Others.Unmap)]
    [TestCase(Variant.GraceOnlyIfTaken, Others.Timeout)]
    [TestCase(Variant.PourOutsideEpochCount, Others.Unmap)]
    [TestCase(Variant.RetryWithoutGrace, Others.Device)]
    [TestCase(Variant.UnmapWithoutTableLock, Others.Unmap)]
    public void Without_it_fails(Variant variant, Others others) => Check.Fails(Build(variant, others), Lost);

    /// <summary>The page was written before (memory bit 1); an inline writer adds 2, a device adds 4.</summary>
    private static Model<State> Build(Variant variant, Others others)
    {
        Model<State> model = new Model<State>(new State { SoftDirty = true, Writable = true, Memory = 1 })
            .Thread("W", Write)
            .Thread("H1", h => Harvest(h, 1, variant, others == Others.Timeout))
            .Thread("H2", h => Harvest(h, 2, variant, mayTimeOut: false))
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty && !s.Log && !s.Epoch);
        return others switch
        {
            Others.Device => model.Thread("D", d => d
                .Do("store", (ref s) => s.Memory |= 4)
                .Do("mark in log", (ref s) => s.Log = true)),
            Others.Unmap => model.Thread("U", u => Unmap(u, variant != Variant.UnmapWithoutTableLock)),
            _ => model.Thread("Timer", t => t.Do("rings", (ref s) => s.TimedOut = true)),
        };
    }

    private static void Write(Actor<State> w) => w
        .Do("enter", (ref s) => s.Sections.Enter(1))
        .Try("CAS entry", (ref s) =>
        {
            if (s.Unmapped)
            {
                return Flow.To("leave");
            }

            s.SoftDirty |= !s.Writable;
            s.Writable = true;
            return Flow.Next;
        })
        .Do("store", (ref s) => s.Memory |= 2)
        .Do("leave", (ref s) => s.Sections.Leave(1));

    /// <summary>
    /// Pours before its own grace and without the harvest lock: whose mark it pours may not have stored yet. Pour,
    /// then compare-and-swap is safe against writers only; against another taker (taken and marked again, the word
    /// has its old value) both need the segment's LOCK.
    /// </summary>
    private static void Unmap(Actor<State> u, bool locks)
    {
        if (locks)
        {
            u.When("LOCK", (in s) => !s.TableLocked, (ref s) => s.TableLocked = true);
        }

        u.Do("pour", (ref s) =>
        {
            s.Log |= s.SoftDirty;
            s.UnmapSaw = s.SoftDirty;
        });
        u.Try("CAS entry invalid", (ref s) =>
        {
            if (s.SoftDirty != s.UnmapSaw)
            {
                return Flow.To("pour");
            }

            s.SoftDirty = s.Writable = false;
            s.Unmapped = true;
            s.TableLocked &= !locks;
            return Flow.Next;
        });
        u.Do("barrier", (ref s) => s.Sections.BeginGrace(0));
        u.When("grace", (in s) => s.Sections.GraceOver(0));
    }

    private static void Harvest(Actor<State> h, byte who, Variant variant, bool mayTimeOut)
    {
        h.When("lock", (in s) => !s.Locked, (ref s) => s.Locked = true);
        h.When("LOCK", (in s) => !s.TableLocked, (ref s) => s.TableLocked = true);
        h.Do("pour entry into log", (ref s) =>
        {
            s.Own(who) = new Harvester { Took = s.SoftDirty };
            s.Log |= s.SoftDirty;
        });
        h.Do("CAS entry clean, P=1", (ref s) =>
        {
            s.TableLocked = false;
            if (s.Own(who).Took && s.SoftDirty)
            {
                s.SoftDirty = s.Writable = false;
            }
        });
        h.Do("log to epoch, seq = ++moves", (ref s) =>
        {
            s.Epoch |= s.Log;
            s.Log = false;
            s.Own(who).Seq = ++s.Moves;
        });
        h.Try("unlock", (ref s) =>
        {
            s.Locked = false;
            bool skips = variant == Variant.GraceOnlyIfTaken && !s.Own(who).Took;
            return s.Epoch ? (skips ? Flow.To("lock again") : Flow.Next) : Flow.End;
        });
        h.Do("barrier", (ref s) => s.Sections.BeginGrace(who));
        h.Try("grace", (ref s) => s.Sections.GraceOver(who) ? Flow.Next
            : mayTimeOut && s.TimedOut ? Flow.End : Flow.Wait);
        h.When("lock again", (in s) => !s.Locked, (ref s) => s.Locked = true);
        h.Try("moves == seq?", (ref s) => IsStale(ref s, who, variant) ? Flow.Next : Flow.To("deliver"));
        h.Try("seq = moves, unlock", (ref s) =>
        {
            s.Own(who).Seq = s.Moves;
            s.Locked = false;
            return Flow.To(variant == Variant.RetryWithoutGrace ? "lock again" : "barrier");
        });
        h.Do("deliver", (ref s) =>
        {
            if (variant == Variant.PourOutsideEpochCount)
            {
                s.Epoch |= s.Log;
                s.Log = false;
            }

            s.Own(who).Got = s.Epoch;
            s.Epoch = s.Locked = false;
        });
        h.Do("copy if delivered", (ref s) => s.Copy |= s.Own(who).Got ? s.Memory : (byte)0);
    }

    private static bool IsStale(ref State s, byte who, Variant variant) =>
        variant != Variant.IgnoresMoves && s.Moves != s.Own(who).Seq;

    private record struct Harvester
    {
        public bool Took;
        public bool Got;
        public byte Seq;
    }

    private record struct State
    {
        public Sections Sections;
        public bool Locked;
        public bool TableLocked;
        public bool SoftDirty;
        public bool Writable;
        public bool Unmapped;
        public bool UnmapSaw;
        public bool TimedOut;
        public bool Log;
        public bool Epoch;
        public byte Moves;
        public Harvester First;
        public Harvester Second;
        public byte Memory;
        public byte Copy;

        [System.Diagnostics.CodeAnalysis.UnscopedRef]
        public ref Harvester Own(byte who) => ref who == 1 ? ref First : ref Second;
    }
}
