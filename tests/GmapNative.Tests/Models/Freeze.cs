using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 20: freeze, grace, plain edit, thaw; rule 2: P accumulates; rule 8: nothing blocks inside a section.
/// </summary>
[TestFixture]
public sealed class Freeze
{
    private const string Lost = "a store is neither copied nor marked";

    public enum Variant
    {
        FreezeGraceEditThaw,
        NoGrace,
        EditBeforeGrace,
        WriterIgnoresSegment,
        WriterWaitsInside,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.FreezeGraceEditThaw));

    [TestCase(Variant.NoGrace, Lost)]
    [TestCase(Variant.EditBeforeGrace, Lost)]
    [TestCase(Variant.WriterIgnoresSegment, Lost)]
    [TestCase(Variant.WriterWaitsInside, Outcome.Stuck)]
    public void Without_it_fails(Variant variant, string kind) => Check.Fails(Build(variant), kind);

    private static Model<State> Build(Variant variant) => new Model<State>(default)
        .Thread("W1", w => Write(w, 1, variant))
        .Thread("W2", w => Write(w, 2, variant))
        .Thread("H", h =>
        {
            h.Do("freeze", (ref s) => s.Frozen = true);
            if (variant is not (Variant.NoGrace or Variant.EditBeforeGrace))
            {
                Grace(h);
            }

            h.Do("plain load", (ref s) => s.Loaded = s.SoftDirty);
            h.Do("plain store clean, P=1", (ref s) => s.SoftDirty = s.Writable = false);
            if (variant == Variant.EditBeforeGrace)
            {
                Grace(h);
            }

            h.Do("thaw", (ref s) => s.Frozen = false);
            h.Do("copy if reported", (ref s) => s.Copy = s.Loaded ? s.Memory : s.Copy);
        })
        .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty);

    private static void Grace(Actor<State> h) => h
        .Do("barrier", (ref s) => s.Sections.BeginGrace())
        .When("grace", (in s) => s.Sections.GraceOver());

    private static void Write(Actor<State> w, byte bit, Variant variant)
    {
        w.Do("enter", (ref s) => s.Sections.Enter(bit));
        if (variant != Variant.WriterIgnoresSegment)
        {
            w.Try("load segment", (ref s) => s.Frozen ? Flow.To("ask the library") : Flow.Next);
        }

        w.Do("CAS entry", (ref s) =>
        {
            if (!s.Writable)
            {
                s.Writable = s.SoftDirty = true;
            }
        });
        w.Do("store", (ref s) => s.Memory |= bit);
        w.Try("leave", (ref s) =>
        {
            s.Sections.Leave(bit);
            return Flow.End;
        });
        if (variant != Variant.WriterIgnoresSegment)
        {
            w.Do("ask the library", (ref s) =>
            {
                if (variant != Variant.WriterWaitsInside)
                {
                    s.Sections.Leave(bit);
                }
            });
            w.Try("wait for the thaw", (ref s) => s.Frozen ? Flow.Wait : Flow.To("enter"));
        }
    }

    private record struct State
    {
        public Sections Sections;
        public bool Frozen;
        public bool SoftDirty;
        public bool Writable;
        public bool Loaded;
        public byte Memory;
        public byte Copy;
    }
}
