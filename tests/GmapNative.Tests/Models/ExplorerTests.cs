using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>The explorer itself: a model checker that overlooks an interleaving would let every rule hold.</summary>
[TestFixture]
public sealed class ExplorerTests
{
    [Test]
    public void Every_interleaving_is_visited()
    {
        // Two threads of two steps that touch nothing in common: every pair of positions, once.
        Outcome found = new Model<Pair>(default)
            .Thread("A", a => a.Do("1", (ref s) => s.A++).Do("2", (ref s) => s.A++))
            .Thread("B", b => b.Do("1", (ref s) => s.B++).Do("2", (ref s) => s.B++))
            .Explore();
        Assert.Multiple(() =>
        {
            Assert.That(found.States, Is.EqualTo(9));
            Assert.That(found.Violation, Is.Null);
        });
    }

    [Test]
    public void Lost_update_is_found_with_its_shortest_schedule()
    {
        Outcome found = new Model<Pair>(default)
            .Thread("A", a => a
                .Do("load", (ref s) => s.Register = s.A)
                .Do("store", (ref s) => s.A = (byte)(s.Register + 1)))
            .Thread("B", b => b.Do("add", (ref s) => s.A++))
            .NeverAtEnd("lost update", (in s) => s.A != 2)
            .Explore();
        Assert.Multiple(() =>
        {
            Assert.That(found.Violation, Is.EqualTo("lost update"));
            Assert.That(found.Schedule, Is.EqualTo("A:load ; B:add ; A:store"));
            Assert.That(found.State, Does.Contain("A = 1"));
        });
    }

    [Test]
    public void Never_is_asked_in_the_middle_too()
    {
        Model<Pair> model = new Model<Pair>(default)
            .Thread("A", a => a.Do("up", (ref s) => s.A = 1).Do("down", (ref s) => s.A = 0));
        Assert.That(model.NeverAtEnd("at end", (in s) => s.A == 1).Explore().Violation, Is.Null);
        Assert.That(model.Never("up", (in s) => s.A == 1).Explore().Schedule, Is.EqualTo("A:up"));
    }

    [Test]
    public void Deadlock_is_a_violation()
    {
        Outcome found = new Model<Pair>(default)
            .Thread("A", a => Lock(a, takesAFirst: true))
            .Thread("B", b => Lock(b, takesAFirst: false))
            .Explore();
        Assert.Multiple(() =>
        {
            Assert.That(found.Violation, Is.EqualTo(Outcome.Stuck));
            Assert.That(found.Schedule, Is.EqualTo("A:lock A ; B:lock B"));
        });

        static void Lock(Actor<Pair> actor, bool takesAFirst)
        {
            if (takesAFirst)
            {
                actor.When("lock A", (in s) => s.A == 0, (ref s) => s.A = 1);
            }

            actor.When("lock B", (in s) => s.B == 0, (ref s) => s.B = 1);
            if (!takesAFirst)
            {
                actor.When("lock A", (in s) => s.A == 0, (ref s) => s.A = 1);
            }

            actor.Do("unlock both", (ref s) => s.A = s.B = 0);
        }
    }

    [Test]
    public void Spinning_for_ever_is_a_violation()
    {
        Outcome found = new Model<Pair>(default)
            .Thread("A", a => a
                .Do("spin", (ref s) => s.B ^= 1)
                .Try("again?", (ref s) => s.A == 1 ? Flow.Next : Flow.To("spin")))
            .Explore();
        Assert.That(found.Violation, Is.EqualTo(Outcome.Livelock));
    }

    [Test]
    public void Spinning_until_somebody_comes_is_none()
    {
        Check.Holds(new Model<Pair>(default)
            .Thread("A", a => a.Try("again?", (ref s) => s.A == 1 ? Flow.Next : Flow.To("again?")))
            .Thread("B", b => b.Do("come", (ref s) => s.A = 1)));
    }

    [Test]
    public void A_daemon_may_wait_for_ever() => Check.Holds(new Model<Pair>(new Pair { A = 1 })
        .Thread("D", d => d.When("never", (in s) => s.A == 0).AsDaemon())
        .Thread("A", a => a.Do("let it go once", (ref s) => s.A = 0).Do("and stop it", (ref s) => s.A = 1)));

    [Test]
    public void A_thread_may_die_before_every_step_but_the_first()
    {
        Model<Pair> model = new Model<Pair>(default)
            .Thread("A", a => a
                .Do("1", (ref s) => s.A = 1)
                .Do("2", (ref s) => s.A = 2)
                .Do("3", (ref s) => s.A = 3)
                .MayDie((ref s) => s.B = 1));
        Assert.That(model.NeverAtEnd("died late", (in s) => s.A == 2 && s.B == 1).Explore().Schedule,
            Is.EqualTo("A:1 ; A:2 ; A:dies"));
        Assert.That(model.NeverAtEnd("died early", (in s) => s.A == 1 && s.B == 1).Explore().Schedule,
            Is.EqualTo("A:1 ; A:dies"));
    }

    [Test]
    public void A_step_that_is_never_taken_is_named()
    {
        Outcome found = new Model<Pair>(default)
            .Thread("A", a => a
                .Try("jump", (ref s) => Flow.To("end"))
                .Do("skipped", (ref s) => s.A = 1)
                .Do("end", (ref s) => { }))
            .Explore();
        Assert.That(string.Join(", ", found.Unreached), Is.EqualTo("A:skipped"));
    }

    [Test]
    public void A_grace_waits_for_the_sections_that_were_open_and_for_no_later_one()
    {
        var sections = new Sections();
        sections.Enter(1);
        sections.BeginGrace(1);
        sections.Enter(2);
        Assert.That(sections.GraceOver(1), Is.False);
        sections.Leave(1);
        sections.Enter(1);
        Assert.That(sections.GraceOver(1), Is.True);
    }

    private record struct Pair
    {
        public byte A;
        public byte B;
        public byte Register;
    }
}
