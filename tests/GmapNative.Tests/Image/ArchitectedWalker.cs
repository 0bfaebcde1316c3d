using System;
using System.Buffers.Binary;

namespace GmapNative.Tests.Image;

/// <summary>
/// Dynamic address translation as the Principles of Operation tells it, over big-endian storage: written from the book, it shares
/// nothing with the engine. Outside machines judge it (VectorTests), it judges the engine's images and shadows.
/// </summary>
internal class ArchitectedWalker(byte[] storage, ulong storageBase, ulong storageSize, bool edat1, bool edat2)
{
    private const int Protection = 0x04;
    private const int Addressing = 0x05;
    private const int SegmentTranslation = 0x10;
    private const int PageTranslation = 0x11;
    private const int TranslationSpecification = 0x12;
    private const int AsceType = 0x38;
    private const int RegionFirst = 0x39;

    /// <summary>Where the last entry is that was looked at; 0: none was.</summary>
    public ulong LastEntry { get; private set; }

    /// <summary>log2 of what the last entry maps; of a walk that came to an end, or was refused for protection.</summary>
    public int LeafShift { get; private set; }

    /// <summary>Whether protection was set on the way.</summary>
    public bool IsProtected { get; private set; }

    /// <summary>0 with the real address, or a program-interruption code.</summary>
    public int Walk(ulong asce, ulong address, bool store, out ulong real)
    {
        real = address;
        (LastEntry, LeafShift, IsProtected) = (0, 31, false);
        if ((asce & 0x20) != 0)
        {
            return 0; // a real-space designation
        }
        int level = (int)((asce >> 2) & 3); // 3: region first ... 0: segment
        for (int above = 3; above > level; above--)
        {
            if (IndexOf(address, above) != 0)
            {
                return AsceType;
            }
        }
        ulong table = asce & ~0xFFFUL;
        ulong first = 0;
        ulong last = asce & 3;
        for (; ; level--)
        {
            ulong index = IndexOf(address, level);
            if (index >> 9 < first || index >> 9 > last)
            {
                return ExceptionOf(level);
            }
            int code = LoadEntry(table + (index * 8), out ulong entry);
            if (code != 0)
            {
                return code;
            }
            if ((entry & 0x20) != 0)
            {
                return ExceptionOf(level);
            }
            bool common = (entry & 0x10) != 0 && (asce & 0x100) != 0;
            if (((entry >> 2) & 3) != (ulong)level || (common && (level == 0 || (level == 1 && edat2))))
            {
                return TranslationSpecification;
            }
            IsProtected |= (entry & 0x200) != 0 && (edat1 || level == 0);
            bool leaf = (entry & 0x400) != 0 && ((level == 0 && edat1) || (level == 1 && edat2));
            if (leaf)
            {
                LeafShift = level == 0 ? 20 : 31;
                ulong size = 1UL << LeafShift;
                return Finish((entry & ~(size - 1)) | (address & (size - 1)), store, out real);
            }
            if (level == 0)
            {
                return WalkPage(entry & ~0x7FFUL, address, store, out real);
            }
            table = entry & ~0xFFFUL;
            first = (entry >> 6) & 3;
            last = entry & 3;
        }
    }

    /// <summary>8 bytes of storage: 0, or why they cannot be read.</summary>
    protected virtual int Load(ulong at, out ulong value)
    {
        value = 0;
        if (at >= storageSize)
        {
            return Addressing;
        }
        ulong offset = at - storageBase;
        if (at >= storageBase && offset + 8 <= (ulong)storage.Length)
        {
            value = BinaryPrimitives.ReadUInt64BigEndian(storage.AsSpan((int)offset, 8));
        }
        return 0;
    }

    private int WalkPage(ulong table, ulong address, bool store, out ulong real)
    {
        real = 0;
        LeafShift = 12;
        int code = LoadEntry(table + (((address >> 12) & 0xFF) * 8), out ulong entry);
        if (code != 0)
        {
            return code;
        }
        if ((entry & 0x400) != 0)
        {
            return PageTranslation;
        }
        IsProtected |= (entry & 0x200) != 0;
        return (entry & 0x800) != 0 ? TranslationSpecification : Finish((entry & ~0xFFFUL) | (address & 0xFFF), store, out real);
    }

    private int Finish(ulong translated, bool store, out ulong real)
    {
        real = translated;
        return store && IsProtected ? Protection : translated >= storageSize ? Addressing : 0;
    }

    private static ulong IndexOf(ulong address, int level) => (address >> (20 + (11 * level))) & 0x7FF;

    private static int ExceptionOf(int level) => level == 0 ? SegmentTranslation : RegionFirst + (3 - level);

    private int LoadEntry(ulong at, out ulong value)
    {
        LastEntry = at;
        return Load(at, out value);
    }
}
