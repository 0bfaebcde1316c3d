using NUnit.Framework;

namespace GmapNative.Tests.Image;

/// <summary>The walker against the verdicts of outside machines.</summary>
public sealed class VectorTests
{
    [TestCase("random-101", 2385)]
    [TestCase("random-102", 2381)]
    [TestCase("random-103", 2363)]
    [TestCase("random-104", 2379)]
    public void The_walker_finds_what_outside_machines_found(string name, int accesses)
    {
        var vectors = new TranslationVectors(name);
        byte[] image = vectors.Image();
        foreach (TranslationRecord record in vectors.Records)
        {
            var walker = new ArchitectedWalker(image, 0x100000, vectors.Size, record.Edat1, edat2: false);
            int code = walker.Walk(record.Asce, record.Address, record.Write, out ulong real);
            Assert.That((code, code == 0 ? real : 0), Is.EqualTo((record.Code, record.Real)), record.Line);
        }
        Assert.That(vectors.Records, Has.Count.EqualTo(accesses));
    }
}
