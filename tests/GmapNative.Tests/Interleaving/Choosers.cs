using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// All schedules with at most so many preemptions, one after the other, depth first. To go on with another thread where the running one
/// waits or has ended is no preemption.
/// </summary>
internal sealed class DepthFirst(int bound) : IChooser
{
    private readonly record struct Decision(int Choice, int Count, int Price, int Spent);

    private readonly List<int> _prefix = [];
    private readonly List<Decision> _decisions = [];
    private int _spent;
    private int _at;
    private bool _closed;

    /// <summary>Before each schedule; false when there is none left.</summary>
    public bool Next()
    {
        bool first = _at == 0 && _decisions.Count == 0;
        int last = _decisions.Count - 1;
        while (last >= 0 && !CanChange(_decisions[last]))
        {
            last--;
        }
        if (!first)
        {
            if (last < 0)
            {
                return false;
            }
            _prefix.Clear();
            _prefix.AddRange(_decisions.Take(last).Select(decision => decision.Choice));
            _prefix.Add(_decisions[last].Choice + 1);
        }
        _decisions.Clear();
        _spent = 0;
        _at = 0;
        _closed = false;
        return true;
    }

    public int Choose(ReadOnlySpan<int> candidates, bool canStay)
    {
        _at++;
        if (candidates.Length == 1)
        {
            return 0;
        }
        int index = _decisions.Count;
        int choice = index < _prefix.Count ? _prefix[index] : 0;
        if (!_closed)
        {
            _decisions.Add(new Decision(choice, candidates.Length, canStay ? 1 : 0, _spent));
        }
        _spent += canStay && choice != 0 ? 1 : 0;
        return choice;
    }

    /// <summary>What follows is as if the thread had not been chosen, and that has its own branch.</summary>
    public void InVain() => _closed = _decisions.Count >= _prefix.Count;

    private bool CanChange(in Decision decision) =>
        decision.Choice + 1 < decision.Count && decision.Spent + decision.Price <= bound;
}

/// <summary>
/// Priorities drawn by lot, and a few steps at which the running thread falls behind all others (PCT: Burckhardt, Kothari, Musuvathi,
/// Nagarakatte, ASPLOS 2010): finds what needs more preemptions than the enumeration allows.
/// </summary>
internal sealed class ByLot : IChooser
{
    private readonly int[] _priorities;
    private readonly HashSet<int> _changes = [];
    private int _step;

    public ByLot(int seed, int threads, int changes, int steps)
    {
        var random = new Random(seed);
        _priorities = [.. Enumerable.Range(changes + 1, threads)];
        random.Shuffle(_priorities);
        for (int i = 0; i < changes; i++)
        {
            _ = _changes.Add(random.Next(steps));
        }
    }

    public int Choose(ReadOnlySpan<int> candidates, bool canStay)
    {
        int best = Best(candidates);
        if (_changes.Contains(_step++))
        {
            _priorities[candidates[best]] = -_step;
            best = Best(candidates);
        }
        return best;
    }

    public void InVain()
    {
    }

    private int Best(ReadOnlySpan<int> candidates)
    {
        int best = 0;
        for (int i = 1; i < candidates.Length; i++)
        {
            best = _priorities[candidates[i]] > _priorities[candidates[best]] ? i : best;
        }
        return best;
    }
}

/// <summary>One schedule again, by its text: "A12 B3 A" is twelve turns of the first thread, three of the second, ...</summary>
internal sealed class Replay(string schedule) : IChooser
{
    private readonly int[] _threads = [.. Threads(schedule)];
    private int _at;

    /// <summary>Whether the schedule has fitted so far.</summary>
    public bool Fits { get; private set; } = true;

    public static string TextOf(IReadOnlyList<int> chosen)
    {
        var text = new StringBuilder();
        for (int at = 0; at < chosen.Count;)
        {
            int length = chosen.Skip(at).TakeWhile(thread => thread == chosen[at]).Count();
            _ = text.Append(at == 0 ? "" : " ").Append((char)('A' + chosen[at])).Append(CultureInfo.InvariantCulture, $"{length}");
            at += length;
        }
        return text.ToString();
    }

    public int Choose(ReadOnlySpan<int> candidates, bool canStay)
    {
        int wanted = _at < _threads.Length ? candidates.IndexOf(_threads[_at]) : -1;
        _at++;
        Fits &= wanted >= 0;
        return Math.Max(wanted, 0);
    }

    public void InVain()
    {
    }

    private static IEnumerable<int> Threads(string schedule) =>
        schedule.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .SelectMany(part => Enumerable.Repeat(part[0] - 'A', int.Parse(part[1..], CultureInfo.InvariantCulture)));
}
