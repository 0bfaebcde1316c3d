using System;
using System.Collections.Generic;
using System.Threading;

namespace GmapNative.Tests.Interleaving;

/// <summary>Which of the threads goes on after a place.</summary>
internal interface IChooser
{
    /// <summary>
    /// One of <paramref name="candidates"/>, by index. If the thread that came to the place can go on it is the first, and
    /// <paramref name="canStay"/>.
    /// </summary>
    int Choose(ReadOnlySpan<int> candidates, bool canStay);

    /// <summary>A thread that was chosen while it waited still waits.</summary>
    void InVain();
}

/// <summary>
/// Real threads of which exactly one runs at a time; each hands over where it comes to a place. A thread that waits (Place.Waiting) is
/// not chosen before another one has done something.
/// </summary>
internal sealed class Turns : IDisposable
{
    public const int MostThreads = 3;
    private const int Nobody = -1;
    private const int MostTimes = 12; // a walk over a whole table hands over at its first entries only

    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(60); // of one schedule: a hang, not a busy machine

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static int t_self; // 1 and up on the threads of this
#pragma warning restore IDE1006

    private readonly SemaphoreSlim[] _go = new SemaphoreSlim[MostThreads];
    private readonly SemaphoreSlim _end = new(0);
    private readonly Thread?[] _threads = new Thread?[MostThreads];
    private readonly Action?[] _bodies = new Action?[MostThreads];
    private readonly bool[] _ended = new bool[MostThreads];
    private readonly bool[] _waits = new bool[MostThreads];
    private readonly int[] _waitsSince = new int[MostThreads];
    private readonly List<(int Thread, string Place)> _trace = [];
    private readonly List<int> _chosen = [];
    private readonly Dictionary<string, int>[] _times = new Dictionary<string, int>[MostThreads];
    private IChooser _chooser = null!;
    private int _count;
    private int _progress;
    private int _polls = Nobody; // the waiting thread that was chosen last, until it came on
    private bool _stop;
    private volatile bool _runs;

    public Turns()
    {
        for (int i = 0; i < MostThreads; i++)
        {
            _go[i] = new SemaphoreSlim(0);
            _times[i] = [];
        }
    }

    /// <summary>Null, or why the threads did not come to their ends.</summary>
    public string? Failure { get; private set; }

    /// <summary>Which thread came to which place, in order.</summary>
    public IReadOnlyList<(int Thread, string Place)> Trace => _trace;

    /// <summary>Who was chosen at each place and each end of a thread: what a replay needs.</summary>
    public IReadOnlyList<int> Chosen => _chosen;

    /// <summary>How many places the threads have passed: the time of the schedule.</summary>
    public int Now => _trace.Count;

    /// <summary>The number of the calling thread here, from 0; -1 elsewhere.</summary>
    public static int Self => t_self - 1;

    /// <summary>Runs the bodies to their ends, as the chooser says; false and <see cref="Failure"/> if they cannot come there.</summary>
    public bool Run(IReadOnlyList<Action> bodies, IChooser chooser)
    {
        _chooser = chooser;
        _count = bodies.Count;
        _progress = 0;
        _polls = Nobody;
        _trace.Clear();
        _chosen.Clear();
        Failure = null;
        for (int i = 0; i < _count; i++)
        {
            _bodies[i] = bodies[i];
            _ended[i] = _waits[i] = false;
            _times[i].Clear();
            Start(i);
        }
        _runs = true;
        _go[Choose(Nobody)].Release();
        if (!_end.Wait(s_longest))
        {
            Failure ??= "a thread hangs between two places";
        }
        _runs = false;
        return Failure is null;
    }

    /// <summary>The calling thread is at a place; returns when it is its turn again. Other threads pass.</summary>
    public void At(string place, bool waits = false)
    {
        int self = Self;
        if (self < 0 || !_runs)
        {
            return;
        }
        int times = _times[self].GetValueOrDefault(place);
        _times[self][place] = times + 1;
        if (!waits && times >= MostTimes)
        {
            _progress++;
            return;
        }
        _trace.Add((self, place));
        if (waits && _polls == self)
        {
            _chooser.InVain();
        }
        _polls = _polls == self ? Nobody : _polls;
        _waits[self] = waits;
        _waitsSince[self] = waits ? _progress : 0;
        _progress += waits ? 0 : 1;
        HandOver(self);
    }

    /// <summary>Ends the threads; those of a schedule that failed stay where they are, they are of the background.</summary>
    public void Dispose()
    {
        _stop = true;
        for (int i = 0; i < MostThreads && Failure is null; i++)
        {
            _go[i].Release();
            _threads[i]?.Join();
        }
    }

    private void Start(int index)
    {
        if (_threads[index] is null)
        {
            _threads[index] = new Thread(() => Work(index)) { IsBackground = true, Name = $"turn {index}" };
            _threads[index]!.Start();
        }
    }

    private void Work(int index)
    {
        t_self = index + 1;
        for (; ; )
        {
            _go[index].Wait();
            if (_stop)
            {
                return;
            }
            try
            {
                _bodies[index]!();
            }
            catch (Exception failure)
            {
                Failure ??= $"thread {index}: {failure}";
            }
            _ended[index] = true;
            _waits[index] = false;
            _progress++;
            if (Array.TrueForAll(_ended[.._count], ended => ended))
            {
                _end.Release();
            }
            else
            {
                HandOver(index);
            }
        }
    }

    private void HandOver(int self)
    {
        bool ended = _ended[self]; // the others may begin another schedule as soon as one of them goes on
        int next = Choose(self);
        if (next == self)
        {
            return;
        }
        if (next == Nobody)
        {
            Failure ??= "all threads wait for each other";
            _end.Release();
        }
        else
        {
            _go[next].Release();
        }
        if (!ended)
        {
            _go[self].Wait();
        }
    }

    private int Choose(int self)
    {
        Span<int> candidates = stackalloc int[MostThreads];
        int count = 0;
        bool canStay = self != Nobody && !_ended[self] && !_waits[self];
        if (canStay)
        {
            candidates[count++] = self;
        }
        foreach (bool waits in (ReadOnlySpan<bool>)[false, true])
        {
            for (int i = 0; i < _count; i++)
            {
                if (i != self && !_ended[i] && _waits[i] == waits && (!waits || _waitsSince[i] < _progress))
                {
                    candidates[count++] = i;
                }
            }
        }
        if (count == 0)
        {
            return Nobody;
        }
        int chosen = candidates[_chooser.Choose(candidates[..count], canStay)];
        _chosen.Add(chosen);
        _polls = _waits[chosen] ? chosen : Nobody;
        return chosen;
    }
}
