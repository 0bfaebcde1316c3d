using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Shadow;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// Every check of a walk, alone and together with every later one: the first in the machine's order decides, and nothing is read beyond it.
/// </summary>
[TestFixture]
internal sealed class WalkOrderTests
{
    /// <summary>What goes wrong, where it is seen (null: in the ASCE), the code.</summary>
    private sealed record Fault(string Name, GuestTable? At, int Code, Action<GuestChain> Break);

    private static IEnumerable<object[]> Walks() =>
        from top in Enum.GetValues<GuestTable>()
        from last in Enum.GetValues<GuestTable>()
        from edat in Enum.GetValues<EdatLevel>()
        where top >= last && top >= GuestTable.Segment && (int)last <= (int)edat // the level of a leaf is the facility it needs
        from write in (bool[])[false, true]
        select (object[])[top, last, edat, write];

    [TestCaseSource(nameof(Walks))]
    public void The_first_fault_in_order_wins(GuestTable top, GuestTable last, EdatLevel edat, bool write)
    {
        List<Fault> faults = InOrder(top, last, edat, write);
        for (int first = 0; first < faults.Count; first++)
        {
            for (int second = first; second < faults.Count; second++)
            {
                Fault expected = faults[first];
                var chain = new GuestChain(top, last);
                expected.Break(chain);
                faults[second].Break(chain);
                GuestWalk walk = chain.Walk(edat, write);
                Assert.That(walk.Code, Is.EqualTo(expected.Code), $"{expected.Name}, and {faults[second].Name}");
                CheckPlace(walk, chain, expected);
            }
        }
    }

    /// <summary>The walk ended where the fault is, and says so.</summary>
    private static void CheckPlace(GuestWalk walk, GuestChain chain, Fault fault)
    {
        int reads = fault.At is { } level ? chain.Top - level + 1 : 0;
        bool isUnreadable = fault.Code == 0x05;
        bool isTranslated = fault.Code == 0x04;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(chain.Reads, Has.Count.EqualTo(reads), fault.Name);
            Assert.That(walk.StepCount, Is.EqualTo(isUnreadable ? reads - 1 : reads), fault.Name);
            Assert.That(walk.EntryAddress, Is.EqualTo(fault.At is { } at ? GuestChain.PlaceOf(at) : 0), fault.Name);
            Assert.That(walk.LeafShift != 0, Is.EqualTo(isTranslated), fault.Name);
            Assert.That(walk.Real != 0, Is.EqualTo(isTranslated), fault.Name);
        }
    }

    private static List<Fault> InOrder(GuestTable top, GuestTable last, EdatLevel edat, bool write)
    {
        List<Fault> faults = [];
        if (top != GuestTable.RegionFirst)
        {
            // one bit above what the top spans; no table has it in an index
            faults.Add(new("ASCE type", null, 0x38, chain => chain.Address |= 1UL << (20 + (11 * (int)top))));
        }
        faults.Add(new("ASCE length", null, TranslationOf(top), chain => chain.Asce &= ~3UL));
        for (GuestTable level = top; level >= last; level--)
        {
            AddEntry(faults, level, isLeaf: level == last, edat);
        }
        if (write)
        {
            faults.Add(new("P", last, 0x04, chain => chain[last] |= 0x200));
        }
        return faults;
    }

    private static void AddEntry(List<Fault> faults, GuestTable level, bool isLeaf, EdatLevel edat)
    {
        void Add(string name, int code, ulong clear, ulong set) =>
            faults.Add(new($"{name} of {level}", level, code, chain => chain[level] = (chain[level] & ~clear) | set));

        faults.Add(new($"no storage for {level}", level, 0x05, chain => chain.Unreadable.Add(level)));
        if (level == GuestTable.Page)
        {
            Add("I", 0x11, 0, 0x400);
            Add("Z", 0x12, 0, 0x800);
            return;
        }
        Add("I", TranslationOf(level), 0, 0x20);
        ulong wrong = level is GuestTable.RegionFirst or GuestTable.RegionThird ? 0x08UL : 0x0C;
        Add("TT", 0x12, 0x0C, wrong);
        if (level == GuestTable.Segment || (level == GuestTable.RegionThird && edat == EdatLevel.Two))
        {
            faults.Add(new($"common {level} in a private space", level, 0x12, chain =>
            {
                chain[level] |= 0x10;
                chain.Asce |= 0x100;
            }));
        }
        if (level != GuestTable.Segment && !isLeaf)
        {
            Add("TF", TranslationOf(level - 1), 0xC0, 0x80);
            Add("TL", TranslationOf(level - 1), 0x03, 0);
        }
    }

    private static int TranslationOf(GuestTable level) => level switch
    {
        GuestTable.Page => 0x11,
        GuestTable.Segment => 0x10,
        GuestTable.RegionThird => 0x3B,
        GuestTable.RegionSecond => 0x3A,
        GuestTable.RegionFirst => 0x39,
        _ => throw new ArgumentOutOfRangeException(nameof(level)),
    };
}
