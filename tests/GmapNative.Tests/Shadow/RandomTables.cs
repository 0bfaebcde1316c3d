using System;
using System.Buffers.Binary;
using GmapNative.Shadow;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// Big-endian storage full of tables that mostly fit together: two of each level, each full, and entries that are broken now and then in
/// any way. Walks of them come to every end there is.
/// </summary>
internal sealed class RandomTables
{
    private const int TableBytes = 16384;
    private const int TablesPerLevel = 2;
    private const int Levels = 5;

    private readonly Random _random;

    public RandomTables(int seed)
    {
        _random = new Random(seed);
        for (int level = 0; level < Levels; level++)
        {
            for (int offset = 0; offset < TablesPerLevel * TableBytes; offset += 8)
            {
                BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan((level * TablesPerLevel * TableBytes) + offset), Entry(level));
            }
        }
        Size = OneIn(3) ? (ulong)_random.Next(Bytes.Length / 8) * 8 : (ulong)Bytes.Length;
    }

    /// <summary>Storage from 0.</summary>
    public byte[] Bytes { get; } = new byte[Levels * TablesPerLevel * TableBytes];

    /// <summary>Where storage ends, perhaps within a table.</summary>
    public ulong Size { get; }

    public ulong Asce()
    {
        int type = _random.Next(4);
        ulong others = (ulong)_random.Next(16) << 6; // P, and bits that mean nothing
        ulong length = OneIn(3) ? (ulong)_random.Next(4) : 3;
        return OneIn(50) ? Any() | 0x20 : Origin(type + 1) | others | ((ulong)type << 2) | length;
    }

    /// <summary>Mostly within what the type of the ASCE spans.</summary>
    public ulong Address(ulong asce)
    {
        int bits = 31 + (11 * (int)((asce >> 2) & 3));
        return bits < 64 && !OneIn(20) ? Any() & ((1UL << bits) - 1) : Any();
    }

    public ulong Any() => (ulong)_random.NextInt64(long.MinValue, long.MaxValue);

    private bool OneIn(int n) => _random.Next(n) == 0;

    private ulong Origin(int level) =>
        (ulong)(((level * TablesPerLevel) + _random.Next(TablesPerLevel)) * TableBytes) + (OneIn(30) ? 4096UL : 0);

    /// <summary>Level 0: of a page table.</summary>
    private ulong Entry(int level)
    {
        ulong entry = level switch
        {
            0 => Any() & ~0xE00UL,
            1 => Origin(0) | ((ulong)_random.Next(8) << 11),
            _ => Origin(level - 1) | ((ulong)(level - 1) << 2) | (OneIn(4) ? (ulong)_random.Next(256) & 0xC3 : 3),
        };
        entry |= OneIn(12) ? 0x200UL : 0; // P
        entry |= level is 1 or 2 && OneIn(12) ? 0x400 | (Any() & ~0xFFFUL) : 0; // FC
        entry |= level > 0 && OneIn(12) ? 0x10UL : 0; // CR, CS
        return OneIn(25) ? entry ^ (1UL << _random.Next(12)) : OneIn(200) ? Any() : entry;
    }
}

/// <summary>Reads such storage.</summary>
internal readonly struct ByteStorage(byte[] bytes, ulong size) : IGuestStorage
{
    public int ReadEntry(ulong address, out ulong entry)
    {
        bool isThere = address < size;
        entry = isThere ? BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan((int)address, 8)) : 0;
        return isThere ? 0 : 0x05;
    }
}
