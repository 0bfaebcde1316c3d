using System;
using System.IO;
using System.Runtime.InteropServices;
using GmapNative.Shadow;
using GmapNative.Tests.Abi;
using GmapNative.Tests.Shadow;
using NUnit.Framework;

namespace GmapNative.Tests.Perf;

/// <summary>
/// What shadows are measured against (perf/peers/nested.c) does all the work that a walk has to do, and right: a peer that skips a check
/// would be a cheap one.
/// </summary>
[TestFixture]
internal sealed unsafe class NestedPeerTests
{
    private const int Pages = 10_000;
    private const ulong MemoryBytes = 64UL << 20;
    private const ulong Tables = 0x10_0000;
    private const ulong InnerMemory = 0x80_0000;

    private string _file = "";
    private nint _library;
    private delegate* unmanaged<Nested*, ulong, int, ulong*, int> _walk;
    private delegate* unmanaged<byte*, ulong, ulong, ulong, ulong> _build;
    private delegate* unmanaged<ulong, ulong> _bytes;
    private delegate* unmanaged<Kept*, Nested*, ulong, int, int> _fault;
    private delegate* unmanaged<Kept*, void> _drop;

    [StructLayout(LayoutKind.Sequential)]
    private struct Nested
    {
        public byte* Storage;
        public ulong Size;
        public ulong Asce;
        public uint Edat;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Kept
    {
        public ulong* Top;
        public ulong* Pool;
        public ulong Used;
    }

    [OneTimeSetUp]
    public void Compile()
    {
        _file = Path.Combine(Path.GetTempPath(), $"gmap-nested-{Environment.ProcessId}.so");
        NativeHost.CompileWith(NativeHost.Gcc(cpp: false),
        [
            "-std=c11", "-O3", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-shared", "-fPIC",
            Path.Combine(Repository.Root, "perf", "peers", "nested.c"), "-o", _file,
        ]);
        _library = NativeLibrary.Load(_file);
        _walk = (delegate* unmanaged<Nested*, ulong, int, ulong*, int>)NativeLibrary.GetExport(_library, "peer_nested_walk");
        _build = (delegate* unmanaged<byte*, ulong, ulong, ulong, ulong>)NativeLibrary.GetExport(_library, "peer_nested_build");
        _bytes = (delegate* unmanaged<ulong, ulong>)NativeLibrary.GetExport(_library, "peer_nested_bytes");
        _fault = (delegate* unmanaged<Kept*, Nested*, ulong, int, int>)NativeLibrary.GetExport(_library, "peer_shadow_fault");
        _drop = (delegate* unmanaged<Kept*, void>)NativeLibrary.GetExport(_library, "peer_shadow_drop");
    }

    [OneTimeTearDown]
    public void Unload()
    {
        NativeLibrary.Free(_library);
        File.Delete(_file);
    }

    [Test]
    public void The_peer_checks_what_the_walk_checks()
    {
        for (int seed = 1000; seed < 1040; seed++)
        {
            var tables = new RandomTables(seed);
            var storage = new ByteStorage(tables.Bytes, tables.Size);
            fixed (byte* bytes = tables.Bytes)
            {
                for (int i = 0; i < 3000; i++)
                {
                    bool write = i % 2 == 0;
                    var guest = new Nested { Storage = bytes, Size = tables.Size, Asce = tables.Asce(), Edat = (uint)i % 3 };
                    ulong address = tables.Address(guest.Asce);
                    ulong real;
                    int code = _walk(&guest, address, write ? 1 : 0, &real);
                    GuestWalker.Walk(guest.Asce, (EdatLevel)guest.Edat, address, write, ref storage, out GuestWalk walk);
                    bool same = code == walk.Code && (walk.LeafShift == 0 || real == walk.Real);
                    Assert.That(same, $"seed {seed} walk {i}: code {walk.Code:x} real {walk.Real:x}, the peer {code:x} {real:x}");
                }
            }
        }
    }

    [Test]
    public void The_tables_that_are_measured_map_every_page_in_order_and_the_peer_keeps_them()
    {
        byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)MemoryBytes, 1 << 20);
        ulong* pool = (ulong*)NativeMemory.AlignedAlloc(4 << 20, 1 << 14);
        try
        {
            ulong asce = _build(memory, Tables, InnerMemory, Pages);
            Assert.That(Tables + _bytes(Pages), Is.LessThan(InnerMemory));
            var storage = new ByteStorage(new Span<byte>(memory, (int)InnerMemory).ToArray(), InnerMemory);
            var guest = new Nested { Storage = memory, Size = MemoryBytes, Asce = asce, Edat = 1 };
            var kept = new Kept { Pool = pool };
            _drop(&kept);
            for (ulong page = 0; page < Pages; page++)
            {
                ulong address = (page << 12) + 8;
                GuestWalker.Walk(asce, EdatLevel.One, address, write: true, ref storage, out GuestWalk walk);
                Assert.That((walk.Code, walk.Real, walk.StepCount), Is.EqualTo((0, InnerMemory + address, 3)));
                Assert.That(_fault(&kept, &guest, address, 1), Is.Zero);
                Assert.That(Found(kept.Top, address), Is.EqualTo((ulong)memory + InnerMemory + (page << 12)));
            }
            Assert.That(_fault(&kept, &guest, Pages << 12, 0), Is.EqualTo(0x11), "the next page is not mapped");
            Assert.That(kept.Used * 8, Is.EqualTo(_bytes(Pages)), "as many tables as the guest has");
            _drop(&kept);
            Assert.That(kept.Top[0] & 0x20, Is.Not.Zero);
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
            NativeMemory.AlignedFree(pool);
        }
    }

    /// <summary>The peer's tables as peer_walk reads them: host addresses in this machine's order, all valid until the next drop.</summary>
    private static ulong Found(ulong* top, ulong address)
    {
        ulong* segments = (ulong*)(top[address >> 31] & ~0xFFFUL);
        ulong* pages = (ulong*)(segments[(address >> 20) & 0x7FF] & ~0x7FFUL);
        return pages[(address >> 12) & 0xFF] & ~0xFFFUL;
    }
}
