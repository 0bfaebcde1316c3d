using System.Runtime.Intrinsics;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// A live page table: 256 entries, 2 KB aligned. Valid while its holder is in a section or holds the configuration lock.
/// </summary>
internal readonly unsafe struct PageTable(ulong origin)
{
    /// <summary>Pages in a group: one word of a bitmap, eight cache lines of the table.</summary>
    public const int GroupPages = 64;
    public const int Groups = GuestAddress.PageTableEntries / GroupPages;
    public const int LinePages = 8;
    private const int SoftDirtyToSign = 62;
    private const int SoftDirtyToDirty = 2;
    private const int SoftDirtyToProtect = 8;

    // 256 words in a page table of the arena: aligned, and not reused before a grace (rule 18).
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    public PageEntry Load(int page) => new(Volatile.Read(ref _entries[page]));

    public bool TryReplace(int page, PageEntry expected, PageEntry value) =>
        Interlocked.CompareExchange(ref _entries[page], value.Value, expected.Value) == expected.Value;

    /// <summary>The lines of a run of pages, as bits of a summary word.</summary>
    public static uint LinesOf(int firstPage, int count)
    {
        int first = firstPage / LinePages;
        int last = (firstPage + count - 1) / LinePages;
        return (SegmentCell.AllLines >> (31 - last)) & (SegmentCell.AllLines << first);
    }

    /// <summary>Bit i: page 64 * group + i is soft-dirty. Looks only at the lines of <paramref name="lines"/> (8 bits).</summary>
    public ulong SoftDirty(int group, uint lines)
    {
        ulong found = 0;
        for (int line = 0; lines != 0; line++, lines >>= 1)
        {
            if ((lines & 1) == 0)
            {
                continue;
            }
            // Eight aligned words, each read whole; what changes behind the read is found by the next look.
            ulong* entry = _entries + (group * GroupPages) + (line * LinePages);
            uint low = (Vector256.Load(entry) << SoftDirtyToSign).ExtractMostSignificantBits();
            uint high = (Vector256.Load(entry + 4) << SoftDirtyToSign).ExtractMostSignificantBits();
            found |= (ulong)(low | (high << 4)) << (line * LinePages);
        }
        return found;
    }

    /// <summary>As <see cref="SoftDirty(int, uint)"/> of all lines, for tables of which much is dirty.</summary>
    public ulong SoftDirty(int group)
    {
        ulong* first = _entries + (group * GroupPages); // 64 words inside the table
        var softDirty = Vector128.Create(PageEntry.SoftDirty);
        Vector128<ulong> bits = default;
        for (ulong* entry = first + GroupPages - 4; entry >= first; entry -= 4)
        {
            // From the last to the first: one lane collects the even pages, one the odd ones, a place higher than they belong.
            bits = (bits << 1) | (Vector128.Load(entry + 2) & softDirty);
            bits = (bits << 1) | (Vector128.Load(entry) & softDirty);
        }
        bits >>= 1;
        return Spread(bits.GetElement(0)) | (Spread(bits.GetElement(1)) << 1);
    }

    /// <summary>
    /// Makes every soft-dirty page of a group clean and protected, as <see cref="Arm"/> does, by plain stores: only while nobody else
    /// changes an entry (rule 20). Readers go on: each entry is stored whole.
    /// </summary>
    public void ArmFrozen(int group)
    {
        ulong* entry = _entries + (group * GroupPages); // 64 words inside the table, a multiple of every vector
        var softDirty = Vector128.Create(PageEntry.SoftDirty);
        for (ulong* end = entry + GroupPages; entry < end; entry += 4)
        {
            Vector128<ulong> a = Vector128.Load(entry);
            Vector128<ulong> b = Vector128.Load(entry + 2);
            Vector128<ulong> takenA = a & softDirty;
            Vector128<ulong> takenB = b & softDirty;
            // Where soft-dirty is set: that bit and dirty go, P comes. The bits are two and eight places above it.
            ((a | (takenA << SoftDirtyToProtect)) & ~(takenA | (takenA << SoftDirtyToDirty))).Store(entry);
            ((b | (takenB << SoftDirtyToProtect)) & ~(takenB | (takenB << SoftDirtyToDirty))).Store(entry + 2);
        }
    }

    /// <summary>Bit i of 32 becomes bit 2 * i.</summary>
    private static ulong Spread(ulong bits)
    {
        bits = (bits | (bits << 16)) & 0x0000_FFFF_0000_FFFF;
        bits = (bits | (bits << 8)) & 0x00FF_00FF_00FF_00FF;
        bits = (bits | (bits << 4)) & 0x0F0F_0F0F_0F0F_0F0F;
        bits = (bits | (bits << 2)) & 0x3333_3333_3333_3333;
        return (bits | (bits << 1)) & 0x5555_5555_5555_5555;
    }

    /// <summary>Makes the pages of <paramref name="mask"/> clean and protected, one compare-and-swap each.</summary>
    public void Arm(int group, ulong mask)
    {
        for (; mask != 0; mask &= mask - 1)
        {
            int page = (group * GroupPages) + System.Numerics.BitOperations.TrailingZeroCount(mask);
            PageEntry entry = Load(page);
            Probe.At(Place.EntryLoaded);
            while (!TryReplace(page, entry, entry.WithArmed))
            {
                entry = Load(page); // an inline writer was here
            }
            Probe.At(Place.EntryArmed);
        }
    }
}
