using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// The real gmap_inline.h, compiled with its yield points into a shared object (tests/native/inline_shim.c), or a twin of it with a
/// deliberate bug. Its gmap_fault is the export's own method, on the test process's engine.
/// </summary>
internal sealed unsafe class InlineShim
{
    public const int Stored = 100;
    public const int Astray = -1000;

    private static readonly Dictionary<HeaderTwin, InlineShim> s_loaded = [];
    private static Action<int>? s_yield;

    // Functions of a library that is never unloaded.
    private readonly delegate* unmanaged<nint, nint, int, void> _set;
    private readonly delegate* unmanaged<int, void> _thread;
    private readonly delegate* unmanaged<void> _barrier;
    private readonly delegate* unmanaged<nint, void> _enter;
    private readonly delegate* unmanaged<nint, void> _leave;
    private readonly delegate* unmanaged<nint, int> _again;
    private readonly delegate* unmanaged<nint, ulong, ulong, nint*, int> _loadPointer;
    private readonly delegate* unmanaged<nint, ulong, ulong, nint*, int> _storePointer;
    private readonly delegate* unmanaged<nint, ulong, ulong, nint*, int> _loadResolve;
    private readonly delegate* unmanaged<nint, ulong, ulong, nint, int> _write;
    private readonly delegate* unmanaged<nint, ulong, ulong, nint, int> _writeAcross;
    private readonly delegate* unmanaged<nint, nint, ulong, ulong, nint, int> _cachedWrite;
    private readonly delegate* unmanaged<nint, nint, ulong, ulong, nint, int> _againWrite;

    private InlineShim(nint library)
    {
        nint Find(string name) => NativeLibrary.GetExport(library, name);
        _set = (delegate* unmanaged<nint, nint, int, void>)Find("shim_set");
        _thread = (delegate* unmanaged<int, void>)Find("shim_thread");
        _barrier = (delegate* unmanaged<void>)Find("shim_barrier");
        _enter = (delegate* unmanaged<nint, void>)Find("shim_enter");
        _leave = (delegate* unmanaged<nint, void>)Find("shim_leave");
        _again = (delegate* unmanaged<nint, int>)Find("shim_again");
        _loadPointer = (delegate* unmanaged<nint, ulong, ulong, nint*, int>)Find("shim_load_ptr");
        _storePointer = (delegate* unmanaged<nint, ulong, ulong, nint*, int>)Find("shim_store_ptr");
        _loadResolve = (delegate* unmanaged<nint, ulong, ulong, nint*, int>)Find("shim_load_resolve");
        _write = (delegate* unmanaged<nint, ulong, ulong, nint, int>)Find("shim_write");
        _writeAcross = (delegate* unmanaged<nint, ulong, ulong, nint, int>)Find("shim_write_across");
        _cachedWrite = (delegate* unmanaged<nint, nint, ulong, ulong, nint, int>)Find("shim_cached_write");
        _againWrite = (delegate* unmanaged<nint, nint, ulong, ulong, nint, int>)Find("shim_again_write");
    }

    /// <summary>Compiled and loaded once in a process.</summary>
    public static InlineShim Of(HeaderTwin twin)
    {
        if (!s_loaded.TryGetValue(twin, out InlineShim? shim))
        {
            shim = new InlineShim(NativeLibrary.Load(Compile(twin)));
            s_loaded.Add(twin, shim);
        }
        return shim;
    }

    /// <summary>Before the threads of one schedule run; <paramref name="yield"/> is called at each place of the header.</summary>
    public void Begin(Action<int> yield, bool buffersStores)
    {
        s_yield = yield;
        delegate* unmanaged<int, void> place = &Yield;
        delegate* unmanaged<ulong, ulong, uint, FaultResult*, int> fault = &Faults.Fault;
        _set((nint)place, (nint)fault, buffersStores ? 1 : 0);
    }

    /// <summary>The calling thread's number, 0 to 7.</summary>
    public void BeThread(int self) => _thread(self);

    /// <summary>What the process-wide barrier does to the threads' store buffers.</summary>
    public void Barrier() => _barrier();

    public void Enter(View view) => _enter(view.Address);

    public void Leave(View view) => _leave(view.Address);

    /// <summary>Whether a new section has begun.</summary>
    public bool Again(View view) => _again(view.Address) != 0;

    public int LoadPointer(View view, ulong address, ulong size, out nint host)
    {
        nint found = 0;
        int status = _loadPointer(view.Address, address, size, &found);
        host = found;
        return status;
    }

    public int StorePointer(View view, ulong address, ulong size, out nint host)
    {
        nint found = 0;
        int status = _storePointer(view.Address, address, size, &found);
        host = found;
        return status;
    }

    public int LoadResolve(View view, ulong address, ulong size, out nint host)
    {
        nint found = 0;
        int status = _loadResolve(view.Address, address, size, &found);
        host = found;
        return status;
    }

    /// <summary>A store of one word in a section; <see cref="Astray"/> if the tables lead elsewhere than to the expected place.</summary>
    public int Write(View view, ulong address, ulong value, nint expected) => _write(view.Address, address, value, expected);

    /// <summary>As <see cref="Write"/>, together with the word before it, which is on another page.</summary>
    public int WriteAcross(View view, ulong address, ulong value, nint expected) => _writeAcross(view.Address, address, value, expected);

    /// <summary>As <see cref="Write"/>, through a cache of one entry (32 bytes that begin as zeroes).</summary>
    public int CachedWrite(View view, nint cache, ulong address, ulong value, nint expected) =>
        _cachedWrite(view.Address, cache, address, value, expected);

    /// <summary>As <see cref="CachedWrite"/>, and the poll before it.</summary>
    public int AgainWrite(View view, nint cache, ulong address, ulong value, nint expected) =>
        _againWrite(view.Address, cache, address, value, expected);

    [UnmanagedCallersOnly]
    private static void Yield(int place) => s_yield?.Invoke(place);

    private static string Compile(HeaderTwin twin)
    {
        (string header, string shim) = twin.Alter(
            File.ReadAllText(Path.Combine(Repository.Include, "gmap_inline.h")),
            File.ReadAllText(Path.Combine(Repository.NativeTests, "inline_shim.c")));
        byte[] all = Encoding.UTF8.GetBytes(header + shim + File.ReadAllText(Path.Combine(Repository.Include, "gmap.h")));
        string folder = Path.Combine(Repository.Artifacts, "bin", "tests", "shim-" + Convert.ToHexStringLower(SHA256.HashData(all))[..16]);
        string library = Path.Combine(folder, "inline_shim.so");
        if (!File.Exists(library))
        {
            Directory.CreateDirectory(folder);
            string made = $"{library}.{Environment.ProcessId}";
            string source = Path.Combine(folder, "inline_shim.c");
            File.WriteAllText(Path.Combine(folder, "gmap_inline.h"), header);
            File.WriteAllText(source, shim);
            NativeHost.CompileWith(NativeHost.Gcc(cpp: false),
            [
                "-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-variable", "-fPIC", "-shared",
                "-fvisibility=hidden", $"-I{folder}", $"-I{Repository.Include}", source, "-o", made,
            ]);
            File.Move(made, library, overwrite: true);
        }
        return library;
    }
}

/// <summary>The header, or how the shim uses it, with some of its text replaced.</summary>
/// <param name="Name">What the bug is.</param>
/// <param name="Changes">Text which must be in header or shim exactly once, and what takes its place.</param>
internal sealed record HeaderTwin(string Name, params (string Old, string New)[] Changes)
{
    public static HeaderTwin None { get; } = new("the header as it is");

    /// <summary>The altered texts; fails the test where they are not any more what the twin was made of.</summary>
    public (string Header, string Shim) Alter(string header, string shim)
    {
        foreach ((string old, string altered) in Changes)
        {
            int times = header.Split(old).Length + shim.Split(old).Length - 2;
            Assert.That(times, Is.EqualTo(1), $"{Name}: the header and the shim should contain once:\n{old}");
            header = header.Replace(old, altered, StringComparison.Ordinal);
            shim = shim.Replace(old, altered, StringComparison.Ordinal);
        }
        return (header, shim);
    }

    public bool Equals(HeaderTwin? other) => other?.Name == Name;

    public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);

    public override string ToString() => Name;
}
