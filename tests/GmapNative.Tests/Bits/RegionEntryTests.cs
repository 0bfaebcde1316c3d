using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class RegionEntryTests
{
    private const ulong OriginField = 0xFFFFFFFFFFFFF000;
    private const ulong FrameField = 0xFFFFFFFF80000000;

    [Test]
    public void EveryFieldReadsBack()
    {
        foreach (ulong word in Cross(OriginField, 0xFFF))
        {
            var entry = new RegionEntry(word);
            // FC is defined in region-third entries only; an invalid one that is present is aged.
            bool leaf = (word & 0x40C) == 0x404 && (word & 0x21) != 0x20;
            Same(entry.Origin, word & OriginField, word, nameof(entry.Origin));
            Same(entry.Frame, word & FrameField, word, nameof(entry.Frame));
            Same((int)entry.Level, (int)((word >> 2) & 3), word, nameof(entry.Level));
            Same(entry.TableOffset, (int)((word >> 6) & 3), word, nameof(entry.TableOffset));
            Same(entry.TableLength, (int)(word & 3), word, nameof(entry.TableLength));
            Same(entry.IsInvalid, Has(word, 0x20), word, nameof(entry.IsInvalid));
            Same(entry.IsProtected, Has(word, 0x200), word, nameof(entry.IsProtected));
            Same(entry.IsLeaf, leaf, word, nameof(entry.IsLeaf));
            Same(entry.IsTable, !leaf && !Has(word, 0x20), word, nameof(entry.IsTable));
        }
    }

    [Test]
    public void AnEntryIsALeafOrATableOrEmptyOrAHole()
    {
        foreach (ulong kind in (ulong[])[0, 1, 2, 0x8000, 0xFFFF])
        {
            foreach (ulong low in Cross(0x0000FFFFFFFFF000, 0xFFF))
            {
                ulong word = (kind << 48) | low;
                var entry = new RegionEntry(word);
                bool token = Has(word, 0x20) && !entry.IsLeaf;
                Same(entry.MapsNothing, token, word, nameof(entry.MapsNothing));
                Same(entry.IsAged, Has(word, 0x20) && entry.IsLeaf, word, nameof(entry.IsAged));
                Same(entry.IsEmpty, token && kind == 0, word, nameof(entry.IsEmpty));
                Same(entry.IsHole, token && kind == 1, word, nameof(entry.IsHole));
                int states = (entry.IsLeaf ? 1 : 0) + (entry.IsTable ? 1 : 0) + (entry.IsEmpty ? 1 : 0) + (entry.IsHole ? 1 : 0);
                Same(states, token && kind > 1 ? 0 : 1, word, "states");
            }
        }
    }

    [Test]
    public void ConstructorsReadBack([Values(1, 2, 3)] int type)
    {
        var level = (TableType)type;
        Same(RegionEntry.Empty(level).IsEmpty, true, 0, nameof(RegionEntry.Empty));
        foreach (ulong origin in PatternsOf(ulong.MaxValue))
        {
            RegionEntry table = RegionEntry.Table(level, origin);
            Same(table.Value, (origin & OriginField) | 0x03 | ((ulong)type << 2), origin, nameof(RegionEntry.Table));
            Same(table.IsTable && table.Level == level && table.TableOffset == 0 && table.TableLength == 3, true, origin, "full table");
        }

        for (int code = 0; code <= 0xFFFF; code++)
        {
            RegionEntry hole = RegionEntry.Hole(level, code);
            Same(hole.Value, 0x0001000000000020 | ((ulong)code << 32) | ((ulong)type << 2), (ulong)code, nameof(RegionEntry.Hole));
            Same(hole.IsHole && hole.Level == level, true, hole.Value, nameof(hole.IsHole));
        }
    }

    [Test]
    public void ALeafThatIsNotDirtyIsProtected([Values] bool writable, [Values] bool dirty)
    {
        foreach (ulong frame in PatternsOf(ulong.MaxValue))
        {
            RegionEntry entry = RegionEntry.Leaf(frame, writable, dirty);
            ulong expected = (frame & FrameField) | 0x2C05 | (writable ? 0x4000UL : 0) | (writable && dirty ? 0x1002UL : 0x200);
            Same(entry.Value, expected, frame, nameof(RegionEntry.Leaf));
            Same(entry.IsLeaf && entry.Level == TableType.RegionThird, true, frame, nameof(entry.IsLeaf));
            Same(entry.IsProtected, !(writable && dirty), frame, nameof(entry.IsProtected));
        }
    }

    [Test]
    public void WithOriginChangesTheOriginOnly()
    {
        foreach (ulong word in Cross(OriginField, 0xFFF))
        {
            foreach (ulong origin in (ulong[])[0, 0x4000, 0xFFF, ulong.MaxValue])
            {
                ulong expected = (word & 0xFFF) | (origin & OriginField);
                Same(new RegionEntry(word).WithOrigin(origin).Value, expected, word, nameof(RegionEntry.WithOrigin));
            }
        }
    }
}
