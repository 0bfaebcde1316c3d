using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>Four segments of one slot at guest address 0, and short words for what scenarios do with them.</summary>
[NonParallelizable]
public abstract class ScenarioFixture(bool pgstes) : FormatFixture(pgstes)
{
    private protected const ulong Milliseconds = 1_000_000;

    private protected static GuestMemory Memory { get; } = new(8 << 20);

    private protected static SlotRequest Slot { get; } = new()
    {
        Id = 1,
        GuestAddress = 0,
        Size = 4 * Segment,
        HostAddress = Memory.Start,
        LogDirty = true,
    };

    private protected static TestSpace Make(EngineOptions? engine = null, SpaceOptions? options = null)
    {
        var test = new TestSpace(options ?? new SpaceOptions { Limit = TwoGigabytes - 1 }, engine);
        test.Set(Slot);
        return test;
    }

    private protected static SegmentCell Cell(TestSpace test, ulong address)
    {
        Assert.That(test.Space.Tree.TryFindCell(address, out SegmentCell cell), Is.True);
        return cell;
    }

    private protected static PageTable Table(TestSpace test, ulong address)
    {
        SegmentEntry entry = Cell(test, address).Load();
        Assert.That(entry.IsTable, Is.True);
        return new PageTable(entry.TableOrigin);
    }

    /// <summary>A fault on the calling thread, with a view of its own that is closed afterwards.</summary>
    private protected static FaultOutcome FaultOnce(TestSpace test, ulong address, Access access)
    {
        View view = test.OpenView();
        int status = test.Fault(view, address, access, out FaultOutcome outcome);
        test.CloseView(view);
        Assert.That(status, Is.Zero);
        return outcome;
    }

    /// <summary>A store through the header's path, in a section of its own.</summary>
    private protected static void Store(TestSpace test, View view, ulong address, ulong value)
    {
        var writer = new InlineWriter(view);
        writer.Enter();
        Assert.That(writer.Write(address, value, at => test.Fault(view, at, Access.Write, out _)), Is.Zero);
        writer.Leave();
    }

    private protected static unsafe ulong ValueAt(ulong guestAddress) =>
        Volatile.Read(ref *(ulong*)(Memory.Start + guestAddress)); // guest memory of the fixture, never freed

    /// <summary>A thread with a view of its own that stays inside until it is told to leave.</summary>
    private protected sealed class Reader : IDisposable
    {
        private readonly ManualResetEventSlim _inside = new();
        private readonly ManualResetEventSlim _leave = new();
        private readonly Background _thread;

        /// <param name="test">The space.</param>
        /// <param name="inside">Done right after it entered.</param>
        /// <param name="last">Done right before it leaves.</param>
        public Reader(TestSpace test, Action<View>? inside = null, Action? last = null)
        {
            _thread = new Background(() =>
            {
                View view = test.OpenView();
                view.Enter();
                inside?.Invoke(view);
                _inside.Set();
                _leave.Wait();
                last?.Invoke();
                view.Leave();
                test.CloseView(view);
            });
            Assert.That(SpinWait.SpinUntil(() => _inside.IsSet || _thread.IsDone, 60_000) && _inside.IsSet, Is.True);
        }

        public void Leave()
        {
            _leave.Set();
            _thread.Join();
        }

        public void Dispose()
        {
            _leave.Set();
            _thread.Dispose();
            _inside.Dispose();
            _leave.Dispose();
        }
    }
}
