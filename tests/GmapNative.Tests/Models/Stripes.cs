using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 39: a stripe that is flagged and clean, two writers of one page of it (the first may die on its way), a harvest that finds nothing
/// and forgets the stripe (H), and one after it (H2), under the harvest lock both.
/// </summary>
[TestFixture]
public sealed class Stripes
{
    private const string Unflagged = "a summary bit is set and its stripe's is clear";
    private const string PassedOver = "a harvest that began after a store passed it over";

    public enum Variant
    {
        AsTheRule,
        LooksOnlyAfter,
        SecondLeavesTheStripe,
        StripeFirst,
        NotAgain,
        LooksAfterTheLock,
    }

    [TestCase(Variant.AsTheRule, false)]
    [TestCase(Variant.AsTheRule, true)]
    [TestCase(Variant.LooksOnlyAfter, false)]
    [TestCase(Variant.LooksOnlyAfter, true)]
    public void Rule_holds(Variant variant, bool firstMayDie) => Check.Holds(Build(variant, firstMayDie));

    [TestCase(Variant.SecondLeavesTheStripe, false)]
    [TestCase(Variant.SecondLeavesTheStripe, true)]
    [TestCase(Variant.StripeFirst, false)]
    [TestCase(Variant.NotAgain, false)]
    [TestCase(Variant.LooksAfterTheLock, false)]
    public void Without_it_fails(Variant variant, bool firstMayDie) => Check.Fails(Build(variant, firstMayDie), PassedOver);

    private static Model<State> Build(Variant variant, bool firstMayDie) => new Model<State>(new State { Stripe = true })
        .Thread("W1", w =>
        {
            Write(w, variant);
            if (firstMayDie)
            {
                w.MayDie((ref _) => { });
            }
        })
        .Thread("W2", w => Write(w, variant).Do("done", (ref s) => s.IsStored = true))
        .Thread("H", h => Forget(h, variant))
        .Thread("H2", h => h
            .Do("begin", (ref s) => s.Due = s.IsStored)
            .When("lock", (in s) => !s.Lock, (ref s) => s.Lock = true)
            .Do("test stripe", (ref s) => s.PassedOver = s.Due && !(s.Stripe && s.Summary))
            .Do("unlock", (ref s) => s.Lock = false))
        .Never(PassedOver, (in s) => s.PassedOver)
        .NeverAtEnd(Unflagged, (in s) => s.Summary && !s.Stripe);

    private static Actor<State> Write(Actor<State> w, Variant variant)
    {
        if (variant == Variant.StripeFirst)
        {
            w.Do("OR stripe early", (ref s) => s.Stripe = true);
        }
        bool leaves = variant == Variant.SecondLeavesTheStripe;
        w.Try("test summary", (ref s) => !s.Summary ? Flow.Next : leaves ? Flow.To("store") : Flow.To("test stripe"));
        w.Do("OR summary", (ref s) => s.Summary = true);
        if (variant == Variant.StripeFirst)
        {
            w.Do("test stripe", (ref _) => { });
        }
        else
        {
            w.Try("test stripe", (ref s) => s.Stripe ? Flow.To("store") : Flow.Next);
            w.Do("OR stripe", (ref s) => s.Stripe = true);
        }
        return w.Do("store", (ref _) => { });
    }

    private static void Forget(Actor<State> h, Variant variant)
    {
        h.When("lock", (in s) => !s.Lock, (ref s) => s.Lock = true);
        if (variant != Variant.LooksOnlyAfter)
        {
            h.Try("look", (ref s) => s.Summary ? Flow.To("unlock") : Flow.Next);
        }
        h.Do("clear stripe", (ref s) => s.Stripe = false);
        if (variant is not (Variant.NotAgain or Variant.LooksAfterTheLock))
        {
            LookAgain(h);
        }
        h.Do("unlock", (ref s) => s.Lock = false);
        if (variant == Variant.LooksAfterTheLock)
        {
            LookAgain(h);
        }
    }

    private static void LookAgain(Actor<State> h)
    {
        h.Do("look again", (ref s) => s.IsFound = s.Summary);
        h.Do("flag", (ref s) => s.Stripe |= s.IsFound);
    }

    private record struct State
    {
        public bool Summary;
        public bool Stripe;
        public bool Lock;
        public bool IsFound;
        public bool IsStored;
        public bool Due;
        public bool PassedOver;
    }
}
