using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rules 28 and 29: a page is armed while a fault maps it and a harvest takes its table, with or without <c>LOCK</c>. What was armed when a
/// gmap_protect had returned is not weakened untold.
/// </summary>
[TestFixture]
public sealed class Watched
{
    private const string Untold = "an armed page was weakened, and nobody was told";

    public enum Variant
    {
        WatchedUnderTurn,
        WatchedByInstall,
        WalkWithoutTurn,
        FastTakeIgnoresIt,
        LooksBeforeLock,
        TakenUnseen,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.WatchedUnderTurn));

    [TestCase(Variant.WatchedByInstall)]
    [TestCase(Variant.WalkWithoutTurn)]
    [TestCase(Variant.FastTakeIgnoresIt)]
    [TestCase(Variant.LooksBeforeLock)]
    [TestCase(Variant.TakenUnseen)]
    public void Without_it_fails(Variant variant) => Check.Fails(Build(variant), Untold);

    private static Model<State> Build(Variant variant) => new Model<State>(default)
        .Thread("F", f => Fault(f, variant))
        .Thread("P", p => Protect(p, variant))
        .Thread("H", h => Harvest(h, variant))
        .Never(Untold, (in s) => s.Missed);

    /// <summary>Maps the page for a write.</summary>
    private static void Fault(Actor<State> f, Variant variant)
    {
        f.When("LOCK", (in s) => !s.Lock, (ref s) => s.Lock = true);
        f.Do("install", (ref s) =>
        {
            s.Writable = s.SoftDirty = true;
            s.Watched |= variant == Variant.WatchedByInstall && s.Armed;
        });
        f.Do("unlock", (ref s) => s.Lock = false);
    }

    private static void Protect(Actor<State> p, Variant variant)
    {
        bool turn = variant is not (Variant.WalkWithoutTurn or Variant.LooksBeforeLock);
        p.Do("publish", (ref s) => s.Armed = true);
        if (turn)
        {
            p.When("turn", (in s) => !s.Turn, (ref s) => s.Turn = true);
        }
        p.When("LOCK", (in s) => !s.Lock, (ref s) => s.Lock = true);
        p.Do("WATCHED", (ref s) => s.Watched |= variant != Variant.WatchedByInstall || s.Writable || s.SoftDirty);
        p.Do("unlock", (ref s) => s.Lock = false);
        if (turn)
        {
            p.Do("turn let go", (ref s) => s.Turn = false);
        }
        p.Do("returns", (ref s) => s.Returned = s.Armed);
    }

    private static void Harvest(Actor<State> h, Variant variant)
    {
        h.When("turn", (in s) => !s.Turn, (ref s) => s.Turn = true);
        h.Try("look at WATCHED", (ref s) =>
        {
            s.Seen = s.Watched && variant != Variant.FastTakeIgnoresIt;
            // Who always takes LOCK may look before it, too, and is wrong then as aging was once.
            return s.Seen || variant == Variant.LooksBeforeLock ? Flow.Next : Flow.To("take without LOCK");
        });
        h.When("LOCK", (in s) => !s.Lock, (ref s) => s.Lock = true);
        h.Do("take", Take);
        h.Do("what is armed is due", (ref s) =>
        {
            if (s.Weakened && s.Armed && s.Seen && variant != Variant.TakenUnseen)
            {
                s.Armed = s.Returned = false;
                s.Due = true;
            }
        });
        h.Try("unlock", (ref s) =>
        {
            s.Lock = false;
            return Flow.To("turn let go");
        });
        h.Do("take without LOCK", Take);
        h.Do("turn let go", (ref s) => s.Turn = false);
        h.Do("tell", (ref s) => s.Due = s.Due && false);
        h.Do("returns", (ref s) => s.Missed = s.Weakened && s.Owed && s.Armed);
    }

    private static void Take(ref State s)
    {
        s.Weakened = s.SoftDirty && s.Writable;
        s.Owed = s.Weakened && s.Returned;
        s.SoftDirty = false;
        s.Writable = false;
    }

    private record struct State
    {
        public bool Turn;
        public bool Lock;
        public bool Watched;
        public bool Writable;
        public bool SoftDirty;
        public bool Armed;
        public bool Returned;
        public bool Seen;
        public bool Weakened;
        public bool Owed;
        public bool Due;
        public bool Missed;
    }
}
