using System;
using System.Collections.Generic;
using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>A profiler finds our names: the library's build id and debug link lead to a file that has them.</summary>
[TestFixture]
public sealed class DebugFileHabits
{
    [Test]
    public void Library_and_debug_file_carry_one_build_id()
    {
        string? id = new ElfFile(Repository.Library).BuildId;
        Assert.That(id, Does.Match("^[0-9a-f]{40}$"));
        Assert.That(new ElfFile(Repository.DebugFile).BuildId, Is.EqualTo(id));
    }

    [Test]
    public void Debug_link_names_the_file_beside_the_library_and_its_checksum()
    {
        (string Name, uint Checksum)? link = new ElfFile(Repository.Library).DebugLink;
        Assert.That(link, Is.Not.Null);
        Assert.That(link!.Value.Name, Is.EqualTo(Path.GetFileName(Repository.DebugFile)));
        Assert.That(Path.GetDirectoryName(Repository.DebugFile), Is.EqualTo(Path.GetDirectoryName(Repository.Library)));
        Assert.That(link.Value.Checksum, Is.EqualTo(Crc32(File.ReadAllBytes(Repository.DebugFile))));
    }

    [Test]
    public void Debug_file_is_found_by_build_id_too()
    {
        string folder = Path.Combine(Repository.Artifacts, "lib");
        string[] libraries = [.. Directory.GetFiles(folder, "libgmapnative*.so.1"), Repository.LibraryV3];
        foreach (string library in libraries)
        {
            string id = new ElfFile(library).BuildId!;
            string entry = Path.Combine(folder, ".build-id", id[..2], id[2..] + ".debug");
            Assert.That(new FileInfo(entry).ResolveLinkTarget(true)?.FullName, Is.EqualTo(Path.ChangeExtension(library, ".dbg")));
        }
        string[] all = Directory.GetFiles(Path.Combine(folder, ".build-id"), "*", SearchOption.AllDirectories);
        int v4 = File.Exists(Path.Combine(folder, "x86-64-v4", "libgmapnative.so.1")) ? 1 : 0; // if somebody asked for it
        Assert.That((libraries.Length, all.Length - v4), Is.EqualTo((4, 4)), "all flavours, and nothing of an earlier build");
    }

    [TestCase("gmap_dirty_harvest")]
    [TestCase("gmap_fault")]
    [TestCase("GmapNative_GmapNative_Dirty_Harvester__Harvest")]
    [TestCase("GmapNative_GmapNative_Space_FaultResolver__ResolvePage")]
    [TestCase("GmapNative_GmapNative_Tables_Splitter__Split")]
    public void Debug_file_names_our_functions(string name) =>
        Assert.That(new ElfFile(Repository.DebugFile).Functions.GetValueOrDefault(name), Is.Positive);

    [Test]
    public void Shipped_library_itself_is_stripped() => Assert.That(new ElfFile(Repository.Library).Functions, Is.Empty);

    [Test]
    public void Checksum_is_the_known_one() => Assert.That(Crc32("123456789"u8), Is.EqualTo(0xCBF43926));

    /// <summary>CRC-32 of ISO 3309, as .gnu_debuglink has it.</summary>
    private static uint Crc32(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
            }
        }
        return ~crc;
    }
}
