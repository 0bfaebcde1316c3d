using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 10: take, bump, grace; rule 4: a cached translation carries the generation that was loaded at enter.
/// </summary>
[TestFixture]
public sealed class Generation
{
    private const string Lost = "a store is neither copied nor marked";

    [Test]
    public void Rule_holds() => Check.Holds(Build(["take", "bump", "grace"], fillsWithEntered: true));

    [TestCase("take", "grace", "bump")]
    [TestCase("bump", "take", "grace")]
    [TestCase("bump", "grace", "take")]
    [TestCase("grace", "take", "bump")]
    [TestCase("grace", "bump", "take")]
    [TestCase("take", "bump", "")]
    public void Any_other_order_fails(params string[] order) => Check.Fails(Build(order, fillsWithEntered: true), Lost);

    [Test]
    public void Filling_with_a_generation_read_again_fails() =>
        Check.Fails(Build(["take", "bump", "grace"], fillsWithEntered: false), Lost);

    private static Model<State> Build(string[] order, bool fillsWithEntered) =>
        new Model<State>(new State { Generation = 1 })
            .Thread("W", w =>
            {
                Write(w, 1, fillsWithEntered);
                Write(w, 2, fillsWithEntered);
            })
            .Thread("H", h =>
            {
                foreach (string step in order)
                {
                    _ = step switch
                    {
                        "take" => h.Do("take", (ref s) => (s.Took, s.Mark) = (s.Mark, false)),
                        "bump" => h.Do("bump", (ref s) => s.Generation++),
                        "grace" => h.Do("barrier", (ref s) => s.Sections.BeginGrace())
                            .When("grace", (in s) => s.Sections.GraceOver()),
                        _ => h,
                    };
                }

                h.Do("copy if reported", (ref s) => s.Copy = s.Took ? s.Memory : s.Copy);
            })
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.Mark);

    /// <summary>One store through the translation cache: a hit skips the mark, that is the whole point.</summary>
    private static void Write(Actor<State> w, byte bit, bool fillsWithEntered) => w
        .Do($"enter {bit}, load generation", (ref s) =>
        {
            s.Sections.Enter(1);
            s.Entered = s.Generation;
        })
        .Try($"look up {bit}", (ref s) => s.Cached == s.Entered ? Flow.To($"store {bit}") : Flow.Next)
        .Do($"mark {bit}", (ref s) => s.Mark = true)
        .Do($"fill cache {bit}", (ref s) => s.Cached = fillsWithEntered ? s.Entered : s.Generation)
        .Do($"store {bit}", (ref s) => s.Memory |= bit)
        .Do($"leave {bit}", (ref s) => s.Sections.Leave(1));

    private record struct State
    {
        public Sections Sections;
        public byte Generation;
        public byte Entered;
        public byte Cached;
        public bool Mark;
        public bool Took;
        public byte Memory;
        public byte Copy;
    }
}
