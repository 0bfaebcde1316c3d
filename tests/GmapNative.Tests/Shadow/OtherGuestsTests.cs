using System;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Diagnostics;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Scenarios;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// A hostile guest drives its shadows to their limits, beside another space of the same engine: that one never lacks memory, and its
/// answers are exact.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
public sealed class OtherGuestsTests(bool pgstes) : FormatFixture(pgstes)
{
    private const int MostShadows = 5;
    private const ulong Limit = 1 << 20;
    private const ulong Arena = 4 * Limit; // as if nothing had been said: a quarter

    [Test]
    public void Others_fault_split_and_harvest_beside_a_guest_at_its_limits()
    {
        using var guest = new NestedGuest(arena: Arena, mostShadows: MostShadows, shadowBytes: Limit);
        using var hostile = new Hostile(guest);
        using var innocent = new Innocent(guest.Root.Engine);
        bool ends = false;
        using (var other = new Background(() =>
        {
            while (!Volatile.Read(ref ends) || hostile.Steps < 600)
            {
                hostile.Step();
            }
        }))
        {
            for (int round = 0; round < 300; round++)
            {
                innocent.Round(round);
            }
            Volatile.Write(ref ends, true);
            other.Join();
        }
        TestContext.Out.WriteLine(hostile);
        Assert.That(innocent.Lacked, Is.Zero);
        Assert.That(hostile.Unexpected, Is.Empty);
        Assert.That(hostile.Refused, Is.Positive, "more shadows than it may have");
        Assert.That(hostile.Most, Is.InRange(Limit - (128 << 10), Limit), "all that they may take, and no more");
        innocent.UsesAShadowOfItsOwn();
        Assert.That(InvariantChecker.Check(guest.Root.Engine, guest.Root.Space, innocent.Space), Is.Null);
    }

    /// <summary>What the limit is there for: a guest that may take all takes all, and there is no room for another space.</summary>
    [Test]
    public void Others_lack_memory_where_nothing_limits_the_guest()
    {
        using var guest = new NestedGuest(arena: Arena, mostShadows: MostShadows, shadowBytes: ulong.MaxValue >> 1);
        using var hostile = new Hostile(guest);
        int lacked = 0;
        for (int step = 0; step < 3000 && lacked == 0; step++)
        {
            hostile.Step();
            int status = AddressSpace.TryCreate(
                guest.Root.Engine, new SpaceOptions { Limit = TwoGigabytes - 1 }, out AddressSpace? another);
            lacked += status == Status.NoMemory ? 1 : 0;
            Assert.That(another?.TryDestroy() ?? 0, Is.Zero);
        }
        Assert.That(lacked, Is.Positive);
        guest.Check();
    }

    /// <summary>All tables of a shadow count, those of regions too, and all of them go when it is emptied.</summary>
    [TestCase(EdatLevel.None)]
    [TestCase(EdatLevel.Two)]
    public void Region_tables_are_counted_and_make_room(object edat)
    {
        using var guest = new NestedGuest(arena: Arena, mostShadows: MostShadows, shadowBytes: Limit);
        using var hostile = new Hostile(guest);
        ShadowSpace shadow = guest.Open(Hostile.Asce, (EdatLevel)edat);
        for (ulong i = 1; i < 400; i++)
        {
            Assert.That(guest.Read(shadow, (i * 5) << 53 | i << 42 | i << 31), Is.Not.Negative, $"{i}: another region-first entry each");
            Assert.That(guest.Root.Space.Shadows!.Count().Bytes, Is.LessThanOrEqualTo(Limit));
        }
        guest.Check();
        Assert.That(shadow.Family.TryEmptyOldest(shadow, out bool own), Is.True);
        Assert.That((own, shadow.Tables.IsEmpty, shadow.Space.Tree.Count().Regions), Is.EqualTo((true, true, 1L)), "but for the top");
        Assert.That(shadow.Family.TryEmptyOldest(shadow, out _), Is.False);
        guest.Check();
    }

    /// <summary>What was mapped is taken away below, again and again: the tables that are left make room for others.</summary>
    [Test]
    public void Tables_of_which_nothing_is_mapped_any_more_make_room([Values] bool others)
    {
        using var guest = new NestedGuest(arena: Arena, mostShadows: MostShadows, shadowBytes: Limit);
        using var hostile = new Hostile(guest);
        ShadowSpace shadow = guest.Open(Hostile.Asce);
        for (ulong i = 1; i < 100; i++)
        {
            ulong address = i << 53;
            Assert.That(guest.Read(shadow, address), Is.Not.Negative, $"{i}");
            Assert.That(RangeCalls.Unmap(guest.Root.Space, 0, 16 * Segment, out _), Is.Zero);
            Assert.That(shadow.Tables.Entries, Is.Zero);
            if (others && i % 10 == 0)
            {
                ShadowSpace other = guest.Open(RealSpaceAsce);
                Assert.That(guest.Read(other, 0), Is.Zero);
                guest.Close(other);
            }
        }
        guest.Check();
    }

    /// <summary>
    /// Tables of which each entry leads to the same table below, and the last to a page of them: all of 2^64 is one page, and each address
    /// takes tables of ours. A sixth of what it does is to open and to close.
    /// </summary>
    private sealed class Hostile : IDisposable
    {
        public const ulong Asce = First | 0xC | 3;

        private const ulong First = 0x100000; // region-first; the others behind it, 16 KB each
        private const ulong Pages = 0x150000;

        private readonly NestedGuest _guest;
        private readonly Random _random = new(5);
        private readonly List<(ShadowSpace Shadow, View View)> _open = [];

        public Hostile(NestedGuest guest)
        {
            _guest = guest;
            for (ulong level = 0; level < 4; level++)
            {
                ulong below = level == 3 ? Pages : (First + ((level + 1) << 16)) | ((3 - level) << 2) | 3;
                for (ulong i = 0; i < 2048; i++)
                {
                    guest.Plant(First + (level << 16) + (i * 8), below);
                }
            }
            for (ulong i = 0; i < 256; i++)
            {
                guest.Plant(Pages + (i * 8), i % 2 == 0 ? Pages : First); // its own tables
            }
        }

        public int Steps { get; private set; }

        public int Refused { get; private set; }

        public int Lacked { get; private set; }

        public ulong Most { get; private set; }

        public HashSet<int> Unexpected { get; } = [];

        public void Step()
        {
            Steps++;
            if (_open.Count == 0 || _random.Next(6) == 0)
            {
                Open();
                return;
            }
            (ShadowSpace shadow, View view) = _open[_random.Next(_open.Count)];
            ulong address = shadow.Asce.IsRealSpace ? (ulong)_random.NextInt64((long)(18 * Segment))
                : (ulong)_random.NextInt64(long.MinValue, long.MaxValue);
            view.Owner = View.CurrentThread;
            view.EnterCall();
            int status = shadow.Space.Faults.Resolve(
                view, address, _random.Next(4) == 0 ? Access.Write : Access.Read, View.CurrentThread, out _);
            view.LeaveCall();
            view.Leave();
            Lacked += status == Status.NoMemory ? 1 : 0;
            Most = Math.Max(Most, _guest.Root.Space.Shadows!.Count().Bytes);
            if (status is < 0 and not (Status.NoMemory or Status.TryAgain))
            {
                _ = Unexpected.Add(status);
            }
        }

        public override string ToString() =>
            $"{Steps} steps, {Refused} shadows refused, {Lacked} faults without memory, {Most >> 10} KB";

        public void Dispose()
        {
            while (_open.Count != 0)
            {
                Close();
            }
        }

        /// <summary>Eight that it wants, by facility and by length of their tables; if it has them all, one goes.</summary>
        private void Open()
        {
            int which = _random.Next(8);
            ulong asce = which >= 6 ? RealSpaceAsce : First | 0xC | (ulong)(3 - (which / 3));
            int status = ShadowFamily.Open(_guest.Root.Space, asce, (uint)(which % 3), out ShadowSpace? shadow);
            if (status == Status.Ok)
            {
                _open.Add((shadow!, _guest.OpenView(shadow!)));
            }
            Refused += status == Status.Busy ? 1 : 0;
            if (status is not (Status.Ok or Status.Busy))
            {
                _ = Unexpected.Add(status);
            }
            if (_open.Count > 2 * MostShadows || (status == Status.Busy && _random.Next(3) == 0))
            {
                Close();
            }
        }

        private void Close()
        {
            int one = _random.Next(_open.Count);
            (ShadowSpace shadow, View view) = _open[one];
            _guest.CloseView(shadow, view);
            Assert.That(shadow.Family.Close(shadow), Is.Zero);
            _open.RemoveAt(one);
        }
    }

    /// <summary>A space with a slot of eight segments, which it faults in by leaves, splits, and harvests.</summary>
    private sealed unsafe class Innocent : IDisposable
    {
        private const ulong Segments = 8;

        private readonly GuestMemory _memory = new(Segments * Segment);
        private readonly Engine _engine;
        private readonly Random _random = new(9);

        public Innocent(Engine engine)
        {
            _engine = engine;
            var options = new SpaceOptions { Limit = TwoGigabytes - 1, Pgstes = WithPgstes };
            Assert.That(AddressSpace.TryCreate(engine, options, out AddressSpace? space), Is.Zero);
            Space = space!;
            Assert.That(space!.Changes.Set(
                new SlotRequest { Id = 1, Size = Segments * Segment, HostAddress = _memory.Start, LogDirty = true }), Is.Zero);
        }

        public AddressSpace Space { get; }

        public int Lacked { get; private set; }

        /// <summary>All of it anew: leaves, the splits of some, and a harvest of exactly what was written.</summary>
        public void Round(int round)
        {
            for (ulong segment = 0; segment < Segments; segment++)
            {
                Fault((segment * Segment) + (77 * Page), Access.Read, round);
            }
            SortedSet<int> written = [];
            for (int i = 0; i < 12; i++)
            {
                int page = _random.Next((int)(Segments * Segment / Page));
                if (Fault((ulong)page * Page, Access.Write, round))
                {
                    _ = written.Add(page);
                }
            }
            Assert.That(Harvest(), Is.EqualTo(written), $"round {round}");
            Assert.That(RangeCalls.Unmap(Space, 0, Segments * Segment, out _), Is.Zero);
        }

        public void UsesAShadowOfItsOwn()
        {
            Assert.That(ShadowFamily.Open(Space, RealSpaceAsce, 1, out ShadowSpace? shadow), Is.Zero);
            nint words = _engine.Control.TryAllocate();
            var view = new View(words, shadow!.Space.Words, ViewWords.InlineVersion, _engine.ClosedSpace) { Vcpu = (ulong)words };
            shadow.Space.Epochs.Register(view);
            view.EnterCall();
            int status = shadow.Space.Faults.Resolve(view, 3 * Segment, Access.Write, View.CurrentThread, out FaultOutcome outcome);
            view.LeaveCall();
            view.Leave();
            Assert.That((status, outcome.HostAddress), Is.EqualTo((0, _memory.Start + (3 * Segment))));
            Assert.That(Harvest(), Is.EqualTo(new[] { (int)(3 * Segment / Page) }));
            view.Close(_engine.ClosedSpace);
            shadow.Space.Epochs.Unregister(view);
            Assert.That(shadow.Family.Close(shadow), Is.Zero);
        }

        public void Dispose()
        {
            Assert.That(Space.TryDestroy(), Is.Zero);
            _memory.Dispose();
        }

        private bool Fault(ulong address, Access access, int round)
        {
            int section = LibrarySections.Enter();
            int status = Space.Faults.Resolve(address, access, View.CurrentThread, out FaultOutcome outcome);
            LibrarySections.Leave(section);
            Lacked += status == Status.NoMemory ? 1 : 0;
            if (status == Status.NoMemory)
            {
                return false;
            }
            Assert.That((status, outcome.HostAddress), Is.EqualTo((0, _memory.Start + address)), $"round {round}, {address:x}");
            return true;
        }

        private int[] Harvest()
        {
            ulong[] bitmap = new ulong[Segments * Segment / Page / 64];
            fixed (ulong* words = bitmap)
            {
                Assert.That(
                    Harvester.Harvest(Space, 1, 0, Segments * Segment / Page, HarvestFlags.None, words, (nuint)bitmap.Length, out _),
                    Is.Zero);
            }
            return PagesOf(bitmap);
        }
    }
}
