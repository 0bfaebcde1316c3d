using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class SegmentEntryTests
{
    /// <summary>All bits below the frame of a leaf that have a meaning in either format.</summary>
    private const ulong Control = 0x1FFFF;

    private static readonly ulong[] Kinds = [0, 1, 2, 0x8000, 0xFFFF];

    [Test]
    public void EveryPredicateReadsItsBits()
    {
        foreach (ulong frame in (ulong[])[0, 0x100000, 0x8000000000000000, 0xFFFFFFFFFFF00000])
        {
            foreach (ulong low in SubsetsOf(Control))
            {
                ulong word = frame | low;
                var entry = new SegmentEntry(word);
                bool leaf = (word & 0x420) == 0x400 || (word & 0x421) == 0x421;
                bool table = (word & 0x420) == 0;
                Same(entry.IsInvalid, Has(word, 0x20), word, nameof(entry.IsInvalid));
                Same(entry.IsProtected, Has(word, 0x200), word, nameof(entry.IsProtected));
                Same(entry.IsLeaf, leaf, word, nameof(entry.IsLeaf));
                Same(entry.IsAged, (word & 0x421) == 0x421, word, nameof(entry.IsAged));
                Same(entry.IsTable, table, word, nameof(entry.IsTable));
                Same(entry.IsLocked, table && Has(word, 0x40), word, nameof(entry.IsLocked));
                Same(entry.IsFrozen, table && Has(word, 0x80), word, nameof(entry.IsFrozen));
                Same(entry.IsSplit, table && Has(word, 0x01), word, nameof(entry.IsSplit));
                Same(entry.IsWritable, Has(word, 0x4000), word, nameof(entry.IsWritable));
                Same(entry.IsDirty, Has(word, 0x1000), word, nameof(entry.IsDirty));
                Same(entry.IsSoftDirty, leaf && Has(word, 0x02), word, nameof(entry.IsSoftDirty));
            }
        }
    }

    [Test]
    public void OriginsReadBack()
    {
        foreach (ulong word in Cross(0xFFFFFFFFFFFFF800, 0x7FF))
        {
            Same(new SegmentEntry(word).TableOrigin, word & 0xFFFFFFFFFFFFF800, word, nameof(SegmentEntry.TableOrigin));
            Same(new SegmentEntry(word).Frame, word & 0xFFFFFFFFFFF00000, word, nameof(SegmentEntry.Frame));
        }
    }

    [Test]
    public void AnEntryIsALeafOrATableOrEmptyOrAHole()
    {
        foreach (ulong kind in Kinds)
        {
            foreach (ulong low in Cross(0x0000FFFFFFF00000, 0xFFF))
            {
                ulong word = (kind << 48) | low;
                var entry = new SegmentEntry(word);
                bool nothing = Has(word, 0x20) && (word & 0x401) != 0x401;
                Same(entry.IsEmpty, nothing && kind == 0, word, nameof(entry.IsEmpty));
                Same(entry.IsHole, nothing && kind == 1, word, nameof(entry.IsHole));
                int states = (entry.IsLeaf ? 1 : 0) + (entry.IsTable ? 1 : 0) + (entry.IsEmpty ? 1 : 0) + (entry.IsHole ? 1 : 0);
                Same(states, nothing && kind > 1 ? 0 : 1, word, "states");
            }
        }
    }

    [Test]
    public void WithChangesExactlyWhatItNames()
    {
        foreach (ulong word in Cross(0xFFFFFFFFFFF00000, 0xFFFF))
        {
            var entry = new SegmentEntry(word);
            Same(entry.WithLock.Value, word | 0x40, word, nameof(entry.WithLock));
            Same(entry.WithoutLock.Value, word & ~0x40UL, word, nameof(entry.WithoutLock));
            Same(entry.WithArmed.Value, (word & ~0x1002UL) | 0x200, word, nameof(entry.WithArmed));
            Same(entry.WithAge.Value, (word & ~0x800UL) | 0x20, word, nameof(entry.WithAge));
            Same(entry.WithUse.Value, (word & ~0x20UL) | 0x800, word, nameof(entry.WithUse));
            Same(entry.WithWritable.Value, word | 0x4000, word, nameof(entry.WithWritable));
            Same(entry.WithGrant.Value, (word & ~0x200UL) | 0x5802, word, nameof(entry.WithGrant));
        }
    }

    [Test]
    public void ALeafThatIsNotDirtyIsProtected([Values] bool writable, [Values] bool dirty)
    {
        foreach (ulong frame in PatternsOf(ulong.MaxValue))
        {
            SegmentEntry entry = SegmentEntry.Leaf(frame, writable, dirty);
            ulong expected = (frame & 0xFFFFFFFFFFF00000) | 0x2C01 | (writable ? 0x4000UL : 0) | (writable && dirty ? 0x1002UL : 0x200);
            Same(entry.Value, expected, frame, nameof(SegmentEntry.Leaf));
            Same(entry.IsLeaf, true, frame, nameof(entry.IsLeaf));
            Same(entry.IsProtected, !entry.IsDirty, frame, "protected unless dirty");
            Same(entry.IsSoftDirty, entry.IsDirty, frame, "soft-dirty when it becomes dirty");
            Same(entry.WithGrant.WithArmed.IsProtected, true, frame, "armed");
        }
    }

    [Test]
    public void TablesEmptyAndHolesReadBack([Values] bool split)
    {
        foreach (ulong origin in PatternsOf(ulong.MaxValue))
        {
            SegmentEntry table = SegmentEntry.Table(origin, split);
            Same(table.Value, (origin & 0xFFFFFFFFFFFFF800) | (split ? 1UL : 0), origin, nameof(SegmentEntry.Table));
            Same(table.IsTable && table.IsSplit == split && !table.IsLocked && !table.IsFrozen, true, origin, nameof(table.IsTable));
            Same(table.WithLock.IsLocked && !table.WithLock.WithoutLock.IsLocked, true, origin, nameof(table.WithLock));
        }

        Assert.That(SegmentEntry.Empty.IsEmpty);
        for (int code = 0; code <= 0xFFFF; code++)
        {
            SegmentEntry hole = SegmentEntry.Hole(code);
            Same(hole.Value, 0x0001000000000020 | ((ulong)code << 32), (ulong)code, nameof(SegmentEntry.Hole));
            Same(hole.IsHole, true, hole.Value, nameof(hole.IsHole));
        }
    }
}
