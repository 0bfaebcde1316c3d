using System;
using System.Threading;
using NUnit.Framework;

namespace GmapNative.Tests.Scenarios;

/// <summary>
/// Runs something on a thread of its own and holds it at a place of the engine until it is told to go on: a race with a chosen winner.
/// One at a time.
/// </summary>
internal sealed class HeldThread : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly Background _work;
    private readonly ManualResetEventSlim _held = new();
    private readonly ManualResetEventSlim _goOn = new();
    private readonly Place _place;
    private int _thread;
    private int _left;

    /// <param name="place">Where to hold it.</param>
    /// <param name="work">What it does.</param>
    /// <param name="occurrence">1: the first time that it comes there.</param>
    public HeldThread(Place place, Action work, int occurrence = 1)
    {
        Assert.That(Probe.Visitor, Is.Null, "one at a time");
        _place = place;
        _left = occurrence;
        Probe.Visitor = Visit;
        _work = new Background(() =>
        {
            Volatile.Write(ref _thread, Environment.CurrentManagedThreadId);
            work();
        });
        bool came = SpinWait.SpinUntil(() => _held.IsSet || _work.IsDone, s_patience) && _held.IsSet;
        if (!came)
        {
            Dispose();
            Assert.Fail($"the thread never came to {place}");
        }
    }

    public bool IsDone => _work.IsDone;

    public void GoOn()
    {
        _goOn.Set();
        _work.Join();
    }

    public void Dispose()
    {
        _goOn.Set();
        _work.Dispose();
        Probe.Visitor = null;
        _held.Dispose();
        _goOn.Dispose();
    }

    private void Visit(Place place)
    {
        if (place == Place.Waiting)
        {
            _ = Thread.Yield();
        }
        else if (place == _place && Environment.CurrentManagedThreadId == Volatile.Read(ref _thread) && --_left == 0)
        {
            _held.Set();
            _goOn.Wait();
        }
    }
}

/// <summary>Something that runs on a thread of its own; what it throws is thrown by <see cref="Join"/>.</summary>
internal sealed class Background : IDisposable
{
    private readonly Thread _thread;
    private Exception? _failure;

    public Background(Action work)
    {
        _thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception exception)
            {
                _failure = exception;
            }
        })
        { IsBackground = true };
        _thread.Start();
    }

    public bool IsDone => !_thread.IsAlive;

    /// <summary>Whether it comes to its end in the time in which it certainly would if nothing kept it.</summary>
    public bool EndsSoon() => _thread.Join(30);

    public void Join()
    {
        Assert.That(_thread.Join(TimeSpan.FromSeconds(60)), Is.True, "it hangs");
        if (_failure is not null)
        {
            throw new InvalidOperationException("in the other thread", _failure);
        }
    }

    /// <summary>Not for ever: where an assertion failed it may wait for somebody who is told to go on later than this.</summary>
    public void Dispose() => _thread.Join(TimeSpan.FromSeconds(5));
}
