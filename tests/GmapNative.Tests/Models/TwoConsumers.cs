using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rules 10, 12 and 25: who may take and pour, when a begin returns, that nothing after a take can fail, and how a consumer joins.
/// </summary>
[TestFixture]
public sealed class TwoConsumers
{
    private const string Missed = "an epoch lacks a page that was written before its begin";
    private const string Lost = "a bit is in no entry, in no log and in no epoch";
    private const string CopiedTooEarly = "a consumer copied the page before the store, and nothing marks it any more";

    public enum Lock
    {
        TakeAndPour,
        TakeOnly,
        None,
    }

    public enum Room
    {
        Preallocated,
        AllocatedBeforeTake,
        AllocatedAfterTake,
    }

    private const string Unseen = "a store after the open is neither in the new consumer's copy nor marked for it";
    private const string Foreign = "the new consumer is told of a page that was written before it was opened";

    public enum Opening
    {
        TakeJoinGrace,
        JoinTakeGrace,
        JoinGrace,
        TakeGraceJoin,
        TakeJoin,
    }

    [Test]
    public void Open_that_takes_then_joins_then_waits_holds()
    {
        Check.Holds(OpenBesideWriter(Opening.TakeJoinGrace));
        Check.Holds(OpenAfterStore(Opening.TakeJoinGrace));
    }

    [TestCase(Opening.TakeGraceJoin)]
    [TestCase(Opening.TakeJoin)]
    public void Open_that_does_not_wait_behind_its_join_fails(Opening order) => Check.Fails(OpenBesideWriter(order), Unseen);

    [TestCase(Opening.JoinTakeGrace)]
    [TestCase(Opening.JoinGrace)]
    public void Open_that_joins_first_fails(Opening order) => Check.Fails(OpenAfterStore(order), Foreign);

    [Test]
    public void One_lock_over_take_and_pour_holds() => Check.Holds(TwoHarvests(Lock.TakeAndPour));

    [TestCase(Lock.TakeOnly)]
    [TestCase(Lock.None)]
    public void A_smaller_lock_fails(Lock kind) => Check.Fails(TwoHarvests(kind), Missed);

    [Test]
    public void Begin_that_waits_for_a_grace_younger_than_the_pour_holds() =>
        Check.Holds(BeginDuringGrace(waits: true));

    [Test]
    public void Begin_without_grace_because_it_took_nothing_fails() =>
        Check.Fails(BeginDuringGrace(waits: false), CopiedTooEarly);

    [TestCase(Room.Preallocated)]
    [TestCase(Room.AllocatedBeforeTake)]
    public void Room_before_the_take_holds(Room room) => Check.Holds(ExhaustedArena(room));

    [Test]
    public void Room_sought_after_the_take_fails() => Check.Fails(ExhaustedArena(Room.AllocatedAfterTake), Lost);

    /// <summary>The guest is paused and the page is dirty; both consumers begin their last round at once.</summary>
    private static Model<Pair> TwoHarvests(Lock kind) => new Model<Pair>(new Pair { SoftDirty = true, Summary = true })
        .Thread("A", h => Begin(h, 1, kind))
        .Thread("B", h => Begin(h, 2, kind))
        .NeverAtEnd(Missed, (in s) => s.Epochs != 3);

    private static void Begin(Actor<Pair> h, byte who, Lock kind)
    {
        if (kind != Lock.None)
        {
            h.When("lock", (in s) => !s.Locked, (ref s) => s.Locked = true);
        }

        h.Do("exchange summary", (ref s) =>
        {
            s.Found |= s.Summary ? who : (byte)0;
            s.Summary = false;
        });
        h.Do("take", (ref s) =>
        {
            if ((s.Found & who) != 0 && s.SoftDirty)
            {
                s.Took |= who;
                s.SoftDirty = false;
            }
        });
        if (kind == Lock.TakeOnly)
        {
            h.Do("unlock", (ref s) => s.Locked = false);
        }

        h.Do("pour into A", (ref s) => s.Logs |= (byte)((s.Took & who) != 0 ? 1 : 0));
        h.Do("pour into B", (ref s) => s.Logs |= (byte)((s.Took & who) != 0 ? 2 : 0));
        h.Do("freeze own epoch", (ref s) =>
        {
            s.Epochs |= (byte)(s.Logs & who);
            s.Logs &= (byte)~who;
        });
        if (kind == Lock.TakeAndPour)
        {
            h.Do("unlock", (ref s) => s.Locked = false);
        }
    }

    /// <summary>
    /// A has poured and waits for its grace; B begins, takes nothing itself and finds A's bit in its log.
    /// </summary>
    private static Model<Young> BeginDuringGrace(bool waits) => new Model<Young>(default)
        .Thread("W", w => w
            .Do("enter", (ref s) => s.Sections.Enter(1))
            .Do("CAS entry", (ref s) => s.SoftDirty = true)
            .Do("store", (ref s) => s.Memory = true)
            .Do("leave", (ref s) => s.Sections.Leave(1)))
        .Thread("A", a => a
            .Try("take and pour", (ref s) =>
            {
                s.LogA |= s.SoftDirty;
                s.LogB |= s.SoftDirty;
                s.SoftDirty = false;
                return s.LogA ? Flow.Next : Flow.End;
            })
            .Do("barrier", (ref s) => s.Sections.BeginGrace(0))
            .When("grace", (in s) => s.Sections.GraceOver(0))
            .Do("copy", (ref s) => (s.LogA, s.CopyA) = (false, s.Memory)))
        .Thread("B", b =>
        {
            b.Try("take, pour, freeze epoch", (ref s) =>
            {
                bool took = s.SoftDirty;
                s.LogA |= took;
                s.LogB |= took;
                s.SoftDirty = false;
                s.EpochB = s.LogB;
                s.LogB = false;
                return s.EpochB ? (waits || took ? Flow.Next : Flow.To("copy")) : Flow.End;
            });
            b.Do("barrier", (ref s) => s.Sections.BeginGrace(1));
            b.When("grace", (in s) => s.Sections.GraceOver(1));
            b.Do("copy", (ref s) => s.CopyB = s.Memory);
        })
        .NeverAtEnd(CopiedTooEarly, (in s) => s.Memory && !s.CopyB && !s.LogB && !s.SoftDirty);

    /// <summary>A writer and another consumer's harvest beside the open; from its return on the new one sees every store.</summary>
    private static Model<Join> OpenBesideWriter(Opening order) => new Model<Join>(default)
        .Thread("W", w => w
            .Do("enter", (ref s) => s.Sections.Enter(1))
            .Do("CAS entry", (ref s) => s.SoftDirty = true)
            .Do("store", (ref s) => s.Memory = true)
            .Do("leave", (ref s) => s.Sections.Leave(1)))
        .Thread("H", h => h.Do("take and pour", (ref s) => Take(ref s)))
        .Thread("O", o => Open(o, order))
        .NeverAtEnd(Unseen, (in s) => s.Memory && !s.Copy && !s.Log && !s.SoftDirty);

    /// <summary>The page was written and marked before anybody opened; then the new consumer has an epoch.</summary>
    private static Model<Join> OpenAfterStore(Opening order) => new Model<Join>(new Join { SoftDirty = true, Memory = true })
        .Thread("O", o =>
        {
            Open(o, order);
            o.Do("begin", (ref s) => Take(ref s));
        })
        .NeverAtEnd(Foreign, (in s) => s.Log);

    private static void Open(Actor<Join> o, Opening order)
    {
        if (order == Opening.JoinTakeGrace || order == Opening.JoinGrace)
        {
            o.Do("join", (ref s) => s.Joined = true);
        }
        if (order != Opening.JoinGrace)
        {
            o.Do("take for the others", (ref s) => Take(ref s));
        }
        if (order == Opening.TakeJoinGrace || order == Opening.TakeJoin)
        {
            o.Do("join", (ref s) => s.Joined = true);
        }
        if (order != Opening.TakeJoin)
        {
            o.Do("barrier", (ref s) => s.Sections.BeginGrace(0));
            o.When("grace", (in s) => s.Sections.GraceOver(0));
        }
        if (order == Opening.TakeGraceJoin)
        {
            o.Do("join", (ref s) => s.Joined = true);
        }
        o.Do("return, copy all", (ref s) => s.Copy = s.Memory);
    }

    /// <summary>By whom ever, under the harvest lock: into everybody's log, of which the new one's is looked at.</summary>
    private static void Take(ref Join s)
    {
        s.Log |= s.SoftDirty && s.Joined;
        s.SoftDirty = false;
    }

    /// <summary>The arena runs dry at any time; the harvest may answer -ENOMEM but must not drop the bit.</summary>
    private static Model<Arena> ExhaustedArena(Room room) => new Model<Arena>(new Arena { SoftDirty = true })
        .Thread("Arena", a => a.Do("runs dry", (ref s) => s.IsDry = true))
        .Thread("H", h =>
        {
            if (room == Room.AllocatedBeforeTake)
            {
                h.Try("allocate log", (ref s) => s.IsDry ? Flow.End : Flow.Next);
            }

            h.Do("take", (ref s) => (s.Took, s.SoftDirty) = (s.SoftDirty, false));
            if (room == Room.AllocatedAfterTake)
            {
                h.Try("allocate log", (ref s) => s.IsDry ? Flow.End : Flow.Next);
            }

            h.Do("pour", (ref s) => s.Log |= s.Took);
        })
        .NeverAtEnd(Lost, (in s) => !s.SoftDirty && !s.Log);

    private record struct Pair
    {
        public bool Locked;
        public bool Summary;
        public bool SoftDirty;
        public byte Found;
        public byte Took;
        public byte Logs;
        public byte Epochs;
    }

    private record struct Young
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Memory;
        public bool LogA;
        public bool LogB;
        public bool EpochB;
        public bool CopyA;
        public bool CopyB;
    }

    private record struct Join
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Memory;
        public bool Joined;
        public bool Log;
        public bool Copy;
    }

    private record struct Arena
    {
        public bool IsDry;
        public bool SoftDirty;
        public bool Took;
        public bool Log;
    }
}
