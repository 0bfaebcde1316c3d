using System.Linq;
using GmapNative.Shadow;
using GmapNative.Tests.Image;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>The walk of a guest's tables against the verdicts of outside machines (tests/vectors).</summary>
[TestFixture]
internal sealed class WalkVectorTests
{
    /// <summary>Every access: the same code, or the same real address.</summary>
    [TestCase("linux-kernel", 4400, 2974)]
    [TestCase("random-101", 2385, 238)]
    [TestCase("random-102", 2381, 196)]
    [TestCase("random-103", 2363, 125)]
    [TestCase("random-104", 2379, 157)]
    public void The_walk_finds_what_outside_machines_found(string name, int accesses, int translated)
    {
        var vectors = new TranslationVectors(name);
        var storage = new VectorStorage(vectors);
        int found = 0;
        foreach (TranslationRecord record in vectors.Records)
        {
            EdatLevel edat = record.Edat1 ? EdatLevel.One : EdatLevel.None;
            GuestWalker.Walk(record.Asce, edat, record.Address, record.Write, ref storage, out GuestWalk walk);
            // whether there is storage behind a real address is not for the walk to know
            int code = walk.Code == 0 && walk.Real >= vectors.Size ? 0x05 : walk.Code;
            Assert.That((code, code == 0 ? walk.Real : 0), Is.EqualTo((record.Code, record.Real)), record.Line);
            found += code == 0 ? 1 : 0;
        }
        Assert.That((vectors.Records.Count, found), Is.EqualTo((accesses, translated)));
    }

    [Test]
    public void The_vectors_have_all_the_codes()
    {
        string[] names = ["linux-kernel", "random-101", "random-102", "random-103", "random-104"];
        string codes = string.Join(
            ' ',
            names.SelectMany(name => new TranslationVectors(name).Records).CountBy(record => record.Code)
                .OrderBy(pair => pair.Key).Select(pair => $"{pair.Key:x2}:{pair.Value}"));
        Assert.That(codes, Is.EqualTo("00:3690 04:128 10:1757 11:345 12:2850 38:765 39:569 3a:1479 3b:2325"));
    }

    private readonly struct VectorStorage(TranslationVectors vectors) : IGuestStorage
    {
        public int ReadEntry(ulong address, out ulong entry) => vectors.TryRead(address, out entry) ? 0 : 0x05;
    }
}
