using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>
/// What behaviour was seen: operation, status, classes of its arguments and of the world, and which call with which status came after
/// which. There is no instrumentation in the library: a program with a new key is a program worth keeping.
/// </summary>
internal sealed class KeySet
{
    private readonly HashSet<ulong> _seen = [];
    private readonly List<ulong> _ofProgram = [];
    private readonly SortedDictionary<int, long> _calls = [];
    private readonly SortedDictionary<int, long> _nested = [];
    private ulong _before;

    /// <summary>How many operations ended with which status.</summary>
    public string Statuses => Text(_calls);

    /// <summary>How many accesses by vcpus of shadows did; empty: there were none.</summary>
    public string NestedStatuses => Text(_nested);

    public int Count => _seen.Count;

    /// <summary>How many keys the program that runs was the first to show.</summary>
    public int New { get; private set; }

    /// <summary>All keys of the program that runs.</summary>
    public IReadOnlyList<ulong> OfProgram => _ofProgram;

    public void BeginProgram()
    {
        New = 0;
        _before = 0;
        _ofProgram.Clear();
    }

    public void See(uint operation, int status, uint features, uint state)
    {
        _calls[status] = _calls.GetValueOrDefault(status) + 1;
        ulong call = ((ulong)operation << 16) | (ushort)status;
        Add((call << 32) | ((features * 8UL) + state));
        Add((1UL << 63) | (_before << 24) ^ call);
        _before = call;
    }

    public void SeeNested(int status) => _nested[status] = _nested.GetValueOrDefault(status) + 1;

    private static string Text(SortedDictionary<int, long> counts) =>
        string.Join(", ", counts.Where(one => one.Key < 1000).Select(one => $"{one.Key}: {one.Value}"));

    private void Add(ulong key)
    {
        _ofProgram.Add(key);
        New += _seen.Add(key) ? 1 : 0;
    }
}
