using System;
using System.Collections.Concurrent;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>A vcpu on a thread of its own, which does one thing at a time as it is told and stays inside in between.</summary>
internal sealed unsafe class OtherThread : IDisposable
{
    private readonly BlockingCollection<Action> _orders = [];
    private readonly SemaphoreSlim _done = new(0);
    private readonly Thread _thread;
    private readonly ulong _vcpu;
    private readonly ViewWords* _view; // of the vcpu, until the engine ends

    public OtherThread(Host host)
    {
        _thread = new Thread(() =>
        {
            foreach (Action order in _orders.GetConsumingEnumerable())
            {
                order();
                _ = _done.Release();
            }
        });
        _thread.Start();
        ulong vcpu = 0;
        nint view = 0;
        Do(() =>
        {
            vcpu = host.Open(out ViewWords* words);
            view = (nint)words;
        });
        _vcpu = vcpu;
        _view = (ViewWords*)view;
    }

    /// <summary>Runs something on the thread; false if it is not done after two seconds.</summary>
    public bool TryDo(Action order)
    {
        _orders.Add(order);
        return _done.Wait(2000);
    }

    public void Do(Action order) => Assert.That(TryDo(order), "it hangs");

    public void Read(ulong address) => Do(() => Assert.That(Host.Fault(_vcpu, address, Access.Read), Is.Zero));

    public void Write(ulong address) => Do(() => Assert.That(Host.Fault(_vcpu, address, Access.Write), Is.Zero));

    public void Leave() => Do(() => Host.Leave(_view));

    public void Dispose()
    {
        _orders.Add(() => Host.Close(_vcpu));
        _orders.CompleteAdding();
        _thread.Join();
    }
}
