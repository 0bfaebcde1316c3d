using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 15: a device marks after its last byte is visible; the library's own writes mark and copy in one section.
/// </summary>
[TestFixture]
public sealed class ExternalWriters
{
    private const string Lost = "a store is neither copied nor marked";

    public enum Variant
    {
        StoreMark,
        SectionMarkStore,
        MarkStore,
        SectionMarkThenStore,
        MarkThenSectionStore,
        MarkBetweenBytes,
    }

    [TestCase(Variant.StoreMark)]
    [TestCase(Variant.SectionMarkStore)]
    public void Rule_holds(Variant variant) => Check.Holds(Build(variant));

    [TestCase(Variant.MarkStore)]
    [TestCase(Variant.SectionMarkThenStore)]
    [TestCase(Variant.MarkThenSectionStore)]
    [TestCase(Variant.MarkBetweenBytes)]
    public void Any_other_order_fails(Variant variant) => Check.Fails(Build(variant), Lost);

    private static Model<State> Build(Variant variant)
    {
        string[] steps = variant switch
        {
            Variant.StoreMark => ["store 1", "store 2", "mark"],
            Variant.SectionMarkStore => ["enter", "mark", "store 1", "store 2", "leave"],
            Variant.MarkStore => ["mark", "store 1", "store 2"],
            Variant.SectionMarkThenStore => ["enter", "mark", "leave", "store 1", "store 2"],
            Variant.MarkThenSectionStore => ["mark", "enter", "store 1", "store 2", "leave"],
            _ => ["store 1", "mark", "store 2"],
        };
        return new Model<State>(default)
            .Thread("D", d =>
            {
                foreach (string step in steps)
                {
                    d.Do(step, (ref s) => Device(ref s, step));
                }
            })
            .Thread("H", h => h
                .Try("take from log", (ref s) =>
                {
                    bool any = s.Log;
                    s.Log = false;
                    return any ? Flow.Next : Flow.End;
                })
                .Do("barrier", (ref s) => s.Sections.BeginGrace())
                .When("grace", (in s) => s.Sections.GraceOver())
                .Do("copy", (ref s) => s.Copy = s.Memory))
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.Log);
    }

    private static void Device(ref State s, string step)
    {
        switch (step)
        {
            case "enter":
                s.Sections.Enter(1);
                break;
            case "leave":
                s.Sections.Leave(1);
                break;
            case "mark":
                s.Log = true;
                break;
            case "store 1":
                s.Memory |= 1;
                break;
            default:
                s.Memory |= 2;
                break;
        }
    }

    private record struct State
    {
        public Sections Sections;
        public bool Log;
        public byte Memory;
        public byte Copy;
    }
}
