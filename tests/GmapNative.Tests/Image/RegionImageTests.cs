using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.RegionSpace;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Image;

/// <summary>Images with leaves of 2 GB, as a machine with EDAT-2 walks them.</summary>
[NonParallelizable]
internal sealed unsafe class RegionImageTests
{
    private const ulong RealBase = 0x10000;
    private const ulong RealStart = (1UL << 40) + Start; // agrees with the guest modulo 2 GB

    [Test]
    public void Machine_with_EDAT_2_finds_what_the_engine_says([Values] bool clear)
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Read(First);
        _ = test.Write(Second);
        _ = test.Read(Start);
        _ = test.Read(Third);
        Assert.That(RangeCalls.Age(test.Space, Third, Page, out _), Is.Zero);
        Assert.That(Export(test, RealStart, clear, out byte[] image, out Asce asce), Is.Zero);
        var walker = new ArchitectedWalker(image, RealBase, ulong.MaxValue, edat1: true, edat2: true);
        ulong[] addresses = [Start + 5, First, First + 0x12345678, Second + TwoGigabytes - 1, Second, Third, Third + Segment];
        foreach (ulong address in addresses)
        {
            foreach (bool write in (bool[])[false, true])
            {
                int expected = test.Translate(address, write ? Access.Write : Access.Read, out _);
                int code = walker.Walk(asce.Value, address, write, out ulong real);
                Assert.That(code, Is.EqualTo(expected), $"{address:x} {write}");
                Assert.That(real, code == 0 ? Is.EqualTo(RealStart - Start + address) : Is.Not.Null);
            }
        }
        ulong entry = BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan(2 * sizeof(ulong)));
        ulong software = clear ? 0 : 0x7803UL; // writable, readable, dirty, young, soft-dirty, present
        Assert.That(entry, Is.EqualTo(((RealStart - Start + Second) & RegionEntry.FrameMask) | 0x404 | software));
    }

    /// <summary>Leaves of 2 GB: clean, written, restricted, hidden, aged, split and half gone. No packaged machine has EDAT-2.</summary>
    [Test]
    public void Thousands_of_accesses_end_as_the_engine_says([Values] SplitPolicy policy, [Values] bool clear)
    {
        using TestSpace test = RegionSpace.Make(policy);
        int throughLeaves = Judge(test, clear, 1);
        Assert.That(throughLeaves, Is.Zero, "nothing is mapped");
        _ = test.Read(First);
        _ = test.Read(Second);
        _ = test.Read(Third);
        _ = test.Read(Start);
        throughLeaves = Judge(test, clear, 2);
        Assert.That(test.Protect(Second, TwoGigabytes, Protection.Read), Is.Zero);
        Assert.That(test.Protect(Third, TwoGigabytes, Protection.None), Is.Zero);
        throughLeaves += Judge(test, clear, 3);
        _ = test.Write(First + (700 * Segment) + (9 * Page)); // lazy and eager: splits it, twice
        throughLeaves += Judge(test, clear, 4);
        Assert.That(test.Protect(Third, TwoGigabytes, Protection.Read | Protection.Write), Is.Zero);
        _ = test.Write(Third);
        _ = test.Count();
        _ = test.Write(First + (30 * Segment));
        throughLeaves += Judge(test, clear, 5);
        Assert.That(RangeCalls.Age(test.Space, Second, TwoGigabytes, out _), Is.Zero);
        Assert.That(RangeCalls.Unmap(test.Space, Third + (100 * Segment), Segment + Page, out _), Is.Zero);
        throughLeaves += Judge(test, clear, 6);
        Assert.That(throughLeaves, Is.GreaterThan(4000), "accesses through leaves of 2 GB");
    }

    /// <summary>The image against the engine, at every end of a leaf and at random; returns how many went through leaves of 2 GB.</summary>
    private static int Judge(TestSpace test, bool clear, int seed)
    {
        Assert.That(Export(test, RealStart, clear, out byte[] image, out Asce asce), Is.Zero);
        var walker = new ArchitectedWalker(image, RealBase, ulong.MaxValue, edat1: true, edat2: true);
        int throughLeaves = 0;
        foreach (ulong address in Addresses(new Random(seed)))
        {
            bool reads = test.Translate(address, Access.Read, out FaultOutcome read) == 0;
            foreach (bool write in (bool[])[false, true])
            {
                int expected = test.Translate(address, write ? Access.Write : Access.Read, out FaultOutcome outcome);
                int code = walker.Walk(asce.Value, address, write, out ulong real);
                // To a machine, a hole and what may not be read are translation exceptions; what may not be written may be away, too.
                bool away = expected == Status.Addressing || (outcome.Reason == FaultReason.Protected && !reads);
                bool agrees = away ? code is 0x10 or 0x11 or (>= 0x39 and <= 0x3B) : code == expected;
                Assert.That(agrees, $"{address:x} {write}: {code:x} for {expected:x}");
                Assert.That(real, code == 0 ? Is.EqualTo(RealStart + (outcome.HostAddress - RegionSpace.HostOf(Start))) : Is.Not.Null);
                throughLeaves += reads && read.LeafSize == TwoGigabytes ? 1 : 0;
            }
        }
        return throughLeaves;
    }

    private static IEnumerable<ulong> Addresses(Random random)
    {
        foreach (ulong edge in (ulong[])[Start, First, Second, Third, Start + Size, 8 * TwoGigabytes, 1UL << 42, Third + (100 * Segment)])
        {
            yield return edge - 1;
            yield return edge;
            yield return edge + Segment - 1;
            yield return edge + Segment + Page;
        }
        for (int i = 0; i < 1500; i++)
        {
            yield return Start + (ulong)random.NextInt64((long)Size);
            yield return First + (700 * Segment) + (ulong)random.NextInt64((long)(2 * Segment));
        }
    }

    /// <summary>One bit of the image that is another, on the way to a leaf of 2 GB, is found.</summary>
    [TestCase(0x20UL)]
    [TestCase(0x200UL)]
    [TestCase(0x400UL)]
    [TestCase(0x8000_0000UL)]
    public void Bit_that_is_flipped_is_found(ulong bit)
    {
        using TestSpace test = RegionSpace.Make();
        _ = test.Read(First);
        Assert.That(Export(test, RealStart, true, out byte[] image, out Asce asce), Is.Zero);
        Span<byte> entry = image.AsSpan(sizeof(ulong), sizeof(ulong));
        BinaryPrimitives.WriteUInt64BigEndian(entry, BinaryPrimitives.ReadUInt64BigEndian(entry) ^ bit);
        var walker = new ArchitectedWalker(image, RealBase, ulong.MaxValue, edat1: true, edat2: true);
        int read = walker.Walk(asce.Value, First + Page, false, out ulong real);
        int write = walker.Walk(asce.Value, First + Page, true, out _);
        Assert.That((read, write, real), Is.Not.EqualTo((0, Status.Protection, RealStart - Start + First + Page)));
        Assert.That(test.Translate(First + Page, Access.Read, out _), Is.Zero);
        Assert.That(test.Translate(First + Page, Access.Write, out _), Is.EqualTo(Status.Protection));
    }

    [Test]
    public void Leaf_that_is_moved_off_its_alignment_is_refused()
    {
        using TestSpace test = RegionSpace.Make();
        _ = test.Read(First);
        Assert.That(Export(test, RealStart + Segment, false, out _, out _), Is.EqualTo(Status.Invalid));
        Assert.That(Export(test, null, false, out _, out _), Is.Zero, "frames as they are");
    }

    private static int Export(TestSpace test, ulong? real, bool clear, out byte[] image, out Asce asce)
    {
        Dictionary<uint, ulong>? bases = real is { } start ? new() { [1] = start } : null;
        image = new byte[1 << 20];
        fixed (byte* buffer = image)
        {
            return ImageExport.Export(test.Space, RealBase, clear, bases, buffer, (ulong)image.Length, out asce, out _);
        }
    }
}
