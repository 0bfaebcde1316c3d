using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rules 34 and 35: the fault of a nested guest makes its entry of what it sees of the root under <c>LOCK</c>, while a harvest, with or
/// without <c>LOCK</c>, takes the page. What is due leaves the shadows before the grace.
/// </summary>
[TestFixture]
public sealed class ShadowInstall
{
    private const string Unseen = "the harvest has returned, the page is clean, and a nested guest may write it";

    private const byte Nested = 1;
    private const byte Fault = 2;

    public enum Variant
    {
        Rule,
        MarkerUnseen,
        MarkerFirst,
        MarkerLeftOut,
        RightNotLookedAt,
        FamilyLockLate,
        EmptiedAfterTheGrace,
        GraceOfTheRootOnly,
        ShadowNotBumped,
        AnsweredByTheInstall,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.MarkerUnseen)]
    [TestCase(Variant.MarkerFirst)]
    [TestCase(Variant.MarkerLeftOut)]
    [TestCase(Variant.RightNotLookedAt)]
    [TestCase(Variant.FamilyLockLate)]
    [TestCase(Variant.EmptiedAfterTheGrace)]
    [TestCase(Variant.GraceOfTheRootOnly)]
    [TestCase(Variant.ShadowNotBumped)]
    [TestCase(Variant.AnsweredByTheInstall)]
    public void Any_other_way_fails(Variant variant) => Check.Fails(Build(variant), Unseen);

    private static Model<State> Build(Variant variant) => new Model<State>(new State { Accesses = 2, Generation = 1 })
        .Thread("N", n => Access(n, variant))
        .Thread("H", h => Harvest(h, variant))
        .Never(Unseen, (in s) => s.Returned && !s.Writable && s.Right);

    /// <summary>A nested guest's processor, which keeps rights under the shadow's generation: two stores.</summary>
    private static void Access(Actor<State> n, Variant variant)
    {
        bool late = variant == Variant.FamilyLockLate;
        n.Do("enter", (ref s) =>
        {
            s.Sections.Enter(Nested);
            s.Mine = s.Generation;
        });
        n.Try("walk the shadow", (ref s) =>
        {
            s.Right = s.Shadow || s.Cached == s.Mine || (variant == Variant.AnsweredByTheInstall && s.Fits);
            s.Cached = s.Right ? s.Mine : s.Cached;
            s.Fits = false;
            return Flow.To(s.Right ? "store" : "leave to ask");
        });
        n.Do("leave to ask", (ref s) => s.Sections.Leave(Nested));
        n.When("the root grants", (in s) => !s.Lock, (ref s) => s.Writable = s.SoftDirty = true);
        if (!late)
        {
            n.When("family lock", (in s) => !s.Family, (ref s) => s.Family = true);
        }
        n.When("LOCK", (in s) => !s.Lock, (ref s) =>
        {
            s.Sections.Enter(Fault);
            s.Lock = true;
        });
        n.Try("right?", (ref s) => s.Writable || variant == Variant.RightNotLookedAt ? Flow.Next : Flow.To("unlock"));
        n.Do("byte, or marker", (ref s) => Arm(ref s, variant, marker: variant == Variant.MarkerFirst));
        n.Do("WATCHED", (ref s) => s.Watched = true);
        n.Do("marker, or byte", (ref s) => Arm(ref s, variant, marker: variant != Variant.MarkerFirst));
        n.Try("unlock", (ref s) =>
        {
            s.Lock = false;
            s.Sections.Leave(Fault);
            return Flow.To(s.Fits ? "record" : "family lock let go");
        });
        n.When("record", (in s) => !late || !s.Family, (ref s) => s.Record = s.Family = true);
        n.Do("shadow entry", (ref s) => s.Shadow = true);
        n.Do("family lock let go", (ref s) => s.Family = s.Family && late && !s.Record);
        n.Do("enter again", (ref s) =>
        {
            s.Sections.Enter(Nested);
            s.Mine = s.Generation;
        });
        n.Try("look", (ref _) => Flow.To("walk the shadow"));
        n.Try("store", (ref s) =>
        {
            s.Right = false;
            s.Sections.Leave(Nested);
            s.Accesses--;
            return s.Accesses != 0 ? Flow.To("enter") : Flow.End;
        });
    }

    /// <summary>The byte, or the marker by a compare-and-swap of the entry: who takes without LOCK may have been here.</summary>
    private static void Arm(ref State s, Variant variant, bool marker)
    {
        if (marker)
        {
            s.Fits = s.Writable || variant == Variant.RightNotLookedAt;
            s.Marker |= s.Writable && variant != Variant.MarkerLeftOut;
        }
        else
        {
            s.Armed = true;
        }
    }

    private static void Harvest(Actor<State> h, Variant variant)
    {
        bool late = variant == Variant.EmptiedAfterTheGrace;
        h.Try("look at WATCHED", (ref s) =>
        {
            s.Locked = s.Watched;
            return Flow.To(s.Locked ? "LOCK of the harvest" : "take");
        });
        h.When("LOCK of the harvest", (in s) => !s.Lock, (ref s) => s.Lock = true);
        h.Do("take", (ref s) =>
        {
            s.Weakened = s.Writable && (s.Locked || (s.Marker && variant != Variant.MarkerUnseen));
            s.SoftDirty = s.Writable = false;
        });
        h.Do("what is armed is due", (ref s) =>
        {
            s.Due = s.Weakened && s.Armed;
            s.Armed &= !s.Due;
            s.Lock = s.Lock && !s.Locked;
        });
        if (!late)
        {
            Empty(h, variant);
        }
        h.Do("grace begins", (ref s) =>
        {
            s.Sections.BeginGrace();
            s.Sections.Waits0 = variant == Variant.GraceOfTheRootOnly ? (byte)0 : s.Sections.Waits0;
        });
        h.When("grace is over", (in s) => s.Sections.GraceOver());
        if (late)
        {
            h.Do("returns, before its notifiers are told", (ref s) => s.Returned = true);
            Empty(h, variant);
        }
        h.Do("returns", (ref s) => s.Returned = true);
    }

    private static void Empty(Actor<State> h, Variant variant)
    {
        h.When("family lock, if something is due", (in s) => !s.Due || !s.Family, (ref s) => s.Family |= s.Due);
        h.Do("empty, bump", (ref s) =>
        {
            if (s.Due)
            {
                s.Generation += (byte)(s.Record && variant != Variant.ShadowNotBumped ? 1 : 0);
                s.Shadow &= !s.Record;
                s.Record = s.Family = s.Due = false;
            }
        });
    }

    private record struct State
    {
        public Sections Sections;
        public bool Writable;
        public bool SoftDirty;
        public bool Marker;
        public bool Watched;
        public bool Lock;
        public bool Armed;
        public bool Due;
        public bool Family;
        public bool Record;
        public bool Shadow;
        public byte Generation;
        public byte Mine;
        public byte Cached;
        public byte Accesses;
        public bool Fits;
        public bool Right;
        public bool Locked;
        public bool Weakened;
        public bool Returned;
    }
}
