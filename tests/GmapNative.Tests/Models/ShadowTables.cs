using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 36: two faults of nested guests arm a page of the guest's tables and walk it, while the guest writes it once. Each page has a
/// ticket from when it was armed; who installs needs a grace that is younger than that, and walks again.
/// </summary>
[TestFixture]
public sealed class ShadowTables
{
    private const string Stale = "a nested guest translates by an entry that the guest was allowed to replace";

    private const byte Guest = 4;

    public enum Variant
    {
        Rule,
        NoGrace,
        WalkedOnce,
        ArmedIsGraced,
        TicketOfLater,
        EmptiedAfterTheGrant,
        GrantedWithoutGrace,
        GrantedWithoutLook,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.NoGrace)]
    [TestCase(Variant.WalkedOnce)]
    [TestCase(Variant.ArmedIsGraced)]
    [TestCase(Variant.TicketOfLater)]
    [TestCase(Variant.EmptiedAfterTheGrant)]
    [TestCase(Variant.GrantedWithoutGrace)]
    [TestCase(Variant.GrantedWithoutLook)]
    public void Any_other_way_fails(Variant variant) => Check.Fails(Build(variant), Stale);

    private static Model<State> Build(Variant variant) => new Model<State>(default)
        .Thread("N1", n => Access(n, 1, variant))
        .Thread("N2", n => Access(n, 2, variant))
        .Thread("G", g => Write(g, variant))
        .Never(Stale, (in s) => (s.Uses1 & s.Granted) || (s.Uses2 & s.Granted));

    private static void Access(Actor<State> n, byte who, Variant variant)
    {
        n.Do("enter", (ref s) => s.Sections.Enter(who));
        n.Try("walk the shadow", (ref s) =>
        {
            bool old = who == 1 ? s.Old1 : s.Old2;
            Uses(ref s, who) = old; // one access; of the new entry nothing can be wrong
            return Flow.To(old || s.Written ? "leave" : "leave to ask");
        });
        n.Do("leave to ask", (ref s) => s.Sections.Leave(who));
        n.Do("walk the guest's tables", (ref s) => Saw(ref s, who) = s.Written);
        n.When("family lock", (in s) => !s.Family, (ref s) => s.Family = true);
        n.Try("arm", (ref s) =>
        {
            bool fresh = !s.Armed || !s.Closed;
            s.Armed = s.Closed = true;
            s.Hangs = true;
            s.Ticket = fresh || s.Ticket == 0 ? ++s.Tickets : s.Ticket;
            bool asks = variant switch
            {
                Variant.NoGrace => false,
                Variant.ArmedIsGraced => fresh,
                _ => s.Ticket > s.Graced,
            };
            return asks ? Flow.Next : Flow.To("the same walk?");
        });
        n.Do("family lock let go, grace begins", (ref s) =>
        {
            s.Family = false;
            UpTo(ref s, who) = s.Tickets;
            s.Sections.BeginGrace(who - 1);
        });
        n.Try("grace is over", (ref s) =>
        {
            if (!s.Sections.GraceOver(who - 1))
            {
                return Flow.Wait;
            }
            byte upTo = variant == Variant.TicketOfLater ? s.Tickets : UpTo(ref s, who);
            s.Graced = upTo > s.Graced ? upTo : s.Graced;
            UpTo(ref s, who) = 0;
            return Flow.To("walk the guest's tables");
        });
        n.Try("the same walk?", (ref s) =>
        {
            bool same = Saw(ref s, who) == s.Written || variant == Variant.WalkedOnce;
            if (same && who == 1)
            {
                s.Old1 = !s.Saw1;
            }
            else if (same)
            {
                s.Old2 = !s.Saw2;
            }
            s.Family = false;
            return Flow.To(same ? "enter" : "walk the guest's tables");
        });
        n.Do("leave", (ref s) =>
        {
            s.Sections.Leave(who);
            Uses(ref s, who) = false;
        });
    }

    private static void Write(Actor<State> g, Variant variant)
    {
        bool late = variant == Variant.EmptiedAfterTheGrant;
        g.Do("enter", (ref s) => s.Sections.Enter(Guest));
        g.Try("ask", (ref s) =>
        {
            s.Granted = !s.Closed || !s.Armed;
            s.Closed &= !s.Granted;
            s.Armed = false;
            return Flow.To(s.Granted ? "store" : s.Told ? "leave" : "leave to tell"); // they may go on like that for ever
        });
        g.Do("leave to tell", (ref s) =>
        {
            s.Sections.Leave(Guest);
            s.Told = true;
        });
        if (!late)
        {
            Empty(g);
        }
        if (!late && variant != Variant.GrantedWithoutGrace)
        {
            g.Do("grace begins", (ref s) => s.Sections.BeginGrace(2));
            g.When("grace is over", (in s) => s.Sections.GraceOver(2));
        }
        g.Try("enter again", (ref s) =>
        {
            s.Sections.Enter(Guest);
            s.Granted = late || variant == Variant.GrantedWithoutLook;
            s.Closed &= !s.Granted;
            return late ? Flow.Next : Flow.To(s.Granted ? "store" : "ask");
        });
        if (late)
        {
            Empty(g);
        }
        g.Do("store", (ref s) => s.Written = true);
        g.Do("leave", (ref s) => s.Sections.Leave(Guest));
    }

    private static void Empty(Actor<State> g)
    {
        g.When("family lock", (in s) => !s.Family, (ref s) => s.Family = true);
        g.Do("empty", (ref s) =>
        {
            (s.Old1, s.Old2) = (s.Old1 && !s.Hangs, s.Old2 && !s.Hangs);
            s.Hangs = s.Family = false;
            s.Ticket = 0;
        });
    }

    private static ref bool Saw(ref State s, byte who) => ref who == 1 ? ref s.Saw1 : ref s.Saw2;

    private static ref bool Uses(ref State s, byte who) => ref who == 1 ? ref s.Uses1 : ref s.Uses2;

    private static ref byte UpTo(ref State s, byte who) => ref who == 1 ? ref s.UpTo1 : ref s.UpTo2;

    private record struct State
    {
        public Sections Sections;

        /// <summary>Of the page, in the root: P = 1, armed, its ticket.</summary>
        public bool Closed;
        public bool Armed;
        public byte Ticket;
        public byte Tickets;
        public byte Graced;
        public bool Family;
        public bool Hangs;

        /// <summary>The shadows' entries that came from the guest's old entry.</summary>
        public bool Old1;
        public bool Old2;
        public bool Saw1;
        public bool Saw2;
        public bool Uses1;
        public bool Uses2;
        public byte UpTo1;
        public byte UpTo2;
        public bool Told;
        public bool Granted;
        public bool Written;
    }
}
