using System;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Image;

/// <summary>
/// The images that the engine writes, walked by a machine's rules: what it finds is what <see cref="Translator"/> says.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class ImageExportTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Mega = 1 << 20;
    private const ulong Host = 0x7000_0000_0000;
    private const ulong RealBase = 0x40_0000;
    private const ulong RealFrames = 0x1_0000_0000;

    private Engine _engine = null!;
    private AddressSpace _space = null!;

    [TearDown]
    public void End()
    {
        Assert.That(_space.TryDestroy(), Is.Zero);
        _engine.Dispose();
    }

    [TestCase(2 * 1024UL, false)]
    [TestCase(64 * 1024UL, false)]
    [TestCase(64 * 1024UL, true)]
    [TestCase((1UL << 22) + 1024, false)] // region-second
    [TestCase((1UL << 33) + 1024, false)] // region-first
    public void A_machine_that_walks_the_image_finds_what_the_engine_says(ulong megabytes, bool neverSplit)
    {
        Begin((megabytes * Mega) - 1, neverSplit ? SplitPolicy.Never : SplitPolicy.Lazy);
        Random random = new(7);
        Set(1, 0, 40 * Mega, Host, log: true);
        Set(2, (41 * Mega) + 0x3000, 3 * Mega, Host + (100 * Mega), log: false); // ragged: pages
        Set(3, (megabytes - 8) * Mega, 8 * Mega, Host + (200 * Mega), log: true, readOnly: true);
        for (int i = 0; i < 60; i++)
        {
            Touch((ulong)random.NextInt64(44) * Mega + ((ulong)random.Next(256) << 12), random.Next(3) == 0);
            Touch((megabytes - 8) * Mega + ((ulong)random.Next(2048) << 12), write: false);
        }
        Judge(random, clear: false);
        Judge(random, clear: true);
        Assert.That(RangeCalls.Unmap(_space, 3 * Mega, (2 * Mega) + 0x5000, out _), Is.Zero);
        Judge(random, clear: true);
    }

    [Test]
    public void A_buffer_that_is_too_small_is_told_its_size_and_left_alone()
    {
        Begin((64UL << 30) - 1, SplitPolicy.Lazy);
        Set(1, 0, 4 * Mega, Host, log: true);
        Touch(0, write: true);
        byte[] small = new byte[100];
        Array.Fill(small, (byte)0x5A);
        fixed (byte* buffer = small)
        {
            int status = ImageExport.Export(_space, RealBase, false, null, buffer, (ulong)small.Length, out _, out ulong size);
            Assert.That(status, Is.EqualTo(Status.NoBuffer));
            Assert.That(size, Is.EqualTo((16 << 10) + (16 << 10) + _space.Tree.PageTables.Bytes), "a region, a segment and a page table");
            Assert.That(small, Is.All.EqualTo(0x5A));
        }
    }

    [Test]
    public void Frames_of_a_slot_that_is_not_in_the_map_or_that_leave_their_alignment_are_refused()
    {
        Begin((2UL << 30) - 1, SplitPolicy.Lazy);
        Set(1, 0, 4 * Mega, Host, log: true);
        Touch(0, write: false);
        Assert.That(Export(new() { [2] = RealFrames }, false, out _, out _), Is.EqualTo(Status.NoEntry));
        Assert.That(Export(new() { [1] = RealFrames + 0x1000 }, false, out _, out _), Is.EqualTo(Status.Invalid));
        Assert.That(ImageExport.Export(_space, RealBase + 0x1000, false, null, null, 0, out _, out _), Is.EqualTo(Status.Invalid));
    }

    [Test]
    public void Without_software_bits_only_the_machines_are_left()
    {
        Begin((2UL << 30) - 1, SplitPolicy.Lazy);
        Set(1, 0, 4 * Mega, Host, log: true);
        Touch(0, write: true);
        Touch(2 * Mega, write: false);
        Assert.That(Export(new() { [1] = RealFrames }, true, out byte[] image, out Asce asce), Is.Zero);
        Assert.That(asce.Value, Is.EqualTo(RealBase | 0x1C3));
        Assert.That(Word(image, 0), Is.EqualTo(RealBase + 0x4000), "a page table behind the segment table");
        Assert.That(Word(image, 2 * 8), Is.EqualTo((RealFrames + (2 * Mega)) | 0x600), "a leaf: FC and P");
        Assert.That(Word(image, 3 * 8), Is.EqualTo(0x20), "empty");
        Assert.That(Word(image, 4 * 8), Is.EqualTo(0x20), "a hole, without its token");
        Assert.That(Word(image, 0x4000), Is.EqualTo(RealFrames), "written: not protected");
        Assert.That(Word(image, 0x4008), Is.EqualTo((RealFrames + 0x1000) | 0x200), "clean: protected");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Behind_each_page_entry_stands_its_PGSTE(bool clear)
    {
        Begin((2UL << 30) - 1, SplitPolicy.Lazy, withPgstes: true);
        Set(1, 0, 4 * Mega, Host, log: true);
        const ulong All = ~Pgste.Lock;
        Assert.That(Pgstes.Update(_space, Mega + 0x2000, All, All, out _), Is.Zero);
        Touch(Mega, write: true);
        Assert.That(Export(new() { [1] = RealFrames }, clear, out byte[] image, out _), Is.Zero);
        Assert.That(Word(image, 8), Is.EqualTo(RealBase + 0x4000), "the only page table");
        Assert.That(Word(image, 0x4000) & PageEntry.FrameMask, Is.EqualTo(RealFrames + Mega));
        ulong expected = clear ? 0xF866_0000_C300_0000 : All; // machines know ACC, F, HR, HC, GR, GC, zero, no-DAT, usage
        Assert.That(Word(image, 0x4800 + (2 * 8)), Is.EqualTo(expected));
        Assert.That((Word(image, 0x4800 + 8), Word(image, 0x4800 + (3 * 8))), Is.EqualTo((0UL, 0UL)));
    }

    private void Judge(Random random, bool clear)
    {
        var bases = new Dictionary<uint, ulong>
        {
            [1] = RealFrames,
            [2] = RealFrames + (100 * Mega) + 0x3000,
            [3] = RealFrames + (200 * Mega),
        };
        Assert.That(Export(bases, clear, out byte[] image, out Asce asce), Is.Zero);
        var walker = new ArchitectedWalker(image, RealBase, ulong.MaxValue, edat1: true, edat2: false);
        for (int i = 0; i < 4000; i++)
        {
            ulong address = Pick(random);
            bool write = random.Next(2) == 0;
            int expected = Translate(address, write, out FaultOutcome outcome);
            int code = walker.Walk(asce.Value, address, write, out ulong real);
            // A hole is a plain translation exception to a machine: its code is the program's token.
            bool missing = outcome.Reason is FaultReason.NoSlot or FaultReason.BeyondLimit or FaultReason.NotMapped;
            bool agrees = missing ? code is 0x10 or 0x11 or (>= 0x38 and <= 0x3B) : code == expected;
            Assert.That(agrees, $"{address:x} {write}: {code:x} for {expected:x}");
            if (code == 0)
            {
                Slot slot = _space.Map.Find(address)!;
                Assert.That(real, Is.EqualTo(bases[slot.Id] + (address - slot.GuestAddress)), $"{address:x}");
            }
        }
    }

    private ulong Pick(Random random)
    {
        ulong edge = random.Next(4) switch
        {
            0 => (ulong)random.NextInt64(46) * Mega,
            1 => _space.Limit + 1 - (8 * Mega),
            2 => (41 * Mega) + 0x3000,
            _ => (ulong)random.NextInt64((long)_space.Limit),
        };
        return (edge + ((ulong)random.Next(-3, 600) << 12) + (ulong)random.Next(4096)) & ((_space.Limit << 4) | 0xFFF);
    }

    private void Begin(ulong limit, SplitPolicy policy, bool withPgstes = false)
    {
        Assert.That(Engine.TryCreate(new EngineOptions { ArenaBytes = 8 << 20 }, out Engine? engine), Is.Zero);
        var options = new SpaceOptions { Limit = limit, Policy = policy, Pgstes = withPgstes || TestSpace.WithPgstes };
        Assert.That(AddressSpace.TryCreate(engine!, options, out AddressSpace? space), Is.Zero);
        (_engine, _space) = (engine!, space!);
    }

    private void Set(uint id, ulong guest, ulong size, ulong host, bool log, bool readOnly = false)
    {
        Assert.That(_space.Changes.Set(new SlotRequest
        {
            Id = id,
            GuestAddress = guest,
            Size = size,
            HostAddress = host,
            LogDirty = log,
            ReadOnly = readOnly,
        }), Is.Zero);
    }

    private void Touch(ulong address, bool write)
    {
        int section = LibrarySections.Enter();
        int status = _space.Faults.Resolve(address, write ? Access.Write : Access.Read, out _);
        LibrarySections.Leave(section);
        Assert.That(status, Is.Zero.Or.EqualTo(Status.Addressing));
    }

    private int Translate(ulong address, bool write, out FaultOutcome outcome) =>
        Translator.Translate(_space, address, write ? Access.Write : Access.Read, out outcome);

    private int Export(Dictionary<uint, ulong> bases, bool clear, out byte[] image, out Asce asce)
    {
        image = new byte[1 << 20];
        fixed (byte* buffer = image)
        {
            return ImageExport.Export(_space, RealBase, clear, bases, buffer, (ulong)image.Length, out asce, out _);
        }
    }

    private static ulong Word(byte[] image, int offset) => System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan(offset));
}
