using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.IO.Compression;
using GmapNative.Tests.BuildHabits;

namespace GmapNative.Tests.Image;

/// <summary>An access that outside machines made, and what became of it: a code, or 0 and the real address.</summary>
internal sealed record TranslationRecord(string Line, ulong Asce, bool Edat1, bool Write, ulong Address, int Code, ulong Real);

/// <summary>One pair of files of tests/vectors: storage with tables in it, and accesses. What a line does not mean is an error.</summary>
internal sealed class TranslationVectors
{
    private const ulong ImageBase = 0x100000;
    private const int PageBytes = 4096;

    private readonly Dictionary<ulong, byte[]> _pages = [];
    private readonly List<TranslationRecord> _records = [];

    public TranslationVectors(string name)
    {
        string path = Path.Combine(Repository.Root, "tests", "vectors", name);
        if (File.Exists(path + ".bin.gz"))
        {
            Put(ImageBase, Unpack(path + ".bin.gz"));
        }
        else
        {
            PutRecords(Unpack(path + ".tables.gz"));
        }
        ReadCase(path + ".case");
    }

    /// <summary>Bytes of absolute storage, from 0; what no file gives is zero.</summary>
    public ulong Size { get; private set; }

    public IReadOnlyList<TranslationRecord> Records => _records;

    /// <summary>The image of a random-NNN, which begins at 1 MiB.</summary>
    public byte[] Image()
    {
        byte[] image = new byte[1 << 20];
        foreach ((ulong page, byte[] bytes) in _pages)
        {
            bytes.CopyTo(image, (int)((page * PageBytes) - ImageBase));
        }
        return image;
    }

    /// <summary>Calls for each page that a file gives, with its address.</summary>
    public void CopyTo(Action<ulong, byte[]> copy)
    {
        foreach ((ulong page, byte[] bytes) in _pages)
        {
            copy(page * PageBytes, bytes);
        }
    }

    /// <summary>False: outside of storage.</summary>
    public bool TryRead(ulong address, out ulong entry)
    {
        entry = _pages.TryGetValue(address / PageBytes, out byte[]? page)
            ? BinaryPrimitives.ReadUInt64BigEndian(page.AsSpan((int)(address % PageBytes), 8))
            : 0;
        return address < Size;
    }

    private void ReadCase(string path)
    {
        ulong asce = 0;
        bool edat = false;
        foreach (string line in File.ReadLines(path))
        {
            string[] words = line.Split(' ');
            switch (words[0])
            {
                case "#" or "needs":
                    break;
                case "image" when Number(words[2]) == ImageBase:
                    break;
                case "ram":
                    Size = Number(words[1]);
                    break;
                case "asce":
                    asce = Number(words[1]);
                    break;
                case "cr0":
                    edat = (Number(words[1]) & 0x800000) != 0;
                    break;
                case "R" or "W" when words is [_, _, "ok" or "pgm", _]:
                    bool isOk = words[2] == "ok";
                    ulong found = Number(words[3]);
                    _records.Add(new(line, asce, edat, words[0] == "W", Number(words[1]), isOk ? 0 : (int)found, isOk ? found : 0));
                    break;
                default:
                    throw new InvalidDataException($"{path}: {line}");
            }
        }
    }

    private void PutRecords(byte[] bytes)
    {
        for (ReadOnlySpan<byte> rest = bytes; !rest.IsEmpty;)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(rest[8..]);
            Put(BinaryPrimitives.ReadUInt64LittleEndian(rest), rest.Slice(16, length));
            rest = rest[(16 + length)..];
        }
    }

    private void Put(ulong address, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int within = (int)(address % PageBytes);
            int count = Math.Min(PageBytes - within, bytes.Length);
            if (!_pages.TryGetValue(address / PageBytes, out byte[]? page))
            {
                _pages.Add(address / PageBytes, page = new byte[PageBytes]);
            }
            bytes[..count].CopyTo(page.AsSpan(within));
            bytes = bytes[count..];
            address += (ulong)count;
        }
    }

    private static byte[] Unpack(string path)
    {
        using var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        packed.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static ulong Number(string text) => ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
