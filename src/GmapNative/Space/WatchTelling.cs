using System.Collections.Generic;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Pages of which notifiers are told, or will be next, by one thread (rules 29 and 30). Changed under the gate.</summary>
internal sealed class Telling
{
    public required ulong First { get; init; }

    /// <summary>The last byte.</summary>
    public required ulong Last { get; init; }

    /// <summary>The kinds, as due bits.</summary>
    public required WatchBits Due { get; set; }

    /// <summary>Those of which hosts hear.</summary>
    public required WatchBits Told { get; set; }

    /// <summary>What it was armed for, if it was claimed before a write: for that again, if the write is not granted.</summary>
    public WatchBits Armed { get; init; }

    /// <summary>Who tells.</summary>
    public int Thread { get; } = View.CurrentThread;

    public long Ticket { get; set; }

    /// <summary>What was taken once more since the callbacks began.</summary>
    public WatchBits Again { get; set; }

    /// <summary>What of that hosts hear of.</summary>
    public WatchBits AgainTold { get; set; }

    /// <summary>The due bits of its pages are its to clear: the slot is still there.</summary>
    public bool OwnsBits { get; set; } = true;

    public bool Covers(ulong address) => address >= First && address <= Last;

    public bool Overlaps(ulong start, ulong end) => First < end && Last >= start;
}

/// <summary>What is being told in a space. Thread-safe; nothing waits under the gate, and there is no place in it.</summary>
internal sealed class WatchTelling
{
#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [System.ThreadStatic]
    private static int t_depth;
#pragma warning restore IDE1006

    private readonly List<Telling> _tellings = [];
    private long _tickets;
    private int _count;

    /// <summary>Whether the calling thread is in a callback of a notifier.</summary>
    public static bool IsInCallback => t_depth != 0;

    /// <summary>Last in the lock order but the pool's.</summary>
    public Lock Gate { get; } = new();

    public bool IsActive => Volatile.Read(ref _count) != 0;

    public static void EnterCallback() => t_depth++;

    public static void LeaveCallback() => t_depth--;

    /// <summary>Under the gate.</summary>
    public void Add(Telling telling)
    {
        telling.Ticket = ++_tickets;
        _tellings.Add(telling);
        Volatile.Write(ref _count, _tellings.Count);
    }

    /// <summary>Under the gate.</summary>
    public void Remove(Telling telling)
    {
        _ = _tellings.Remove(telling);
        Volatile.Write(ref _count, _tellings.Count);
    }

    /// <summary>Who is to clear the due bits of a page; null: nobody has them yet. Under the gate.</summary>
    public Telling? OwnerOf(ulong address, WatchBits due)
    {
        foreach (Telling one in _tellings)
        {
            if (one.OwnsBits && one.Covers(address) && (one.Due & due) != 0)
            {
                return one;
            }
        }
        return null;
    }

    /// <summary>The pages of a slot that goes have no bits any more. Under the gate.</summary>
    public void Disown(ulong start, ulong end)
    {
        foreach (Telling one in _tellings)
        {
            one.OwnsBits &= !one.Overlaps(start, end);
        }
    }

    /// <summary>Whether the calling thread is just telling of a page: then it may write there.</summary>
    public bool IsMine(ulong address)
    {
        lock (Gate)
        {
            foreach (Telling one in _tellings)
            {
                if (one.Thread == View.CurrentThread && one.Covers(address))
                {
                    return true;
                }
            }
            return false;
        }
    }

    /// <summary>Returns when what others tell now of start..end-1 is told. In no section, with no lock, and not in a callback.</summary>
    public void WaitForOthers(ulong start, ulong end)
    {
        long now = Volatile.Read(ref _tickets);
        SpinWait spin = default;
        while (IsActive && IsTold(start, end, now))
        {
            Probe.At(Place.Waiting);
            spin.SpinOnce();
        }
    }

    private bool IsTold(ulong start, ulong end, long until)
    {
        lock (Gate)
        {
            foreach (Telling one in _tellings)
            {
                if (one.Ticket <= until && one.Thread != View.CurrentThread && one.Overlaps(start, end))
                {
                    return true;
                }
            }
            return false;
        }
    }
}
