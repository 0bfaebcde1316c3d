using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// A slot that ends where 64-bit addresses do (of the last page no slot can be): the address behind its last segment does not exist.
/// </summary>
[TestFixture(true)]
[TestFixture(false)]
public sealed class LastAddressesTests(bool byGeneration)
{
    private const ulong Behind = ulong.MaxValue - Page + 1; // behind the last page that a slot can have
    private const ulong Host = 0x7000_0000_0000; // never dereferenced
    private const int Pages = 511;
    private const ulong Start = Behind - (Pages * Page);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = Start,
        Size = Pages * Page,
        HostAddress = Host,
        LogDirty = true,
    };

    /// <summary>The first and the last page of each 64, which are taken together.</summary>
    private static readonly int[] s_written = [0, 63, 64, 255, 256, 319, 320, 383, 384, 447, 448, 449, 510];

    [Test]
    public void Every_page_is_harvested_once()
    {
        using TestSpace test = Make();
        Write(test);
        Assert.That(test.Harvest(1, HarvestFlags.NoRearm), Is.EqualTo(s_written));
        Assert.That(test.Harvest(1), Is.EqualTo(s_written));
        Assert.That(test.Harvest(1), Is.Empty);
        Write(test);
        Assert.That(test.Harvest(1), Is.EqualTo(s_written));
        test.Check();
    }

    [Test]
    public void Every_page_is_cleared()
    {
        using TestSpace test = Make();
        Write(test);
        ulong[] bitmap = new ulong[(Pages + 63) / 64];
        Assert.That(test.Get(1, 0, Pages, bitmap, out ulong dirty), Is.Zero);
        Assert.That(dirty, Is.EqualTo((ulong)s_written.Length));
        Assert.That(test.Clear(1, 0, Pages, bitmap), Is.Zero);
        Assert.That(test.Harvest(1), Is.Empty);
        Write(test);
        Assert.That(test.Harvest(1), Is.EqualTo(s_written));
    }

    /// <summary>What was dirty before is no news, and each page is armed.</summary>
    [Test]
    public void Every_page_is_armed_when_logging_begins()
    {
        using TestSpace test = Make(logs: false);
        Write(test);
        test.Set(s_slot);
        Assert.That(test.Harvest(1), Is.Empty);
        Write(test);
        Assert.That(test.Harvest(1), Is.EqualTo(s_written));
    }

    [Test]
    public void Last_bits_come_with_the_end_of_the_slot()
    {
        using TestSpace test = Make();
        Write(test);
        Assert.That(test.SetWithFinal(s_slot with { LogDirty = false }), Is.EqualTo(s_written));
        test.Check();
        test.Set(s_slot with { InitiallyDirty = true });
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, Pages)));
        Write(test);
        Assert.That(test.SetWithFinal(new SlotRequest { Id = 1 }), Is.EqualTo(s_written));
    }

    /// <summary>
    /// A harvest that freezes stops where it has a chunk (256 segments), here just behind the last segment of all: it is at the end then,
    /// and not at address 0.
    /// </summary>
    [Test]
    public void A_chunk_may_end_with_the_last_segment()
    {
        const int Segments = 273;
        const ulong First = ulong.MaxValue - (Segments * Segment) + 1;
        using TestSpace test = Make();
        test.Set(new SlotRequest { Id = 1 });
        test.Set(s_slot with { GuestAddress = First, Size = Behind - First });
        test.Set(new SlotRequest { Id = 2, GuestAddress = 0, Size = Segment, HostAddress = Host, LogDirty = true });
        _ = test.Write(0);
        const int Gap = 16; // of the first 32: so the last batch has more than one segment, and fills the chunk
        Populate(test, First, Segment);
        Populate(test, First + ((1 + Gap) * Segment), Behind - First - ((1 + Gap) * Segment));
        Assert.That(
            test.Harvest(1), Is.EqualTo((int[])[.. Range(0, 256), .. Range((1 + Gap) * 256, ((Segments - 1 - Gap) * 256) - 1)]));
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 0 }));
        Assert.That(test.Harvest(1), Is.Empty);
        test.Check();
    }

    private static void Populate(TestSpace test, ulong address, ulong size) =>
        Assert.That(RangeCalls.Populate(test.Space, address, size, Access.Write, out _), Is.Zero);

    private static void Write(TestSpace test)
    {
        foreach (int page in s_written)
        {
            _ = test.Write(Start + ((ulong)page * Page));
        }
    }

    private TestSpace Make(bool logs = true)
    {
        var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue, ByGeneration = byGeneration });
        test.Set(s_slot with { LogDirty = logs });
        return test;
    }
}
