using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 16: two threads split one leaf (of three pages: one for each, and one that neither writes) while it is
/// re-armed, granted whole, or unmapped. A split changes nothing: what the tables say must always equal what was
/// marked and not yet taken.
/// </summary>
[TestFixture]
public sealed class SplitLosers
{
    private const byte AllPages = 7;
    private const string Lost = "dirt lost: a page was marked and neither tables nor log say so";
    private const string Invented = "dirt invented: tables or log name a page that nobody marked";
    private const string CleanWritable = "a clean page is writable";
    private const string MappedAgain = "the segment is mapped again after unmap returned";
    private const string LateStore = "a store after unmap returned";

    public enum Loser
    {
        ReReads,
        Overwrites,
        LinksStaleChild,
        LinksIntoInvalid,
        InheritsNothing,
    }

    public enum Meanwhile
    {
        Harvest,
        GrantWhole,
        Unmap,
    }

    private enum Kind : byte
    {
        Invalid,
        Leaf,
        Table1,
        Table2,
    }

    [TestCase(Meanwhile.Harvest)]
    [TestCase(Meanwhile.GrantWhole)]
    [TestCase(Meanwhile.Unmap)]
    public void Loser_that_re_reads_holds(Meanwhile other) => Check.Holds(Build(Loser.ReReads, other));

    [TestCase(Loser.Overwrites, Meanwhile.Harvest, Invented)]
    [TestCase(Loser.Overwrites, Meanwhile.GrantWhole, Lost)]
    [TestCase(Loser.Overwrites, Meanwhile.Unmap, MappedAgain)]
    [TestCase(Loser.LinksStaleChild, Meanwhile.Harvest, Invented)]
    [TestCase(Loser.LinksStaleChild, Meanwhile.GrantWhole, Lost)]
    [TestCase(Loser.LinksIntoInvalid, Meanwhile.Unmap, MappedAgain)]
    [TestCase(Loser.InheritsNothing, Meanwhile.Harvest, Lost)]
    [TestCase(Loser.InheritsNothing, Meanwhile.Unmap, Lost)]
    public void Any_other_loser_fails(Loser loser, Meanwhile other, string kind) =>
        Check.Fails(Build(loser, other), kind);

    private static Model<State> Build(Loser loser, Meanwhile other)
    {
        bool dirty = other != Meanwhile.GrantWhole;
        var start = new State
        {
            Segment = new Word(Kind.Leaf, dirty, dirty),
            Marked = (byte)(dirty ? AllPages : 0),
        };
        return new Model<State>(start)
            .Thread("F1", f => Split(f, 1, loser, other == Meanwhile.Unmap))
            .Thread("F2", f => Split(f, 2, loser, other == Meanwhile.Unmap))
            .Thread(other.ToString(), a =>
            {
                switch (other)
                {
                    case Meanwhile.Harvest:
                        Harvest(a);
                        break;
                    case Meanwhile.GrantWhole:
                        GrantWhole(a);
                        break;
                    default:
                        Unmap(a);
                        break;
                }
            })
            .Never(CleanWritable, (in s) => (s.Writable() & ~s.SoftDirty()) != 0)
            .Never(MappedAgain, (in s) => s.Unmapped && s.Segment.Kind != Kind.Invalid)
            .Never(LateStore, (in s) => s.LateStore)
            .NeverAtEnd(Lost, (in s) => (s.Marked & ~(s.SoftDirty() | s.Log)) != 0)
            .NeverAtEnd(Invented, (in s) => ((s.SoftDirty() | s.Log) & ~s.Marked) != 0);
    }

    /// <summary>A fault of page <paramref name="bit"/>; its spare table is the table of the same number.</summary>
    private static void Split(Actor<State> f, byte bit, Loser loser, bool mayVanish)
    {
        Kind own = bit == 1 ? Kind.Table1 : Kind.Table2;
        string whenInvalid = loser == Loser.LinksIntoInvalid ? "link" : "free spare, restart fault";
        f.Do("enter", (ref s) => s.Sections.Enter(bit));
        f.Try("load segment", (ref s) => Decide(ref s, bit, "build spare", whenInvalid));
        f.Do("build spare", (ref s) =>
        {
            Word leaf = s.Seen(bit);
            bool inherits = loser != Loser.InheritsNothing;
            s.Table(own) = new Table(
                (byte)(leaf.SoftDirty && inherits ? AllPages : 0),
                (byte)(leaf.Writable && inherits ? AllPages : 0));
        });
        f.Try("link", (ref s) =>
        {
            if (loser != Loser.Overwrites && s.Segment != s.Seen(bit))
            {
                return Flow.Next;
            }

            s.Segment = s.Seen(bit) = new Word(own, true, false);
            return Flow.To("CAS page");
        });
        if (loser != Loser.Overwrites)
        {
            string whenLeaf = loser == Loser.LinksStaleChild ? "link" : "build spare";
            f.Try("lost, re-read", (ref s) => Decide(ref s, bit, whenLeaf, whenInvalid));
        }

        f.Do("CAS page", (ref s) =>
        {
            ref Table table = ref s.Table(s.Seen(bit).Kind);
            if ((table.Writable & bit) == 0)
            {
                table = new Table((byte)(table.SoftDirty | bit), (byte)(table.Writable | bit));
                s.Marked |= bit;
            }
        });
        f.Do("store", (ref s) => s.LateStore |= s.Unmapped);
        f.Try("leave", (ref s) =>
        {
            s.Sections.Leave(bit);
            return Flow.End;
        });
        if (mayVanish)
        {
            f.Do("free spare, restart fault", (ref s) => s.Sections.Leave(bit));
        }
    }

    /// <summary>Reads the segment again and says what a fault does about it.</summary>
    private static Flow Decide(ref State s, byte bit, string whenLeaf, string whenInvalid)
    {
        s.Seen(bit) = s.Segment;
        return s.Segment.Kind switch
        {
            Kind.Leaf => Flow.To(whenLeaf),
            Kind.Invalid => Flow.To(whenInvalid),
            _ => Flow.To("CAS page"),
        };
    }

    private static void Harvest(Actor<State> h) => h
        .Try("take leaf", (ref s) =>
        {
            s.Retired = s.Segment.Kind;
            if (s.Segment.Kind != Kind.Leaf)
            {
                return Flow.Next;
            }

            s.Segment = new Word(Kind.Leaf, false, false);
            s.Marked = 0;
            return Flow.End;
        })
        .Do("take page 1", (ref s) => TakePage(ref s, 1))
        .Do("take page 2", (ref s) => TakePage(ref s, 2))
        .Do("take page 4", (ref s) => TakePage(ref s, 4));

    private static void TakePage(ref State s, byte bit)
    {
        ref Table table = ref s.Table(s.Retired);
        if ((table.SoftDirty & bit) != 0)
        {
            table = new Table((byte)(table.SoftDirty & ~bit), (byte)(table.Writable & ~bit));
            s.Marked &= (byte)~bit;
        }
    }

    /// <summary>Policy "never", or populate: the whole leaf is granted and dirty at once.</summary>
    private static void GrantWhole(Actor<State> g) => g.Try("CAS leaf", (ref s) =>
    {
        if (s.Segment.Kind == Kind.Leaf)
        {
            s.Segment = new Word(Kind.Leaf, true, true);
            s.Marked = AllPages;
        }

        return Flow.End;
    });

    private static void Unmap(Actor<State> u) => u
        .Do("CAS segment invalid", (ref s) =>
        {
            s.Log |= (byte)(s.Segment.SoftDirty ? AllPages : 0);
            s.Retired = s.Segment.Kind;
            s.Segment = default;
        })
        .Do("barrier", (ref s) => s.Sections.BeginGrace())
        .When("grace", (in s) => s.Sections.GraceOver())
        .Do("drain table", (ref s) => s.Log |= s.Retired > Kind.Leaf ? s.Table(s.Retired).SoftDirty : (byte)0)
        .Do("return", (ref s) => s.Unmapped = true);

    private readonly record struct Word(Kind Kind, bool Writable, bool SoftDirty);

    private readonly record struct Table(byte SoftDirty, byte Writable);

    private record struct State
    {
        public Sections Sections;
        public Word Segment;
        public Word Seen1;
        public Word Seen2;
        public Table Table1;
        public Table Table2;
        public Kind Retired;
        public byte Marked;
        public byte Log;
        public bool Unmapped;
        public bool LateStore;

        public readonly byte SoftDirty() => Segment.Kind switch
        {
            Kind.Leaf => (byte)(Segment.SoftDirty ? AllPages : 0),
            Kind.Table1 => Table1.SoftDirty,
            Kind.Table2 => Table2.SoftDirty,
            _ => 0,
        };

        public readonly byte Writable() => Segment.Kind switch
        {
            Kind.Leaf => (byte)(Segment.Writable ? AllPages : 0),
            Kind.Table1 => Table1.Writable,
            Kind.Table2 => Table2.Writable,
            _ => 0,
        };

        [System.Diagnostics.CodeAnalysis.UnscopedRef]
        public ref Word Seen(byte who) => ref who == 1 ? ref Seen1 : ref Seen2;

        [System.Diagnostics.CodeAnalysis.UnscopedRef]
        public ref Table Table(Kind kind) => ref kind == Kind.Table1 ? ref Table1 : ref Table2;
    }
}
