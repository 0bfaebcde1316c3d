using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class PageEntryTests
{
    private const ulong FrameField = 0xFFFFFFFFFFFFF000;

    [Test]
    public void EveryPredicateReadsItsBitAlone()
    {
        foreach (ulong word in Cross(FrameField, 0xFFF))
        {
            var entry = new PageEntry(word);
            Same(entry.Frame, word & FrameField, word, nameof(entry.Frame));
            Same(entry.IsInvalid, Has(word, 0x400), word, nameof(entry.IsInvalid));
            Same(entry.IsProtected, Has(word, 0x200), word, nameof(entry.IsProtected));
            Same(entry.IsWritable, Has(word, 0x20), word, nameof(entry.IsWritable));
            Same(entry.IsDirty, Has(word, 0x08), word, nameof(entry.IsDirty));
            Same(entry.IsSoftDirty, Has(word, 0x02), word, nameof(entry.IsSoftDirty));
            Same(entry.IsPresent, Has(word, 0x01), word, nameof(entry.IsPresent));
            // Present, writable, protected, valid, no marker: 0x6E1 decides.
            Same(entry.IsGrantable, (word & 0x6E1) == 0x221, word, nameof(entry.IsGrantable));
        }
    }

    [Test]
    public void AnEntryIsMappedOrEmptyOrAHole()
    {
        foreach (ulong kind in (ulong[])[0, 1, 2, 0x8000, 0xFFFF])
        {
            foreach (ulong low in Cross(0x0000FFFFFFFFF000, 0xFFF))
            {
                ulong word = (kind << 48) | low;
                var entry = new PageEntry(word);
                bool nothing = Has(word, 0x400) && !Has(word, 0x01);
                Same(entry.IsEmpty, nothing && kind == 0, word, nameof(entry.IsEmpty));
                Same(entry.IsHole, nothing && kind == 1, word, nameof(entry.IsHole));
                int states = (entry.IsInvalid ? 0 : 1) + (entry.IsEmpty ? 1 : 0) + (entry.IsHole ? 1 : 0);
                bool valid = kind <= 1 && (!Has(word, 0x400) || !Has(word, 0x01));
                Same(states, valid || !Has(word, 0x400) ? 1 : 0, word, "states");
                Same(entry.IsGrantable && entry.IsInvalid, false, word, "grantable and invalid");
            }
        }
    }

    [Test]
    public void WithChangesExactlyWhatItNames()
    {
        foreach (ulong word in Cross(FrameField, 0xFFF))
        {
            var entry = new PageEntry(word);
            Same(entry.WithGrant.Value, (word & ~0x200UL) | 0x0E, word, nameof(entry.WithGrant));
            Same(entry.WithArmed.Value, (word & ~0x0AUL) | 0x200, word, nameof(entry.WithArmed));
            Same(entry.WithWritable.Value, word | 0x20, word, nameof(entry.WithWritable));
            Same(entry.WithoutWritable.Value, word & ~0x20UL, word, nameof(entry.WithoutWritable));
            Same(entry.WithAge.Value, (word & ~0x04UL) | 0x400, word, nameof(entry.WithAge));
            Same(entry.WithUse.Value, (word & ~0x400UL) | 0x04, word, nameof(entry.WithUse));
            Same(entry.IsAged, (word & 0x401) == 0x401, word, nameof(entry.IsAged));
            Same(entry.WithoutWritable.IsGrantable || entry.WithAge.IsGrantable, false, word, "held or aged, and grantable");
            if (entry.IsGrantable)
            {
                Same(entry.WithGrant.IsGrantable, false, word, "granted and grantable");
                Same(entry.WithGrant.WithArmed.Value, (word & ~0x0AUL) | 0x04, word, "granted, then armed");
            }
        }
    }

    [Test]
    public void ALeafThatIsNotDirtyIsProtected([Values] bool writable, [Values] bool dirty)
    {
        foreach (ulong frame in PatternsOf(ulong.MaxValue))
        {
            PageEntry entry = PageEntry.Leaf(frame, writable, dirty);
            ulong expected = (frame & FrameField) | 0x15 | (writable ? 0x20UL : 0) | (writable && dirty ? 0x0AUL : 0x200);
            Same(entry.Value, expected, frame, nameof(PageEntry.Leaf));
            Same(entry.IsProtected, !entry.IsDirty, frame, "protected unless dirty");
            Same(entry.IsGrantable, writable && !dirty, frame, nameof(entry.IsGrantable));
        }
    }

    [Test]
    public void EmptyAndHolesReadBack()
    {
        Assert.That(PageEntry.Empty.IsEmpty && !PageEntry.Empty.IsHole);
        for (int code = 0; code <= 0xFFFF; code++)
        {
            PageEntry hole = PageEntry.Hole(code);
            Same(hole.Value, 0x0001000000000400 | ((ulong)code << 32), (ulong)code, nameof(PageEntry.Hole));
            Same(hole.IsHole && hole.IsInvalid && !hole.IsEmpty && !hole.IsPresent, true, hole.Value, nameof(hole.IsHole));
        }
    }

    /// <summary>
    /// Parent bit, child bit: all that a page inherits (rule 16). Special, common-segment and TT have no place in a page.
    /// </summary>
    private static readonly (ulong Segment, ulong Page)[] Inherited =
    [
        (0x20, 0x400), (0x200, 0x200), (0x100, 0x100), (0x4000, 0x20), (0x2000, 0x10), (0x1000, 0x08), (0x0800, 0x04), (0x80, 0x40),
        (0x40, 0x80), (0x02, 0x02), (0x01, 0x01),
    ];

    [Test]
    public void ASplitPageInheritsEachBitOfItsLeaf()
    {
        foreach (ulong word in Cross(0xFFFFFFFFFFF00000, 0xFBFF)) // every bit below 0x10000 but FC
        {
            ulong leaf = word | 0x400;
            ulong expected = leaf & 0xFFFFFFFFFFF00000;
            foreach ((ulong segment, ulong page) in Inherited)
            {
                expected |= Has(leaf, segment) ? page : 0;
            }

            Same(PageEntry.OfSplit(new SegmentEntry(leaf)).Value, expected, leaf, nameof(PageEntry.OfSplit));
        }
    }

    [Test]
    public void SplitPagesCoverTheLeafAndKeepItsMeaning([Values] bool writable, [Values] bool dirty)
    {
        SegmentEntry leaf = SegmentEntry.Leaf(0x7F1234500000, writable, dirty);
        ulong first = PageEntry.OfSplit(leaf).Value;
        for (ulong i = 0; i < 256; i++)
        {
            var page = new PageEntry(first + (i << 12));
            Same(page.Frame, leaf.Frame + (i << 12), i, nameof(page.Frame));
            Same(page.Value & 0xFFF, first & 0xFFF, i, "status bits");
            Same(page.IsInvalid, false, i, nameof(page.IsInvalid));
            Same(page.IsProtected, leaf.IsProtected, i, nameof(page.IsProtected));
            Same(page.IsDirty, leaf.IsDirty, i, nameof(page.IsDirty));
            Same(page.IsSoftDirty, leaf.IsSoftDirty, i, nameof(page.IsSoftDirty));
            Same(page.IsWritable, leaf.IsWritable, i, nameof(page.IsWritable));
        }
    }
}
