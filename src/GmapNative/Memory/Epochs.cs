using System;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// Who is in a section of a space, and waiting until they have left: the grace of PROTOCOL.md, rules 5 to 9.
/// </summary>
/// <param name="timeoutNanoseconds">How long to wait for views; 0: for ever.</param>
/// <param name="kick">Told which vcpu has not left.</param>
/// <param name="everywhere">The views of all spaces.</param>
/// <param name="words">The space's generation, which polling threads look at; alive as long as the space.</param>
internal sealed unsafe class Epochs(ulong timeoutNanoseconds, Action<ulong>? kick, ViewList everywhere, SpaceWords* words)
{
    private const ulong NotTold = ulong.MaxValue; // no generation: threads that poll know nothing of a grace yet
    private const int SpinsBeforeYield = 64;
    private const long YieldNanoseconds = 100_000; // by time, not by count: on a busy machine one yield may take milliseconds
    private const long SleepNanoseconds = 50_000;
    private const long KickAfterNanoseconds = 1_000_000;
    private const long KickAgainNanoseconds = 10_000_000;

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static bool t_kicking;
#pragma warning restore IDE1006

    private readonly ViewList _views = new();
    private Epochs[] _covered = []; // replaced as a whole
    private long _gracePeriods;
    private long _graceNanoseconds;

    public long GracePeriods => Volatile.Read(ref _gracePeriods);

    public long GraceNanoseconds => Volatile.Read(ref _graceNanoseconds);

    public int ViewCount => _views.All.Length;

    /// <summary>
    /// Called at the beginning of each grace, before anybody is waited for; may take locks behind those that the caller has, waits for
    /// nothing. Null: nothing is to be done. What it returns <see cref="AfterGrace"/> is told.
    /// </summary>
    public Func<ulong>? BeforeGrace { get; set; }

    /// <summary>Called at the end of a grace that everybody has answered, under the same rules.</summary>
    public Action<ulong>? AfterGrace { get; set; }

    /// <summary>The space's number, for events.</summary>
    public ulong Space { get; init; }

    public void Register(View view)
    {
        _views.Add(view);
        everywhere.Add(view);
    }

    public void Unregister(View view)
    {
        _views.Remove(view);
        everywhere.Remove(view);
    }

    /// <summary>
    /// From now on, or no longer, whoever waits for grace here waits for the views of another space, too: a shadow's readers use memory of
    /// its root.
    /// </summary>
    public void Cover(Epochs other, bool covers)
    {
        Epochs[] before;
        Epochs[] after;
        do
        {
            before = Volatile.Read(ref _covered);
            after = covers ? [.. before, other] : Array.FindAll(before, one => one != other);
        }
        while (Interlocked.CompareExchange(ref _covered, after, before) != before);
    }

    /// <summary>
    /// Whether a view of the calling thread is inside: it must not wait for itself (rule 7), nor, inside another space, for a
    /// thread that waits for it there. Nor may a kick wait: the call that kicks does already, and may hold a lock (rule 8).
    /// </summary>
    public bool IsCallerInside()
    {
        if (t_kicking)
        {
            return true;
        }
        int thread = View.CurrentThread;
        bool inside = false;
        int section = LibrarySections.Enter(); // until it ends no engine gives the words of its views back
        View[] views = everywhere.All;
        Probe.At(Place.ViewsListed);
        foreach (View view in views)
        {
            inside |= view.Owner == thread && View.IsInside(view.Inside);
        }
        LibrarySections.Leave(section);
        return inside;
    }

    /// <summary>
    /// Returns when every section that was open has ended: <see cref="Status.Ok"/>, or <see cref="Status.TimedOut"/>;
    /// <see cref="Status.NotPermitted"/> where the barrier is refused. The caller is in no section and holds neither an entry's lock
    /// nor the pool's.
    /// </summary>
    /// <param name="bumped">
    /// The generation was raised after the last change that the grace is for: threads that poll are told already.
    /// </param>
    public int WaitForGrace(bool bumped = false) => WaitForGrace(timeoutNanoseconds, bumped);

    /// <summary>The same with a time of its own; 0: for ever.</summary>
    public int WaitForGrace(ulong timeout, bool bumped = false)
    {
        ulong begun = BeforeGrace?.Invoke() ?? 0;
        long start = Clock.Now;
        ulong since = bumped ? Volatile.Read(ref words->Generation) : NotTold;
        since -= Probe.LeavesOut(Step.AnswerOfBefore) ? 1UL : 0;
        Interlocked.Increment(ref _gracePeriods);
        int status = ProcessBarrier.Issue() ? WaitForLibrary(start, timeout) : Status.NotPermitted;
        status = WaitForViews(status, start, timeout, since);
        foreach (Epochs covered in Probe.LeavesOut(Step.ShadowReadersNotCovered) ? [] : Volatile.Read(ref _covered))
        {
            status = covered.WaitForViews(status, start, timeout, NotTold); // they poll a generation of their own
        }
        long waited = Clock.Since(start);
        if (status == Status.Ok)
        {
            AfterGrace?.Invoke(begun);
        }
        Interlocked.Add(ref _graceNanoseconds, waited);
        Probe.At(Place.GraceEnded);
        Tell.GraceWait(Space, waited, status);
        return status;
    }

    /// <summary>
    /// Returns when every library call that was running in a section has ended, faults included. Does not wait for the hosts'
    /// own sections, so it is short: what the first grace of rule 19 needs.
    /// </summary>
    public void WaitForCalls()
    {
        if (Probe.LeavesOut(Step.WalkBeforeCallsEnded))
        {
            return;
        }
        long start = Clock.Now;
        _ = ProcessBarrier.Issue();
        _ = WaitForLibrary(start, 0);
        WaitForFaults(start);
        foreach (Epochs covered in Volatile.Read(ref _covered))
        {
            covered.WaitForFaults(start);
        }
        Probe.At(Place.CallsEnded);
    }

    private void WaitForFaults(long start)
    {
        foreach (View view in _views.All)
        {
            _ = WaitForWord(ref view.CallWord, start, 0);
        }
    }

    /// <summary>Waits for each view's section, unless it is over with <paramref name="status"/> already.</summary>
    private int WaitForViews(int status, long start, ulong timeout, ulong since)
    {
        foreach (View view in _views.All)
        {
            if (status != Status.Ok)
            {
                break;
            }
            status = WaitForView(view, start, timeout, ref since);
        }
        return status;
    }

    private static int WaitForLibrary(long start, ulong timeout)
    {
        int status = Status.Ok;
        for (int slot = 0; slot < LibrarySections.Count && status == Status.Ok; slot++)
        {
            status = WaitForWord(ref LibrarySections.Word(slot), start, timeout);
        }
        return status;
    }

    private static void Kick(Action<ulong> kick, ulong vcpu)
    {
        t_kicking = true;
        try
        {
            kick(vcpu);
        }
        finally
        {
            t_kicking = false;
        }
    }

    /// <summary>
    /// Waits until the section of a view has ended or begun anew: its word changes, or it has answered to a generation of
    /// <paramref name="since"/> or later (rule 6).
    /// </summary>
    private int WaitForView(View view, long start, ulong timeout, ref ulong since)
    {
        ulong seen = view.Inside;
        var waiting = new Waiting(start, timeout);
        int status = Status.Ok;
        while (status == Status.Ok && View.IsInside(seen) && view.Inside == seen && view.Generation < since)
        {
            if (since == NotTold && waiting.IsLong)
            {
                since = Interlocked.Increment(ref words->Generation); // it may be a thread that polls
                Probe.At(Place.GenerationBumped);
            }
            if (kick is not null && waiting.KicksNow())
            {
                Kick(kick, view.Vcpu);
            }
            status = waiting.Round();
        }
        return status;
    }

    private static int WaitForWord(ref ulong word, long start, ulong timeout)
    {
        ulong seen = Volatile.Read(ref word);
        var waiting = new Waiting(start, timeout);
        int status = Status.Ok;
        while (status == Status.Ok && View.IsInside(seen) && Volatile.Read(ref word) == seen)
        {
            status = waiting.Round();
        }
        return status;
    }

    /// <summary>Spins, then yields, then sleeps, until the time is over.</summary>
    private struct Waiting(long start, ulong timeout)
    {
        private long _nextKick = KickAfterNanoseconds;
        private int _rounds;

        /// <summary>No more spinning.</summary>
        public readonly bool IsLong => _rounds >= SpinsBeforeYield;

        public bool KicksNow()
        {
            long elapsed = IsLong ? Clock.Since(start) : 0;
            if (elapsed < _nextKick)
            {
                return false;
            }
            _nextKick = elapsed + KickAgainNanoseconds;
            return true;
        }

        public int Round()
        {
            Probe.At(Place.Waiting);
            if (!IsLong)
            {
                _rounds++;
                Thread.SpinWait(8);
                return Status.Ok;
            }
            long elapsed = Clock.Since(start);
            if (timeout != 0 && (ulong)elapsed >= timeout)
            {
                return Status.TimedOut;
            }
            if (elapsed < YieldNanoseconds)
            {
                HostSystem.Current.Yield();
            }
            else
            {
                HostSystem.Current.Sleep(SleepNanoseconds);
            }
            return Status.Ok;
        }
    }
}
