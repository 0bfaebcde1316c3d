using System.Linq;
using GmapNative.Shadow;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>What each bit of ASCE and entries does to a walk, by facility; no vector has EDAT-2.</summary>
[TestFixture]
internal sealed class WalkRuleTests
{
    private const ulong PageReal = GuestChain.PageFrame | 0x678;
    private const ulong SegmentReal = GuestChain.SegmentFrame | 0x5E678;
    private const ulong RegionReal = GuestChain.RegionFrame | 0x2D45E678;

    [TestCase(GuestTable.RegionFirst, 5)]
    [TestCase(GuestTable.RegionSecond, 4)]
    [TestCase(GuestTable.RegionThird, 3)]
    [TestCase(GuestTable.Segment, 2)]
    public void A_walk_gives_its_steps_from_the_top(GuestTable top, int steps)
    {
        var chain = new GuestChain(top);
        GuestWalk walk = chain.Walk(EdatLevel.Two, write: true);
        Assert.That(
            (walk.Code, walk.Real, walk.LeafShift, walk.IsProtected, walk.StepCount),
            Is.EqualTo((0, PageReal, 12, false, steps)));
        for (int i = 0; i < steps; i++)
        {
            GuestTable level = top - i;
            Assert.That(walk[i], Is.EqualTo(new GuestStep(GuestChain.PlaceOf(level), chain[level], level)));
        }
        Assert.That(walk.EntryAddress, Is.EqualTo(GuestChain.PlaceOf(GuestTable.Page)));
        Assert.That(chain.Reads, Is.EqualTo(Enumerable.Range(0, steps).Select(i => walk[i].Address)));
    }

    /// <summary>FC: at a segment with EDAT-1, at region-third with EDAT-2, elsewhere never.</summary>
    [TestCase(EdatLevel.None, GuestTable.RegionFirst, 12)]
    [TestCase(EdatLevel.None, GuestTable.RegionSecond, 12)]
    [TestCase(EdatLevel.None, GuestTable.RegionThird, 12)]
    [TestCase(EdatLevel.None, GuestTable.Segment, 12)]
    [TestCase(EdatLevel.One, GuestTable.RegionFirst, 12)]
    [TestCase(EdatLevel.One, GuestTable.RegionSecond, 12)]
    [TestCase(EdatLevel.One, GuestTable.RegionThird, 12)]
    [TestCase(EdatLevel.One, GuestTable.Segment, 20)]
    [TestCase(EdatLevel.Two, GuestTable.RegionFirst, 12)]
    [TestCase(EdatLevel.Two, GuestTable.RegionSecond, 12)]
    [TestCase(EdatLevel.Two, GuestTable.RegionThird, 31)]
    [TestCase(EdatLevel.Two, GuestTable.Segment, 20)]
    public void Format_control_makes_a_leaf_where_the_facility_says(EdatLevel edat, GuestTable level, int shift)
    {
        var chain = new GuestChain(GuestTable.RegionFirst);
        chain[level] |= 0x400;
        GuestWalk walk = chain.Walk(edat, write: true);
        ulong real = shift switch { 12 => PageReal, 20 => 0x90800UL & ~0xFFFFFUL | 0x5E678, _ => 0x2D45E678 };
        Assert.That((walk.Code, walk.LeafShift, walk.Real), Is.EqualTo((0, shift, real)));
        Assert.That(walk.StepCount, Is.EqualTo(shift == 12 ? 5 : shift == 20 ? 4 : 3));
    }

    /// <summary>Bits of a leaf that are neither frame nor checked: AV, ACC, F, IEP, and what lies between frame and AV.</summary>
    [TestCase(GuestTable.Segment, 0xF_F9C3UL, 20, SegmentReal)]
    [TestCase(GuestTable.Segment, 0xF_F9D3UL, 20, SegmentReal)]
    [TestCase(GuestTable.RegionThird, 0x7FFF_F9C3UL, 31, RegionReal)]
    [TestCase(GuestTable.RegionThird, 0x7FFF_F9D3UL, 31, RegionReal)]
    public void Only_the_frame_of_a_leaf_goes_into_the_real_address(GuestTable last, ulong others, int shift, ulong real)
    {
        var chain = new GuestChain(GuestTable.RegionFirst, last);
        chain[last] |= others; // TF and TL of a leaf, too, are no bounds
        GuestWalk walk = chain.Walk(EdatLevel.Two, write: true);
        Assert.That((walk.Code, walk.LeafShift, walk.Real, walk.IsProtected), Is.EqualTo((0, shift, real, false)));
    }

    /// <summary>P: of pages and segments always, of regions with EDAT-1. A refused store still says where it would go.</summary>
    [Test]
    public void Protection_gathers_on_the_way(
        [Values(GuestTable.RegionFirst, GuestTable.RegionSecond, GuestTable.RegionThird, GuestTable.Segment, GuestTable.Page)]
        GuestTable level,
        [Values(EdatLevel.None, EdatLevel.One, EdatLevel.Two)] EdatLevel edat,
        [Values] bool write)
    {
        foreach (GuestTable last in Enumerable.Range(0, (int)edat + 1).Select(i => (GuestTable)i).Where(last => last <= level))
        {
            var chain = new GuestChain(GuestTable.RegionFirst, last);
            chain[level] |= 0x200;
            GuestWalk walk = chain.Walk(edat, write);
            bool counts = level <= GuestTable.Segment || edat != EdatLevel.None;
            ulong real = last switch { GuestTable.Page => PageReal, GuestTable.Segment => SegmentReal, _ => RegionReal };
            Assert.That((walk.IsProtected, walk.Code, walk.Real), Is.EqualTo((counts, counts && write ? 0x04 : 0, real)), $"{last}");
        }
    }

    /// <summary>CS always, CR with EDAT-2; only of a private space.</summary>
    [Test]
    public void Common_entries_are_refused_in_private_spaces(
        [Values(GuestTable.RegionFirst, GuestTable.RegionSecond, GuestTable.RegionThird, GuestTable.Segment, GuestTable.Page)]
        GuestTable level,
        [Values(EdatLevel.None, EdatLevel.One, EdatLevel.Two)] EdatLevel edat,
        [Values] bool isPrivate)
    {
        var chain = new GuestChain(GuestTable.RegionFirst);
        chain.Asce |= isPrivate ? 0x100UL : 0;
        chain[level] |= 0x10;
        bool refused = isPrivate && (level == GuestTable.Segment || (level == GuestTable.RegionThird && edat == EdatLevel.Two));
        Assert.That(chain.Walk(edat, write: false).Code, Is.EqualTo(refused ? 0x12 : 0));
    }

    /// <summary>Table offset and length, all values against each quarter of an index, and the exception is the next table's.</summary>
    [TestCase(GuestTable.RegionFirst, 42, 0x3A)]
    [TestCase(GuestTable.RegionSecond, 31, 0x3B)]
    [TestCase(GuestTable.RegionThird, 20, 0x10)]
    public void An_index_lies_between_offset_and_length(GuestTable level, int nextShift, int code)
    {
        for (ulong offset = 0; offset < 4; offset++)
        {
            for (ulong length = 0; length < 4; length++)
            {
                for (ulong quarter = 0; quarter < 4; quarter++)
                {
                    var chain = new GuestChain(GuestTable.RegionFirst);
                    chain.Put(GuestChain.PlaceOf(level - 1) + ((quarter - 1) * 4096), chain[level - 1]);
                    chain.Address += (quarter - 1) << (nextShift + 9);
                    chain[level] = (chain[level] & ~0xC3UL) | (offset << 6) | length;
                    bool isThere = quarter >= offset && quarter <= length;
                    int found = chain.Walk(EdatLevel.Two, write: true).Code;
                    Assert.That(found, Is.EqualTo(isThere ? 0 : code), $"TF {offset} TL {length} quarter {quarter}");
                }
            }
        }
    }

    /// <summary>Bit by bit: what a level does not define is ignored, and every other bit matters. (TF and TL: above.)</summary>
    [TestCase(GuestTable.RegionFirst, GuestTable.Page, EdatLevel.None, 0xFFFF_FFFF_FFFF_F02CUL)]
    [TestCase(GuestTable.RegionFirst, GuestTable.Page, EdatLevel.Two, 0xFFFF_FFFF_FFFF_F22CUL)]
    [TestCase(GuestTable.RegionSecond, GuestTable.Page, EdatLevel.None, 0xFFFF_FFFF_FFFF_F02CUL)]
    [TestCase(GuestTable.RegionSecond, GuestTable.Page, EdatLevel.Two, 0xFFFF_FFFF_FFFF_F22CUL)]
    [TestCase(GuestTable.RegionThird, GuestTable.Page, EdatLevel.None, 0xFFFF_FFFF_FFFF_F02CUL)]
    [TestCase(GuestTable.RegionThird, GuestTable.Page, EdatLevel.One, 0xFFFF_FFFF_FFFF_F22CUL)]
    [TestCase(GuestTable.RegionThird, GuestTable.Page, EdatLevel.Two, 0xFFFF_FFFF_FFFF_F63CUL)]
    [TestCase(GuestTable.RegionThird, GuestTable.RegionThird, EdatLevel.Two, 0xFFFF_FFFF_8000_063CUL)]
    [TestCase(GuestTable.Segment, GuestTable.Page, EdatLevel.None, 0xFFFF_FFFF_FFFF_FA3CUL)]
    [TestCase(GuestTable.Segment, GuestTable.Page, EdatLevel.One, 0xFFFF_FFFF_FFFF_FE3CUL)]
    [TestCase(GuestTable.Segment, GuestTable.Segment, EdatLevel.One, 0xFFFF_FFFF_FFF0_063CUL)]
    [TestCase(GuestTable.Page, GuestTable.Page, EdatLevel.None, 0xFFFF_FFFF_FFFF_FE00UL)]
    [TestCase(GuestTable.Page, GuestTable.Page, EdatLevel.Two, 0xFFFF_FFFF_FFFF_FE00UL)]
    public void Bits_matter_that_the_level_defines_and_no_others(GuestTable level, GuestTable last, EdatLevel edat, ulong defined)
    {
        ulong bounds = level > GuestTable.Segment ? 0xC3UL : 0;
        GuestWalk right = Walk(0);
        for (int bit = 0; bit < 64; bit++)
        {
            ulong flip = 1UL << bit;
            if ((flip & bounds) == 0)
            {
                GuestWalk walk = Walk(flip);
                bool same = (walk.Code, walk.Real, walk.LeafShift) == (right.Code, right.Real, right.LeafShift);
                Assert.That(same, Is.EqualTo((flip & defined) == 0), $"0x{flip:x}");
            }
        }

        GuestWalk Walk(ulong flip)
        {
            var chain = new GuestChain(GuestTable.RegionFirst, last);
            chain.Asce |= 0x100;
            chain[level] ^= flip;
            return chain.Walk(edat, write: true);
        }
    }

    /// <summary>A table that lies across the end of storage serves the entries that are there.</summary>
    [Test]
    public void A_table_at_the_edge_of_storage_has_a_part_of_its_entries()
    {
        var chain = new GuestChain(GuestTable.Segment) { Asce = 0xFFF_F003 }; // the chain has no other entry beyond
        chain.Put(0xFFF_F000 + (0x1FF * 8), 0x90800);
        chain.Address = (0x1FFUL << 20) | 0x5E678;
        Assert.That(chain.Walk(EdatLevel.One, write: true).Real, Is.EqualTo(PageReal));
        chain.Address = (0x200UL << 20) | 0x5E678;
        GuestWalk beyond = chain.Walk(EdatLevel.One, write: true);
        Assert.That((beyond.Code, beyond.StepCount, beyond.EntryAddress), Is.EqualTo((0x05, 0, 0x1000_0000UL)));
    }

    /// <summary>An origin so high that entries would lie beyond 2^64: addresses wrap, as the machine's adder does.</summary>
    [Test]
    public void Entry_addresses_wrap()
    {
        var chain = new GuestChain(GuestTable.Segment) { Asce = 0xFFFF_FFFF_FFFF_F003 };
        chain.Put(0xFFFF_FFFF_FFFF_FFF8, 0x90800);
        chain.Put(0xD4 * 8, 0x90800);
        chain.Address = (0x1FFUL << 20) | 0x5E678;
        Assert.That(chain.Walk(EdatLevel.One, write: true).Real, Is.EqualTo(PageReal));
        chain.Address = (0x2D4UL << 20) | 0x5E678;
        GuestWalk wrapped = chain.Walk(EdatLevel.One, write: true);
        Assert.That((wrapped.Real, wrapped[0].Address), Is.EqualTo((PageReal, 0x6A0UL)));
    }

    /// <summary>What hangs on the 4 KB of a step: the addresses that find their entry there, and no address beside them.</summary>
    [TestCase(GuestTable.RegionFirst, 62)]
    [TestCase(GuestTable.RegionSecond, 51)]
    [TestCase(GuestTable.RegionThird, 40)]
    [TestCase(GuestTable.Segment, 29)]
    [TestCase(GuestTable.Page, 20)]
    public void The_span_of_a_step_is_what_its_page_of_storage_describes(GuestTable level, int span)
    {
        ulong page = GuestChain.PlaceOf(level) & ~0xFFFUL;
        int upper = level == GuestTable.RegionFirst ? 64 : 20 + (11 * (int)level); // where the index of the table above begins
        GuestStep step = new GuestChain(GuestTable.RegionFirst).Walk(EdatLevel.Two, write: false)[4 - (int)level];
        Assert.That((step.Level, step.PageSpanShift), Is.EqualTo((level, span)));
        int lowest = level == GuestTable.Page ? 12 : 20 + (11 * ((int)level - 1));
        for (int bit = lowest; bit < upper; bit++)
        {
            var chain = new GuestChain(GuestTable.RegionFirst);
            chain.Address ^= 1UL << bit;
            _ = chain.Walk(EdatLevel.Two, write: false);
            ulong asked = chain.Reads[4 - (int)level];
            Assert.That((asked & ~0xFFFUL) == page, Is.EqualTo(bit < span), $"bit {bit}");
        }
    }
}
