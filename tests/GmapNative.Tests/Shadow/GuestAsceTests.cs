using GmapNative.Shadow;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>The ASCE of a nested guest: what it reaches, and when two are the same.</summary>
[TestFixture]
internal sealed class GuestAsceTests
{
    /// <summary>Ends of what a length gives, at each type; the last address of all is a region-first table's.</summary>
    [TestCase(0x0UL, 29, 0x10, 31)]
    [TestCase(0x4UL, 40, 0x3B, 42)]
    [TestCase(0x8UL, 51, 0x3A, 53)]
    [TestCase(0xCUL, 62, 0x39, 64)]
    public void It_reaches_as_far_as_type_and_length_say(ulong type, int quarterShift, int code, int end)
    {
        for (ulong length = 0; length < 4; length++)
        {
            var asce = new GuestAsce(0x5_0000 | type | length);
            for (ulong quarter = 0; quarter < 4; quarter++)
            {
                int expected = quarter > length ? code : 0;
                Assert.That(asce.Check(quarter << quarterShift), Is.EqualTo(expected));
                Assert.That(asce.Check((quarter << quarterShift) + ((1UL << quarterShift) - 1)), Is.EqualTo(expected));
            }
            for (int bit = end; bit < 64; bit++)
            {
                Assert.That(asce.Check(1UL << bit), Is.EqualTo(0x38), "the type comes before the length");
                Assert.That(asce.Check((1UL << bit) - 1), Is.EqualTo(bit > end ? 0x38 : length < 3 ? code : 0));
            }
        }
        Assert.That(new GuestAsce(0x5_000F).Check(ulong.MaxValue), Is.Zero);
    }

    [Test]
    [Property("Scenario", 43)]
    public void S43_ARegionFirstTableTranslatesTheLastAddress()
    {
        var chain = new GuestChain(GuestTable.RegionFirst);
        for (GuestTable level = GuestTable.RegionFirst; level >= GuestTable.Page; level--)
        {
            ulong table = GuestChain.PlaceOf(level) & (level == GuestTable.Page ? ~0x7FFUL : ~0x3FFFUL);
            chain.Put(table + (level == GuestTable.Page ? 0xFFUL : 0x7FF) * 8, chain[level]);
        }
        chain.Address = ulong.MaxValue;
        GuestWalk walk = chain.Walk(EdatLevel.Two, write: true);
        Assert.That((walk.Code, walk.Real), Is.EqualTo((0, GuestChain.PageFrame | 0xFFF)));
    }

    /// <summary>Origin, P, R, DT, TL make another shadow; G, S, X and the bit that is not assigned do not.</summary>
    [Test]
    public void Bits_that_translation_ignores_are_not_significant()
    {
        const ulong Ignored = 0x200 | 0x80 | 0x40 | 0x10 | 0xC00;
        const ulong Word = 0x1234_5678_9ABC_D10F;
        for (int bit = 0; bit < 64; bit++)
        {
            ulong other = Word ^ (1UL << bit);
            bool same = new GuestAsce(other).Significant == new GuestAsce(Word).Significant;
            Assert.That(same, Is.EqualTo((Ignored >> bit & 1) != 0), $"bit {bit}");
        }
        Assert.That(new GuestAsce(Word | Ignored).Significant, Is.EqualTo(Word));
    }

    [TestCase(0x0UL)]
    [TestCase(0xFFFF_FFFF_FFFF_FFDFUL)]
    [TestCase(0x1234_5678_9ABC_D1C7UL)]
    public void A_real_space_is_a_real_space_whatever_else_it_says(ulong others)
    {
        Assert.That(new GuestAsce(others | 0x20).Significant, Is.EqualTo(0x20));
        foreach (ulong address in (ulong[])[0, 0x678, 1UL << 31, GuestChain.FullAddress, ulong.MaxValue])
        {
            var chain = new GuestChain(GuestTable.Segment) { Asce = others | 0x20, Address = address };
            GuestWalk walk = chain.Walk(EdatLevel.None, write: true);
            Assert.That(
                (walk.Code, walk.Real, walk.LeafShift, walk.IsProtected, walk.StepCount, walk.EntryAddress),
                Is.EqualTo((0, address, 31, false, 0, 0UL)));
            Assert.That(chain.Reads, Is.Empty);
        }
    }
}
