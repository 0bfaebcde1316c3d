using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Interleaving;

/// <summary>What was done to a page.</summary>
internal enum Deed
{
    /// <summary>A store through the tables: the page is dirty, then the store is visible, in one section.</summary>
    Write,

    /// <summary>gmap_write: the same through the slot's log.</summary>
    HostWrite,

    /// <summary>A device's store: visible, then marked.</summary>
    Device,

    /// <summary>A harvest, which gives the page's bit.</summary>
    Harvest,

    /// <summary>A look, which gives the page's bit.</summary>
    Get,

    /// <summary>A clear with the page's bit set.</summary>
    Clear,

    /// <summary>A read of one thread's word.</summary>
    Read,
}

/// <summary>One call's part in one page: by whom, when, and what it gave.</summary>
/// <param name="Deed">What.</param>
/// <param name="Thread">Of a store: whose; of a read: whose word.</param>
/// <param name="Begin">A time before the call.</param>
/// <param name="End">A time after its return.</param>
/// <param name="Value">A store's stamp, a read's result, the bit of a harvest or a look.</param>
internal readonly record struct Call(Deed Deed, int Thread, long Begin, long End, ulong Value);

/// <summary>
/// Whether a page's history could have been one after the other: each call takes effect at one moment between its begin and its end.
/// The page is dirty or not and has its words. A store is two steps, "dirty" and "visible"; a harvest or a clear that finds the page
/// dirty comes only when no store is between the two (it waits for the section). A store that was overtaken by a harvest may make
/// the page dirty once more. A look may see a mark of the log that is still being made (rule 14).
/// </summary>
internal sealed class Linearizer
{
    private enum Step
    {
        Dirty,
        Visible,
        Whole,
    }

    private readonly record struct Move(int Call, Step Step, int After);

    private readonly Call[] _calls;
    private readonly Move[] _moves;
    private readonly HashSet<(ulong Done, bool Dirty)> _seen = [];

    private Linearizer(IEnumerable<Call> calls)
    {
        _calls = [.. calls];
        List<Move> moves = [];
        for (int i = 0; i < _calls.Length; i++)
        {
            bool isStore = IsStore(_calls[i].Deed);
            bool device = _calls[i].Deed == Deed.Device;
            moves.Add(new Move(i, !isStore ? Step.Whole : device ? Step.Visible : Step.Dirty, -1));
            if (isStore)
            {
                moves.Add(new Move(i, device ? Step.Dirty : Step.Visible, moves.Count - 1));
            }
        }
        _moves = [.. moves];
        if (_moves.Length > 63)
        {
            throw new ArgumentException("too long a history", nameof(calls));
        }
    }

    public static bool IsLinearizable(IEnumerable<Call> calls) => new Linearizer(calls).Reaches(0, dirty: false);

    private static bool IsStore(Deed deed) => deed is Deed.Write or Deed.HostWrite or Deed.Device;

    private static bool IsOfTheLog(Deed deed) => deed is Deed.HostWrite or Deed.Device;

    private bool Reaches(ulong done, bool dirty)
    {
        if (done == (1UL << _moves.Length) - 1)
        {
            return true;
        }
        if (!_seen.Add((done, dirty)))
        {
            return false;
        }
        for (int i = 0; i < _moves.Length; i++)
        {
            if (IsFree(i, done) && TryMove(i, done, dirty, out bool after) && Reaches(done | (1UL << i), after))
            {
                return true;
            }
        }
        return !dirty && MarksAgain(done) && Reaches(done, dirty: true);
    }

    /// <summary>Not done, its first half is, and no call that ended before this one began is still to come.</summary>
    private bool IsFree(int index, ulong done)
    {
        Move move = _moves[index];
        if (IsDone(index, done) || (move.After >= 0 && !IsDone(move.After, done)))
        {
            return false;
        }
        for (int i = 0; i < _moves.Length; i++)
        {
            if (!IsDone(i, done) && _calls[_moves[i].Call].End < _calls[move.Call].Begin)
            {
                return false;
            }
        }
        return true;
    }

    private bool TryMove(int index, ulong done, bool dirty, out bool after)
    {
        Call call = _calls[_moves[index].Call];
        after = dirty || _moves[index].Step == Step.Dirty;
        switch (call.Deed)
        {
            case Deed.Harvest:
                after = false;
                return dirty == (call.Value != 0) && !(dirty && StoreIsUnderWay(done));
            case Deed.Clear:
                after = false;
                return !(dirty && StoreIsUnderWay(done));
            case Deed.Get:
                return dirty == (call.Value != 0) || (!dirty && MarkIsBeingMade(call));
            case Deed.Read:
                return ValueOf(call.Thread, done) == call.Value;
            default:
                return true;
        }
    }

    private bool StoreIsUnderWay(ulong done)
    {
        for (int i = 0; i < _moves.Length; i++)
        {
            if (_moves[i].After >= 0 && _calls[_moves[i].Call].Deed != Deed.Device && !IsDone(i, done) && IsDone(_moves[i].After, done))
            {
                return true;
            }
        }
        return false;
    }

    private bool MarkIsBeingMade(Call look) =>
        Array.Exists(_calls, call => IsOfTheLog(call.Deed) && call.Begin < look.End && look.Begin < call.End);

    private ulong ValueOf(int thread, ulong done)
    {
        ulong value = 0;
        for (int i = 0; i < _moves.Length; i++)
        {
            Call call = _calls[_moves[i].Call];
            if (_moves[i].Step == Step.Visible && call.Thread == thread && IsDone(i, done))
            {
                value = Math.Max(value, call.Value);
            }
        }
        return value;
    }

    /// <summary>Whether a store that has made the page dirty may not have ended yet.</summary>
    private bool MarksAgain(ulong done)
    {
        long latest = _moves.Where((_, i) => IsDone(i, done)).Select(move => _calls[move.Call].Begin).DefaultIfEmpty(0).Max();
        return _moves.Where((move, i) => move.Step == Step.Dirty && IsDone(i, done)).Any(move => _calls[move.Call].End > latest);
    }

    private static bool IsDone(int index, ulong done) => (done >> index & 1) != 0;
}
