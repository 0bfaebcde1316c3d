using System;
using System.Diagnostics.Tracing;
using System.Threading;

namespace GmapNative.TracePlayer;

/// <summary>The events of the library's trace flavour, by their numbers and fields.</summary>
[EventSource(Name = "GmapNative")]
internal sealed class PlayedEvents : EventSource
{
    /// <summary>By this name the event source finds them.</summary>
    public static class Keywords
    {
        public const EventKeywords Faults = (EventKeywords)0x1;
        public const EventKeywords Splits = (EventKeywords)0x2;
        public const EventKeywords Harvests = (EventKeywords)0x4;
        public const EventKeywords Grace = (EventKeywords)0x8;
        public const EventKeywords Slots = (EventKeywords)0x10;
        public const EventKeywords Arena = (EventKeywords)0x20;
        public const EventKeywords Backings = (EventKeywords)0x40;
    }

    [Event(1, Keywords = Keywords.Faults)]
    public void SlowFault(ulong space, ulong address, uint access, uint done, long ns) => WriteEvent(1, space, address, access, done, ns);

    [Event(2, Keywords = Keywords.Faults, Level = EventLevel.Verbose)]
    public void Fault(ulong space, ulong address, uint access, uint done, long ns) => WriteEvent(2, space, address, access, done, ns);

    [Event(3, Keywords = Keywords.Splits)]
    public void Split(ulong space, ulong address, bool lost) => WriteEvent(3, space, address, lost);

    [Event(4, Keywords = Keywords.Harvests)]
    public void Arm(ulong space, uint slot, ulong pages, long ns) => WriteEvent(4, space, slot, pages, ns);

    [Event(5, Keywords = Keywords.Harvests)]
    public void HarvestBegin(ulong space, uint slot, ulong firstPage, ulong pages, uint flags) =>
        WriteEvent(5, space, slot, firstPage, pages, flags);

    [Event(6, Keywords = Keywords.Harvests)]
    public void HarvestEnd(ulong space, uint slot, ulong dirtyPages, long ns, int status) =>
        WriteEvent(6, space, slot, dirtyPages, ns, status);

    [Event(7, Keywords = Keywords.Grace)]
    public void GraceWait(ulong space, long ns, int status) => WriteEvent(7, space, ns, status);

    [Event(8, Keywords = Keywords.Slots)]
    public void SlotChange(ulong space, uint slot, ulong guestAddress, ulong size, uint flags, int status) =>
        WriteEvent(8, space, slot, guestAddress, size, flags, status);

    [Event(9, Keywords = Keywords.Slots)]
    public void Unmap(ulong space, ulong address, ulong size, long ns, int status) => WriteEvent(9, space, address, size, ns, status);

    [Event(10, Keywords = Keywords.Arena)]
    public void ArenaGrowth(ulong bytes, ulong committed, ulong locked) => WriteEvent(10, bytes, committed, locked);

    [Event(11, Keywords = Keywords.Backings, Level = EventLevel.Warning)]
    public void BackingTrouble(string text) => WriteEvent(11, text);

    [Event(12, Keywords = Keywords.Arena, Level = EventLevel.Warning)]
    public void MemoryRefused(string text) => WriteEvent(12, text);
}

/// <summary>Plays a run whose events are known when somebody listens, says so, and ends when its input does.</summary>
internal static class Program
{
    private const int Rounds = 5;

    public static int Main()
    {
        using var events = new PlayedEvents();
        Console.WriteLine(events.ConstructionException?.ToString() ?? "ready");
        if (!SpinWait.SpinUntil(() => events.IsEnabled(EventLevel.Verbose, (EventKeywords)0x7F), 30_000))
        {
            return 1;
        }
        events.SlotChange(1, 7, 0, 512UL << 12, 2, 0);
        events.ArenaGrowth(1 << 20, 2 << 20, 2 << 20);
        events.Arm(1, 7, 512, 250_000);
        for (uint round = 0; round < Rounds; round++)
        {
            Play(events, round);
            Thread.Sleep(20);
        }
        events.Unmap(1, 0, 3UL << 20, 1000, 0);
        events.BackingTrouble("a scan failed <here> & there");
        events.MemoryRefused("no table");
        Console.WriteLine("played");
        _ = Console.In.ReadToEnd();
        return 0;
    }

    /// <summary>Two slow faults, three others, a split, one that was lost in the last round, and a harvest with its grace.</summary>
    private static void Play(PlayedEvents events, uint round)
    {
        for (uint i = 0; i < 2; i++)
        {
            events.SlowFault(1, (round << 20) + (i << 12), 2, 6, 3_000_000);
            events.Fault(1, (round << 20) + (i << 12), 2, 6, 3_000_000); // every fault comes so, slow ones too
        }
        for (uint i = 0; i < 3; i++)
        {
            events.Fault(1, (round << 20) + (i << 12), 1, 0, 400);
        }
        events.Split(1, round << 20, false);
        if (round == Rounds - 1)
        {
            events.Split(1, round << 20, true);
        }
        events.HarvestBegin(1, 7, 0, 512, 0);
        Thread.Sleep(2);
        events.GraceWait(1, 1_500_000, 0);
        events.HarvestEnd(1, 7, 100 * (round + 1), 2_000_000, round == 2 ? -110 : 0);
    }
}
