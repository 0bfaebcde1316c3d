using System;
using System.Numerics;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>
/// The dirty state of a slot that is in no table, for each consumer of its own. Consumer 0 is built in: <c>gmap_dirty_*</c>.
/// </summary>
internal sealed class SlotTracking
{
    private const ulong WordBits = 64;

    private readonly DirtySink _builtIn;
    private DirtySink[] _sinks;

    private SlotTracking(DirtySink builtIn)
    {
        _builtIn = builtIn;
        _sinks = [builtIn];
    }

    /// <summary>The harvest lock of the slot. Never held over a grace: <c>gmap_dirty_get</c> takes it inside sections.</summary>
    public Lock Gate { get; } = new();

    /// <summary>
    /// The harvest turn, taken before <see cref="Gate"/> and kept while it is let go for the grace of a freeze (rule 20): whoever has it
    /// meets no frozen segment of the slot. Never taken in a section.
    /// </summary>
    public Lock Turn { get; } = new();

    /// <summary>Consumer 0.</summary>
    public DirtySink BuiltIn => _builtIn;

    /// <summary>Every consumer's, the built-in first. Changes under turn and lock; marks read it once in a section.</summary>
    public DirtySink[] Sinks => Volatile.Read(ref _sinks);

    /// <summary>Into every consumer's log.</summary>
    public Outlet Everyone => new(Sinks, _builtIn, _builtIn.Log);

    /// <summary>The same for pages that were written: they count. Under <see cref="Gate"/>.</summary>
    public Outlet EveryoneCounted => new(Sinks, _builtIn, _builtIn.Log, this);

    public DirtyRate Rate { get; } = new();

    /// <summary>The slot is withdrawn and everything that it knew is in the logs. Under <see cref="Gate"/>.</summary>
    public bool IsRetired { get; private set; }

    /// <summary>Null when the arena's budget is exhausted.</summary>
    public static SlotTracking? TryCreate(Arena arena, ulong pages)
    {
        DirtySink? builtIn = DirtySink.TryCreate(arena, pages);
        return builtIn is null ? null : new SlotTracking(builtIn);
    }

    /// <summary>Takes the harvest turn and the harvest lock.</summary>
    public void Take()
    {
        Probe.At(Place.TurnNext);
        Turn.Take();
        Gate.Take();
    }

    public void Exit()
    {
        Gate.Exit();
        Turn.Exit();
    }

    /// <summary>As <see cref="Take"/>, to the end of a using statement.</summary>
    public HeldTurn Hold()
    {
        Take();
        return new HeldTurn(this);
    }

    /// <summary>One consumer more. Under turn and lock, or before anybody knows the slot.</summary>
    public void Add(DirtySink sink) => Volatile.Write(ref _sinks, [.. _sinks, sink]);

    /// <summary>
    /// One less; marks that are under way may still set bits in it until the calls of now have ended. Under turn and lock.
    /// </summary>
    public void Remove(DirtySink sink) => Volatile.Write(ref _sinks, Array.FindAll(_sinks, one => one != sink));

    /// <summary>Marks a run of pages for every consumer; how many were clean for the built-in one. In a section (rule 15).</summary>
    public ulong Mark(ulong first, ulong count, int section)
    {
        DirtySink[] sinks = Sinks;
        ulong added = sinks[0].Log.MarkRange(first, count);
        ulong fresh = added; // for the consumer that took last, whose log has the fewest
        for (int i = 1; i < sinks.Length; i++)
        {
            fresh = Math.Max(fresh, sinks[i].Log.MarkRange(first, count));
        }
        Rate.CountMarked((long)fresh, section);
        return added;
    }

    /// <summary>The same for a bitmap of <paramref name="count"/> bits.</summary>
    public unsafe ulong MarkWords(ulong first, ulong count, ulong* words, int section)
    {
        DirtySink[] sinks = Sinks;
        ulong added = sinks[0].Log.MarkWords(first, count, words);
        ulong fresh = added;
        for (int i = 1; i < sinks.Length; i++)
        {
            fresh = Math.Max(fresh, sinks[i].Log.MarkWords(first, count, words));
        }
        Rate.CountMarked((long)fresh, section);
        return added;
    }

    /// <summary>The same for pages first..first+63 as <paramref name="mask"/> says, always by locked instructions.</summary>
    public int MarkMask(ulong first, ulong mask)
    {
        DirtySink[] sinks = Sinks;
        int added = sinks[0].Log.Or(first, mask);
        int fresh = added;
        for (int i = 1; i < sinks.Length; i++)
        {
            fresh = Math.Max(fresh, sinks[i].Log.Or(first, mask));
        }
        Rate.CountMarked(fresh, LibrarySections.Unknown);
        return added;
    }

    /// <summary>The same for addresses, as long as they lie in the slot; how many those were.</summary>
    public unsafe nuint MarkAddresses(ulong* addresses, nuint count, ulong start, ulong size, int section, ref ulong added)
    {
        DirtySink[] sinks = Sinks;
        ulong fresh = 0;
        nuint done = sinks[0].Log.MarkAddresses(addresses, count, start, size, Bits.GuestAddress.PageShift, ref fresh);
        added += fresh;
        for (int i = 1; i < sinks.Length; i++)
        {
            ulong others = 0;
            _ = sinks[i].Log.MarkAddresses(addresses, done, start, size, Bits.GuestAddress.PageShift, ref others);
            fresh = Math.Max(fresh, others);
        }
        Rate.CountMarked((long)fresh, section);
        return done;
    }

    /// <summary>
    /// How many of pages first..first+63 become dirty with a pour: those that some log does not have, of what is taken from its source.
    /// Who only looks (its <paramref name="looker"/>) puts them into one log, and they stay where they are: those count that the take will
    /// find in all logs. Under <see cref="Gate"/>.
    /// </summary>
    public ulong FreshOf(ulong first, ulong mask, DirtySink? looker)
    {
        ulong inAll = mask;
        foreach (DirtySink sink in _sinks)
        {
            inAll &= sink == looker ? mask : sink.Log.PeekSparse(first);
        }
        ulong fresh = looker is null ? mask & ~inAll : inAll & ~looker.Log.PeekSparse(first);
        return (ulong)BitOperations.PopCount(fresh);
    }

    /// <summary>
    /// Whether the log of some consumer has nothing in the blocks of a run: all that is taken there now is fresh, and counts without a
    /// look at each word (<see cref="FreshOf"/>).
    /// </summary>
    public bool HasClearLog(ulong first, ulong count)
    {
        foreach (DirtySink sink in _sinks)
        {
            if (sink.Log.IsBlank(first, count))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// Makes every consumer forget a run of pages, except those to whom a discard is a change; how many were dirty for the built-in one.
    /// Takes <see cref="Gate"/>. <paramref name="onlyTell"/>: nobody forgets anything, since a kernel goes on reporting it.
    /// </summary>
    public ulong Drop(ulong first, ulong count, bool onlyTell)
    {
        using (Gate.Hold())
        {
            ulong dropped = 0;
            foreach (DirtySink sink in Sinks)
            {
                ulong before = onlyTell && !sink.CountsDiscards ? 0 : Drop(sink, first, count);
                dropped += sink == _builtIn ? before : 0;
            }
            return dropped;
        }
    }

    /// <summary>
    /// After the calls that were running when the slot was withdrawn, under <see cref="Gate"/>. What other consumers have to get is
    /// theirs from now on.
    /// </summary>
    public void Retire()
    {
        IsRetired = true;
        _builtIn.Free();
    }

    /// <summary>Gives everything back. Nobody knows the slot.</summary>
    public void Free()
    {
        foreach (DirtySink sink in _sinks)
        {
            sink.Free();
        }
    }

    private static ulong Drop(DirtySink sink, ulong first, ulong count)
    {
        ulong dropped = 0;
        ulong end = first + count;
        if (sink.CountsDiscards && !Probe.LeavesOut(Step.DiscardUntold))
        {
            return sink.Log.OrRange(first, count);
        }
        for (ulong at = sink.Skip(first, end); at < end; at = sink.Skip(at + WordBits, end))
        {
            ulong bits = (sink.Log.Peek(at) | sink.Epoch.Peek(at)) & PinnedBitmap.RunMask(0, (int)Math.Min(WordBits, end - at));
            sink.Log.Clear(at, bits);
            sink.Epoch.Clear(at, bits);
            dropped += (ulong)BitOperations.PopCount(bits);
        }
        return dropped;
    }
}

/// <summary>A harvest turn and lock that are held until the end of a using statement.</summary>
internal readonly ref struct HeldTurn(SlotTracking tracking) : IDisposable
{
    public void Dispose() => tracking.Exit();
}
