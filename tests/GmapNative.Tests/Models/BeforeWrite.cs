using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rules 8 and 30: two writers of an armed page, a callback that waits for sections, and a gmap_protect that arms it again. Who finds the
/// page armed tells, others wait, outside of sections; then everybody looks again.
/// </summary>
[TestFixture]
public sealed class BeforeWrite
{
    private const string Untold = "an armed page was written before it was told";

    public enum Variant
    {
        ToldThenAskedAgain,
        SecondPasses,
        DueClearedFirst,
        GrantedUnasked,
        TakenOver,
        WaitsInside,
        ArmedWithoutGrace,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.ToldThenAskedAgain));

    [TestCase(Variant.SecondPasses, Untold)]
    [TestCase(Variant.DueClearedFirst, Untold)]
    [TestCase(Variant.GrantedUnasked, Untold)]
    [TestCase(Variant.TakenOver, Untold)]
    [TestCase(Variant.ArmedWithoutGrace, Untold)]
    [TestCase(Variant.WaitsInside, Outcome.Stuck)]
    public void Without_it_fails(Variant variant, string kind) => Check.Fails(Build(variant), kind);

    private static Model<State> Build(Variant variant) =>
        new Model<State>(new State { Closed = true, Armed = true, Write = true })
            .Thread("W1", w => Write(w, 1, variant))
            .Thread("W2", w => Write(w, 2, variant))
            .Thread("A", a => Arm(a, variant))
            .Never(Untold, (in s) => s.Broken);

    private static void Write(Actor<State> w, byte bit, Variant variant)
    {
        w.Do("enter", (ref s) => s.Sections.Enter(bit));
        w.Try("ask", (ref s) =>
        {
            if (!s.Closed)
            {
                return Flow.To("store");
            }
            if (s.Due && (variant != Variant.TakenOver || !s.Write))
            {
                if (variant == Variant.SecondPasses)
                {
                    s.Closed = false;
                    return Flow.To("store");
                }
                return Flow.To("leave to wait");
            }
            if (!s.Write)
            {
                s.Closed = false;
                return Flow.To("store");
            }
            s.Write = false;
            s.Due = true;
            return Flow.Next;
        });
        w.Do("leave to tell", (ref s) =>
        {
            s.Sections.Leave(bit);
            s.Due &= variant != Variant.DueClearedFirst;
        });
        w.Do("callback: barrier", (ref s) => s.Sections.BeginGrace(bit - 1));
        w.When("callback: grace", (in s) => s.Sections.GraceOver(bit - 1));
        w.Do("callback ends", (ref s) => s.Armed = false);
        w.Try("due cleared", (ref s) =>
        {
            s.Due = false;
            s.Closed &= variant != Variant.GrantedUnasked;
            return Flow.To("enter");
        });
        w.Do("leave to wait", (ref s) =>
        {
            if (variant != Variant.WaitsInside)
            {
                s.Sections.Leave(bit);
            }
        });
        w.Try("wait until it is told", (ref s) => s.Due ? Flow.Wait : Flow.To("enter"));
        w.Do("store", (ref s) => s.Broken |= s.Armed);
        w.Do("leave", (ref s) => s.Sections.Leave(bit));
    }

    private static void Arm(Actor<State> a, Variant variant)
    {
        a.Do("publish", (ref s) => s.Write = true);
        a.Do("P = 1", (ref s) => s.Closed = true);
        if (variant != Variant.ArmedWithoutGrace)
        {
            a.Do("barrier", (ref s) => s.Sections.BeginGrace(2));
            a.When("grace", (in s) => s.Sections.GraceOver(2));
        }
        a.Do("returns", (ref s) => s.Armed |= s.Write);
    }

    private record struct State
    {
        public Sections Sections;
        public bool Closed;
        public bool Write;
        public bool Due;
        public bool Armed;
        public bool Broken;
    }
}
