using System;
using System.Threading;
using System.Threading.Tasks;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>A virtual processor of an inner guest that has read a page and stays inside, on a thread of its own, until told.</summary>
internal sealed class InsideVcpu : IDisposable
{
    private readonly ManualResetEventSlim _leaves = new();
    private readonly Task<int> _thread;

    public InsideVcpu(NestedGuest guest, ShadowSpace shadow, ulong address)
    {
        using var inside = new ManualResetEventSlim();
        _thread = Task.Factory.StartNew(
            () =>
            {
                View view = guest.ViewOf(shadow);
                view.EnterCall();
                int status = shadow.Space.Faults.Resolve(view, address, Access.Read, View.CurrentThread, out _);
                view.LeaveCall();
                inside.Set();
                _leaves.Wait();
                view.Leave();
                return status;
            },
            TaskCreationOptions.LongRunning);
        inside.Wait();
    }

    public void Leave()
    {
        _leaves.Set();
        Assert.That(_thread.Result, Is.Zero);
    }

    public void Dispose()
    {
        _leaves.Set(); // also where a test has failed
        _thread.Wait();
        _leaves.Dispose();
    }
}
