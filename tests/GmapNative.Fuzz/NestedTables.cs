using System;
using System.Buffers.Binary;
using GmapNative.Shadow;

namespace GmapNative.Fuzz;

/// <summary>
/// A guest's storage with tables for its own guest, as a hostile guest has them: few frames, so that tables lie over one another and over
/// the memory they map; chains that are right, and flaws put into them. The bytes of a program choose.
/// </summary>
internal sealed class NestedTables
{
    public const int Frames = 16;
    public const int FrameBytes = 4096;

    private const ulong Protect = 0x200;

    private static readonly ulong[] s_indexes = [0, 1, 2, 0x1FF, 0x200, 0x3FF, 0x400, 0x7FF];

    public byte[] Storage { get; } = new byte[Frames * FrameBytes];

    /// <summary>Where storage ends for the guest; entries from there on are not there.</summary>
    public ulong Size { get; private set; } = Frames * FrameBytes;

    public ulong Asce { get; private set; }

    /// <summary>The inner address that is looked at.</summary>
    public ulong Address { get; private set; }

    public bool TryRead(ulong at, out ulong entry)
    {
        bool isThere = at < Size;
        entry = isThere ? BinaryPrimitives.ReadUInt64BigEndian(Storage.AsSpan((int)at, 8)) : 0;
        return isThere;
    }

    public void Write(ulong at, ulong entry)
    {
        if (at < (ulong)Storage.Length)
        {
            BinaryPrimitives.WriteUInt64BigEndian(Storage.AsSpan((int)at, 8), entry);
        }
    }

    public void Resize(Code code) => Size = code.Rarely(3) ? code.Word() % (ulong)(Storage.Length + 1) & ~7UL : (ulong)Storage.Length;

    public void ChooseAsce(Code code)
    {
        byte choice = code.Byte();
        ulong others = code.Rarely(4) ? (ulong)code.Byte() << 4 : 0; // P, R, and bits that mean nothing
        Asce = Frame(code) | others | (choice & 0x0FUL) | (code.Rarely(8) ? code.Spread() << 12 : 0);
    }

    public void ChooseAddress(Code code)
    {
        int type = (int)(Asce >> 2) & 3;
        Address = ((ulong)code.Byte() << 12) | (code.Byte() & 0xFFUL);
        for (int level = 0; level <= type; level++)
        {
            Address |= s_indexes[code.Byte() % s_indexes.Length] << (20 + (11 * level));
        }
        Address ^= code.Rarely(16) ? code.Spread() : 0;
    }

    /// <summary>Writes the entries that lead from the ASCE to the address; a later one may lie over an earlier one.</summary>
    public void Chain(Code code)
    {
        ulong table = Asce & ~0xFFFUL;
        for (int level = (int)(Asce >> 2) & 3; level >= 0; level--)
        {
            ulong next = Frame(code) | (level == 0 && code.Rarely(2) ? 0x800UL : 0);
            Write(table + (((Address >> (20 + (11 * level))) & 0x7FF) * 8), next | ((ulong)level << 2) | (level > 0 ? 3UL : 0));
            table = next;
        }
        Write(table + (((Address >> 12) & 0xFF) * 8), Frame(code));
    }

    /// <summary>An entry as it could stand somewhere, with one thing wrong or special.</summary>
    public ulong Flawed(Code code, ulong entry, GuestTable level) => (code.Byte() % 12) switch
    {
        0 => entry ^ (1UL << (code.Byte() % 12)),
        1 => entry | (level == GuestTable.Page ? 0x400UL : 0x20),
        2 => entry ^ ((code.Byte() & 3UL) << 2),
        3 => entry | Protect,
        4 => entry | 0x400,
        5 => entry | 0x10,
        6 => (entry & ~0xC3UL) | (code.Byte() & 0xC3UL),
        7 => (entry & 0xFFF) | Frame(code),
        8 => entry ^ code.Spread(),
        9 => 0,
        10 => ulong.MaxValue,
        _ => (entry & 0xFFF) | (Asce & ~0xFFFUL), // back to the top table
    };

    private static ulong Frame(Code code) => (ulong)(code.Byte() % Frames) * FrameBytes;
}
