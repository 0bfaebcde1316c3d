using System.Collections.Generic;
using System.Linq;
using CsCheck;
using NUnit.Framework;

namespace GmapNative.Tests.Model;

/// <summary>The engine does what the reference model does, whatever is asked of it, and its invariants hold after each call.</summary>
[TestFixture]
[NonParallelizable]
public sealed class SpaceProperties
{
    private const int Sequences = 4_000;

    private const int SequencesOfConsumers = 1_000;

    [Test]
    public void Every_sequence_gives_what_the_model_gives() => Check(Sequence.Gen, Sequences);

    /// <summary>Four at once of different rhythms, whatever becomes of their slots.</summary>
    [Test]
    public void Each_consumer_sees_its_own_history() => Check(Sequence.GenOfConsumers, SequencesOfConsumers);

    private static void Check(Gen<Sequence> sequences, int count)
    {
        var seen = new Dictionary<string, int>();
        Sequence? shortest = null;
        try
        {
            sequences.Sample(
                sequence =>
                {
                    if (SpaceDriver.Run(sequence, seen) is null)
                    {
                        return true;
                    }
                    shortest = shortest is null || sequence.Operations.Length < shortest.Operations.Length ? sequence : shortest;
                    return false;
                },
                iter: count,
                threads: 1);
        }
        catch (CsCheckException failure)
        {
            Sequence fewest = shortest!.Shortest();
            Assert.Fail($"{SpaceDriver.Run(fewest, null)}\n{fewest}\nseed: {failure.Message.Split('\n')[0]}");
        }
        TestContext.Out.WriteLine(string.Join('\n', seen.OrderBy(pair => pair.Key).Select(pair => $"{pair.Value,8} {pair.Key}")));
    }
}
