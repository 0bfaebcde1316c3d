using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>PGSTEs: zero unless somebody said otherwise, whatever is mapped; they keep their segment's page table.</summary>
internal sealed partial class ReferenceSpace
{
    private readonly Dictionary<ulong, ulong> _pgstes = []; // of pages, those that are not zero

    public bool HasPgstes => pgstes;

    public int PageTableBytes => pgstes ? 4096 : 2048;

    public (int Status, ulong Value) GetPgste(ulong address) =>
        !pgstes ? (Status.NotSupported, 0)
        : Find(address) is null ? (Status.Fault, 0)
        : (Status.Ok, _pgstes.GetValueOrDefault(address >> 12));

    public (int Status, ulong Before) UpdatePgste(ulong address, ulong mask, ulong value)
    {
        if ((mask & Pgste.Lock) != 0)
        {
            return (Status.Invalid, 0);
        }
        (int status, ulong before) = GetPgste(address);
        ulong segment = address >> 20;
        bool makes = (mask & value) != 0 && !_tables.Contains(segment);
        if (status != Status.Ok || (makes && _leaves.Contains(segment) && policy == SplitPolicy.Never))
        {
            return (status != Status.Ok ? status : Status.NotSupported, 0);
        }
        if (makes && _leaves.Contains(segment))
        {
            Split(segment);
        }
        else if (makes)
        {
            AddTables(address);
            _tables.Add(segment);
        }
        ulong after = (before & ~mask) | (value & mask);
        _pgstes[address >> 12] = after;
        _ = after == 0 && _pgstes.Remove(address >> 12);
        return (Status.Ok, before);
    }

    /// <summary>
    /// A change for which there was no memory may have made a part of the way to its segment, which <paramref name="seen"/> (a
    /// translation) tells. False: it needed none, or did something else.
    /// </summary>
    public bool PgsteWithoutMemory(ulong address, Answer seen) =>
        GetPgste(address).Status == Status.Ok && !_tables.Contains(address >> 20) && WayWithoutMemory(address, seen);

    private bool HasPgste(ulong segment) => _pgstes.Keys.Any(page => page >> 8 == segment);

    private void DropPgstes(bool drops, ulong start, ulong end)
    {
        foreach (ulong page in drops ? _pgstes.Keys.Where(page => page << 12 >= start && page << 12 < end).ToArray() : [])
        {
            _pgstes.Remove(page);
        }
    }
}
