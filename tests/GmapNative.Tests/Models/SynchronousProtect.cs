using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Synchronous write-protect (rule 37): the handler of a write-protect fault [mark, unprotect] is a section; a harvest is take, grace over
/// the handlers, protect, return. The engine does more: a lock keeps one from the other.
/// </summary>
[TestFixture]
public sealed class SynchronousProtect
{
    private const string Lost = "a store is neither copied nor marked";
    private const string Missed = "a store that ended before the harvest began is not in its copy";

    public enum Variant
    {
        Rule,
        NoGrace,
        ProtectBeforeGrace,
        UnprotectBeforeMark,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.NoGrace, Lost)]
    [TestCase(Variant.ProtectBeforeGrace, Lost)]
    [TestCase(Variant.UnprotectBeforeMark, Missed)]
    public void Any_other_order_fails(Variant variant, string kind) => Check.Fails(Build(variant), kind);

    private static Model<State> Build(Variant variant) => new Model<State>(new State { Protected = true })
        .Thread("V", v =>
        {
            Store(v, 1);
            v.Do("first store done", (ref s) => s.FirstDone = true);
            Store(v, 2);
        })
        .Thread("handler", h => Handle(h, variant))
        .Thread("H", h =>
        {
            h.Do("begin", (ref s) => s.FirstDoneAtBegin = s.FirstDone);
            h.Try("take", (ref s) =>
            {
                bool any = s.Mark;
                s.Mark = false;
                return any ? Flow.Next : Flow.End;
            });
            if (variant == Variant.ProtectBeforeGrace)
            {
                h.Do("ioctl protect", (ref s) => s.Protected = true);
            }

            if (variant != Variant.NoGrace)
            {
                h.Do("barrier", (ref s) => s.Sections.BeginGrace());
                h.When("grace", (in s) => s.Sections.GraceOver());
            }

            if (variant != Variant.ProtectBeforeGrace)
            {
                h.Do("ioctl protect", (ref s) => s.Protected = true);
            }

            h.Do("copy", (ref s) => s.Copy = s.Memory);
        })
        .NeverAtEnd(Missed, (in s) => s.FirstDoneAtBegin && (s.Copy & 1) == 0)
        .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.Mark);

    private static void Store(Actor<State> v, byte bit) => v.Try($"store {bit}", (ref s) =>
    {
        if (!s.Protected)
        {
            s.Memory |= bit;
            return Flow.Next;
        }

        if (s.FaultPending)
        {
            return Flow.Wait;
        }

        s.FaultPending = true;
        return Flow.To($"store {bit}");
    });

    private static void Handle(Actor<State> h, Variant variant)
    {
        h.When("fault arrives", (in s) => s.FaultPending, (ref s) => s.Sections.Enter(1));
        if (variant == Variant.UnprotectBeforeMark)
        {
            Unprotect(h);
            Mark(h);
        }
        else
        {
            Mark(h);
            Unprotect(h);
        }

        h.Try("handled", (ref s) =>
        {
            s.Sections.Leave(1);
            return Flow.To("fault arrives");
        });
        h.AsDaemon();
    }

    private static void Mark(Actor<State> h) => h.Do("mark", (ref s) => s.Mark = true);

    private static void Unprotect(Actor<State> h) =>
        h.Do("ioctl unprotect", (ref s) => s.Protected = s.FaultPending = false);

    private record struct State
    {
        public Sections Sections;
        public bool Protected;
        public bool FaultPending;
        public bool Mark;
        public bool FirstDone;
        public bool FirstDoneAtBegin;
        public byte Memory;
        public byte Copy;
    }
}
