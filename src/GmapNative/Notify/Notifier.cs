using System;
using System.Threading;
using GmapNative.Space;

namespace GmapNative.Notify;

/// <summary>What a notifier calls: addresses from the first to the last, and one kind.</summary>
internal delegate void NotifyCallback(ulong first, ulong last, NotifyFlags kind);

/// <summary>A callback that hears of the armed pages of a space (rule 31). Thread-safe.</summary>
/// <param name="space">The space; it cannot end while a notifier is registered.</param>
/// <param name="kinds">Of which kinds it hears.</param>
/// <param name="callback">Called in no section, with no lock held; returns.</param>
internal sealed class Notifier(AddressSpace space, NotifyFlags kinds, NotifyCallback callback) : INotifier
{
    public const NotifyFlags AllKinds = NotifyFlags.Change | NotifyFlags.Write | NotifyFlags.Shadow;

    private int _running;
    private int _closed;

    /// <summary>See <c>gmap_notifier_register</c>.</summary>
    public static int TryRegister(AddressSpace space, NotifyFlags kinds, NotifyCallback callback, out Notifier? notifier)
    {
        notifier = null;
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock; // who has the configuration lock may be waiting for the caller to leave
        }
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            var made = new Notifier(space, kinds == NotifyFlags.None ? AllKinds : kinds, callback);
            space.Watches.Notifiers = [.. space.Watches.Notifiers, made];
            notifier = made;
            return Status.Ok;
        }
    }

    /// <summary>See <c>gmap_notifier_unregister</c>.</summary>
    public int Unregister()
    {
        if (WatchTelling.IsInCallback || space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return Status.BadHandle;
        }
        WaitForCallbacks();
        using (space.Configuration.Hold())
        {
            space.Watches.Notifiers = Array.FindAll(space.Watches.Notifiers, one => one != this);
        }
        return Status.Ok;
    }

    /// <inheritdoc/>
    public bool Tell(ulong first, ulong last, NotifyFlags kind)
    {
        if ((kinds & kind) == 0)
        {
            return false;
        }
        // By a full fence: either this one finds it closed, or whoever closes it finds it running.
        Interlocked.Increment(ref _running);
        bool open = Volatile.Read(ref _closed) == 0;
        if (open)
        {
            callback(first, last, kind);
        }
        Interlocked.Decrement(ref _running);
        return open;
    }

    private void WaitForCallbacks()
    {
        SpinWait spin = default;
        while (Volatile.Read(ref _running) != 0 && !Probe.LeavesOut(Step.UnregisterWithoutWait))
        {
            Probe.At(Place.Waiting);
            spin.SpinOnce();
        }
    }
}
