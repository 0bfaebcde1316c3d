using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Nested guests (for later): shadow entry invalid, marker into the parent's own word expecting P = 0, valid only
/// if the marker is still there; re-arming the parent takes the marker with the same compare-and-swap and
/// unshadows.
/// </summary>
[TestFixture]
public sealed class ShadowInstall
{
    private const string Unseen = "the parent is armed and clean, its shadow writable: nested stores go unseen";

    public enum Variant
    {
        Rule,
        MarkerInAnotherWord,
        ValidFromTheStart,
        ValidByPlainStore,
        ValidWithoutSecondLook,
    }

    private enum Shadow : byte
    {
        None,
        Invalid,
        Writable,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.MarkerInAnotherWord)]
    [TestCase(Variant.ValidFromTheStart)]
    [TestCase(Variant.ValidByPlainStore)]
    [TestCase(Variant.ValidWithoutSecondLook)]
    public void Any_other_way_fails(Variant variant) => Check.Fails(Build(variant), Unseen);

    private static Model<State> Build(Variant variant) => new Model<State>(new State { ParentWritable = true })
        .Thread("S", s => Install(s, variant))
        .Thread("H", h => Rearm(h, variant))
        .Never(Unseen, (in s) => s.Rearmed && !s.ParentWritable && s.Shadow == Shadow.Writable);

    private static void Install(Actor<State> t, Variant variant)
    {
        t.Try("read parent", (ref s) => s.ParentWritable ? Flow.Next : Flow.End);
        t.Do("write shadow entry", (ref s) =>
            s.Shadow = variant == Variant.ValidFromTheStart ? Shadow.Writable : Shadow.Invalid);
        t.Try("CAS marker, P=0 expected", (ref s) =>
        {
            bool wins = s.ParentWritable || variant == Variant.MarkerInAnotherWord;
            s.Marker |= wins;
            return Flow.To(wins ? "marker still there?" : "remove shadow");
        });
        t.Try("marker still there?", (ref s) =>
            s.Marker || variant == Variant.ValidWithoutSecondLook ? Flow.Next : Flow.To("remove shadow"));
        t.Try("make valid", (ref s) =>
        {
            // A compare-and-swap: an unshadow in between has taken the invalid entry away, and it must stay away.
            if (s.Shadow == Shadow.Invalid || variant is Variant.ValidByPlainStore or Variant.ValidWithoutSecondLook)
            {
                s.Shadow = Shadow.Writable;
            }

            return Flow.End;
        });
        t.Do("remove shadow", (ref s) => s.Shadow = Shadow.None);
    }

    private static void Rearm(Actor<State> h, Variant variant)
    {
        if (variant == Variant.MarkerInAnotherWord)
        {
            h.Do("take marker", (ref s) => (s.HadMarker, s.Marker) = (s.Marker, false));
            h.Do("CAS parent P=1", (ref s) => s.ParentWritable = false);
        }
        else
        {
            h.Do("CAS parent P=1, takes marker", (ref s) =>
                (s.HadMarker, s.Marker, s.ParentWritable) = (s.Marker, false, false));
        }

        h.Do("unshadow if marked", (ref s) => s.Shadow = s.HadMarker ? Shadow.None : s.Shadow);
        h.Do("return", (ref s) => s.Rearmed = true);
    }

    private record struct State
    {
        public bool ParentWritable;
        public bool Marker;
        public bool HadMarker;
        public bool Rearmed;
        public Shadow Shadow;
    }
}
