using System.Collections.Generic;
using GmapNative.Shadow;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// The tables that lead to one address, one of each level, all entries valid: a test breaks what it wants. All numbers are of the book,
/// none is asked of the engine.
/// </summary>
internal sealed class GuestChain
{
    /// <summary>Indexes 0x2A1, 0x2B2, 0x2C3, 0x2D4 (each in quarter 1) and 0x5E, byte 0x678.</summary>
    public const ulong FullAddress =
        (0x2A1UL << 53) | (0x2B2UL << 42) | (0x2C3UL << 31) | (0x2D4UL << 20) | (0x5EUL << 12) | 0x678;

    public const ulong PageFrame = 0x0123_4567_89AB_C000;
    public const ulong SegmentFrame = 0x0123_4567_8940_0000;
    public const ulong RegionFrame = 0x0123_4567_8000_0000;

    /// <summary>By level: page, segment, region-third, -second, -first.</summary>
    private static readonly ulong[] s_origins = [0x90800, 0x80000, 0x70000, 0x60000, 0x50000];

    private static readonly ulong[] s_indexes = [0x5E, 0x2D4, 0x2C3, 0x2B2, 0x2A1];

    private readonly Dictionary<ulong, ulong> _entries = [];

    /// <param name="top">The level that the ASCE names.</param>
    /// <param name="last">The level whose entry maps: for a segment 1 MB, for region-third 2 GB.</param>
    public GuestChain(GuestTable top, GuestTable last = GuestTable.Page)
    {
        Top = top;
        Asce = s_origins[(int)top] | ((ulong)(top - 1) << 2) | 3;
        Address = top == GuestTable.RegionFirst ? FullAddress : FullAddress & ((1UL << (20 + (11 * (int)top))) - 1);
        for (GuestTable level = top; level >= last; level--)
        {
            this[level] = level switch
            {
                GuestTable.Page => PageFrame,
                GuestTable.Segment => level == last ? SegmentFrame | 0x400 : s_origins[0],
                GuestTable.RegionThird when level == last => RegionFrame | 0x404,
                _ => s_origins[(int)level - 1] | ((ulong)(level - 1) << 2) | 3,
            };
        }
    }

    public GuestTable Top { get; }

    public ulong Asce { get; set; }

    public ulong Address { get; set; }

    /// <summary>Levels whose entry storage refuses, with 0x05.</summary>
    public HashSet<GuestTable> Unreadable { get; } = [];

    /// <summary>What storage was asked for, in order.</summary>
    public List<ulong> Reads { get; } = [];

    /// <summary>The entry of a level on the way to <see cref="FullAddress"/>.</summary>
    public ulong this[GuestTable level]
    {
        get => _entries[PlaceOf(level)];
        set => _entries[PlaceOf(level)] = value;
    }

    public static ulong PlaceOf(GuestTable level) => s_origins[(int)level] + (s_indexes[(int)level] * 8);

    /// <summary>An entry anywhere.</summary>
    public void Put(ulong at, ulong entry) => _entries[at] = entry;

    public GuestWalk Walk(EdatLevel edat, bool write)
    {
        var storage = new Storage(this);
        GuestWalker.Walk(Asce, edat, Address, write, ref storage, out GuestWalk walk);
        return walk;
    }

    private int Read(ulong address, out ulong entry)
    {
        Reads.Add(address);
        bool isThere = _entries.TryGetValue(address, out entry);
        foreach (GuestTable level in Unreadable)
        {
            isThere &= address != PlaceOf(level);
        }
        return isThere ? 0 : 0x05;
    }

    private readonly struct Storage(GuestChain chain) : IGuestStorage
    {
        public int ReadEntry(ulong address, out ulong entry) => chain.Read(address, out entry);
    }
}
