using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>
/// Pages whose arming was taken and on which shadows may still hang: a queue of runs between whoever changes an entry, with its lock held,
/// and the next grace. Thread-safe; its lock is the last in the order.
/// </summary>
internal sealed class TakenPages
{
    private const int LeastRuns = 64;
    private const int MostRuns = 1 << 16; // then it is everything

    private readonly record struct Run(ulong First, ulong Last, WatchBits Kinds);

    private readonly Lock _gate = new();
    private Run[] _runs = new Run[LeastRuns];
    private int _count;
    private bool _everything;

    /// <summary>Adds a page; it never fails.</summary>
    public void Add(ulong page, WatchBits kinds)
    {
        lock (_gate)
        {
            if (_count != 0 && _runs[_count - 1].Last + 1 == page && _runs[_count - 1].Kinds == kinds)
            {
                _runs[_count - 1] = _runs[_count - 1] with { Last = page + GuestAddress.PageSize - 1 };
                return;
            }
            if (_count == _runs.Length && !TryGrow())
            {
                _everything = true;
                return;
            }
            _runs[_count++] = new Run(page, page + GuestAddress.PageSize - 1, kinds);
        }
    }

    /// <summary>
    /// Whether more was added than is worth to be remembered one by one, since this was last asked: all that hangs anywhere has to go.
    /// </summary>
    public bool TakeEverything()
    {
        lock (_gate)
        {
            bool everything = _everything;
            _everything = false;
            return everything;
        }
    }

    /// <summary>The next run; false: there is none.</summary>
    public bool TryTake(out ulong first, out ulong last, out WatchBits kinds)
    {
        lock (_gate)
        {
            Run run = _count != 0 ? _runs[--_count] : default;
            (first, last, kinds) = (run.First, run.Last, run.Kinds);
            return kinds != WatchBits.None;
        }
    }

    private bool TryGrow()
    {
        if (_runs.Length == MostRuns)
        {
            return false;
        }
        try
        {
            Array.Resize(ref _runs, _runs.Length * 2);
            return true;
        }
        catch (OutOfMemoryException)
        {
            return false;
        }
    }
}
