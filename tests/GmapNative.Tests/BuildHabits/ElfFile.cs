using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace GmapNative.Tests.BuildHabits;

/// <summary>
/// What the dynamic linker sees of a 64-bit little-endian ELF library: its soname, its flags, the symbols it defines. Read from
/// the file itself, so that the check does not lean on the tools that built it.
/// </summary>
internal sealed class ElfFile
{
    private const uint SectionDynamic = 6;
    private const uint SectionDynamicSymbols = 11;
    private const long TagSoname = 14;
    private const long TagFlags1 = 0x6FFFFFFB;
    private const int SymbolSize = 24;

    private readonly byte[] _file;

    public ElfFile(string path)
    {
        _file = File.ReadAllBytes(path);
        if (_file.Length < 64 || BinaryPrimitives.ReadUInt32BigEndian(_file) != 0x7F454C46 || _file[4] != 2 || _file[5] != 1)
        {
            throw new InvalidDataException($"{path} is no 64-bit little-endian ELF file");
        }

        long headers = Int64(0x28);
        int size = Int16(0x3A);
        int count = Int16(0x3C);
        for (int i = 0; i < count; i++)
        {
            long header = headers + ((long)i * size);
            long strings = headers + (Int32(header + 40) * (long)size); // sh_link: the section of this section's names
            switch ((uint)Int32(header + 4))
            {
                case SectionDynamic:
                    ReadDynamic(Int64(header + 24), Int64(header + 32), Int64(strings + 24));
                    break;
                case SectionDynamicSymbols:
                    ReadSymbols(Int64(header + 24), Int64(header + 32), Int64(strings + 24));
                    break;
                default:
                    break;
            }
        }
    }

    public string? Soname { get; private set; }

    public long Flags1 { get; private set; }

    public List<string> DefinedSymbols { get; } = [];

    private void ReadDynamic(long offset, long length, long strings)
    {
        for (long entry = offset; entry < offset + length; entry += 16)
        {
            long value = Int64(entry + 8);
            switch (Int64(entry))
            {
                case TagSoname:
                    Soname = Name(strings + value);
                    break;
                case TagFlags1:
                    Flags1 = value;
                    break;
                default:
                    break;
            }
        }
    }

    private void ReadSymbols(long offset, long length, long strings)
    {
        for (long symbol = offset + SymbolSize; symbol < offset + length; symbol += SymbolSize) // the first one is empty
        {
            bool defined = Int16(symbol + 6) != 0;
            bool local = _file[symbol + 4] >> 4 == 0;
            if (defined && !local)
            {
                DefinedSymbols.Add(Name(strings + Int32(symbol)));
            }
        }
    }

    private string Name(long offset)
    {
        int start = checked((int)offset);
        return Encoding.ASCII.GetString(_file, start, Array.IndexOf(_file, (byte)0, start) - start);
    }

    private int Int16(long offset) => BinaryPrimitives.ReadUInt16LittleEndian(_file.AsSpan(checked((int)offset)));

    private int Int32(long offset) => BinaryPrimitives.ReadInt32LittleEndian(_file.AsSpan(checked((int)offset)));

    private long Int64(long offset) => BinaryPrimitives.ReadInt64LittleEndian(_file.AsSpan(checked((int)offset)));
}
