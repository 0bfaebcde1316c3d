using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace GmapNative.Tests.BuildHabits;

/// <summary>
/// What the dynamic linker sees of a 64-bit little-endian ELF library: its soname, its flags, the symbols it defines; and what a
/// profiler looks for: its build id, the name and checksum of its debug file, the functions. Read from the file itself, so that
/// the check does not lean on the tools that built it.
/// </summary>
internal sealed class ElfFile
{
    private const uint SectionSymbols = 2;
    private const uint SectionDynamic = 6;
    private const uint SectionNote = 7;
    private const uint SectionDynamicSymbols = 11;
    private const long TagSoname = 14;
    private const long TagFlags1 = 0x6FFFFFFB;
    private const int SymbolSize = 24;
    private const int SymbolFunction = 2;
    private const int NoteBuildId = 3;

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
        long names = Int64(headers + (Int16(0x3E) * (long)size) + 24); // e_shstrndx: the section of the sections' names
        for (int i = 0; i < count; i++)
        {
            long header = headers + ((long)i * size);
            long strings = headers + (Int32(header + 40) * (long)size); // sh_link: the section of this section's names
            if (Name(names + Int32(header)) == ".gnu_debuglink")
            {
                ReadDebugLink(Int64(header + 24), Int64(header + 32));
            }
            switch ((uint)Int32(header + 4))
            {
                case SectionSymbols:
                    ReadFunctions(Int64(header + 24), Int64(header + 32), Int64(strings + 24));
                    break;
                case SectionNote:
                    ReadNotes(Int64(header + 24), Int64(header + 32));
                    break;
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

    /// <summary>In hexadecimal digits; null if there is none.</summary>
    public string? BuildId { get; private set; }

    /// <summary>The debug file's name without a folder and its CRC-32; null if the file names none.</summary>
    public (string Name, uint Checksum)? DebugLink { get; private set; }

    /// <summary>Functions of the full symbol table, local ones too: name, size in bytes.</summary>
    public Dictionary<string, long> Functions { get; } = [];

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

    private void ReadFunctions(long offset, long length, long strings)
    {
        for (long symbol = offset + SymbolSize; symbol < offset + length; symbol += SymbolSize)
        {
            if (Int16(symbol + 6) != 0 && (_file[symbol + 4] & 0xF) == SymbolFunction)
            {
                Functions[Name(strings + Int32(symbol))] = Int64(symbol + 16);
            }
        }
    }

    private void ReadNotes(long offset, long length)
    {
        for (long note = offset; note + 12 <= offset + length;)
        {
            long name = note + 12;
            long content = name + Aligned(Int32(note));
            int size = Int32(note + 4);
            if (Int32(note + 8) == NoteBuildId && Int32(note) == 4 && Name(name) == "GNU")
            {
                BuildId = Convert.ToHexStringLower(_file.AsSpan(checked((int)content), size));
            }
            note = content + Aligned(size);
        }
    }

    private void ReadDebugLink(long offset, long length) =>
        DebugLink = (Name(offset), (uint)Int32(offset + length - sizeof(uint)));

    private static long Aligned(int size) => (size + 3L) & ~3L;

    private string Name(long offset)
    {
        int start = checked((int)offset);
        return Encoding.ASCII.GetString(_file, start, Array.IndexOf(_file, (byte)0, start) - start);
    }

    private int Int16(long offset) => BinaryPrimitives.ReadUInt16LittleEndian(_file.AsSpan(checked((int)offset)));

    private int Int32(long offset) => BinaryPrimitives.ReadInt32LittleEndian(_file.AsSpan(checked((int)offset)));

    private long Int64(long offset) => BinaryPrimitives.ReadInt64LittleEndian(_file.AsSpan(checked((int)offset)));
}
