using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Tracing;

namespace GmapNative;

/// <summary>
/// The event source of the diagnostic flavour: what the engine does, for dotnet-trace and its like. The rooms reach it through
/// <see cref="Tell"/>, which is nothing in the shipped library.
/// </summary>
/// <remarks>
/// Numbers, names and payloads are what traces on disk are read by: they only grow. A space is known by its number in the process
/// (1, 2, ...), a duration by its nanoseconds.
/// </remarks>
[EventSource(Name = ProviderName)]
[SuppressMessage("Performance", "CA1822:Mark members as static", Justification = "An event is an instance method.")]
internal sealed unsafe class GmapEvents : EventSource
{
    public const string ProviderName = "GmapNative";

    private GmapEventCounters? _counters;

    private GmapEvents()
    {
    }

    /// <summary>Who may be listened to, one bit each.</summary>
    public static class Keywords
    {
        public const EventKeywords Faults = (EventKeywords)0x1;
        public const EventKeywords Splits = (EventKeywords)0x2;
        public const EventKeywords Harvests = (EventKeywords)0x4;
        public const EventKeywords Grace = (EventKeywords)0x8;
        public const EventKeywords Slots = (EventKeywords)0x10;
        public const EventKeywords Arena = (EventKeywords)0x20;
        public const EventKeywords Backings = (EventKeywords)0x40;
        public const EventKeywords Shadows = (EventKeywords)0x80;
        public const EventKeywords Notifiers = (EventKeywords)0x100;
    }

    public static GmapEvents Log { get; } = new();

    /// <summary>A fault that mapped or split something, or took long.</summary>
    [Event(1, Level = EventLevel.Informational, Keywords = Keywords.Faults)]
    public void SlowFault(ulong space, ulong address, uint access, uint done, long ns) =>
        WriteFault(1, space, address, access, done, ns);

    /// <summary>Every fault; the slow ones come as <see cref="SlowFault"/> too.</summary>
    [Event(2, Level = EventLevel.Verbose, Keywords = Keywords.Faults)]
    public void Fault(ulong space, ulong address, uint access, uint done, long ns) =>
        WriteFault(2, space, address, access, done, ns);

    /// <summary>A leaf was split; lost: another thread was first, and the table that was made went back.</summary>
    [Event(3, Level = EventLevel.Informational, Keywords = Keywords.Splits)]
    public void Split(ulong space, ulong address, bool lost)
    {
        int flag = lost ? 1 : 0; // a bool is four bytes in an event
        EventData* data = stackalloc EventData[] { Of(&space), Of(&address), Of(&flag) };
        Write(3, 3, data);
    }

    /// <summary>A slot began to log.</summary>
    [Event(4, Level = EventLevel.Informational, Keywords = Keywords.Slots)]
    public void Arm(ulong space, uint slot, ulong pages, long ns)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&slot), Of(&pages), Of(&ns) };
        Write(4, 4, data);
    }

    [Event(5, Level = EventLevel.Informational, Keywords = Keywords.Harvests)]
    public void HarvestBegin(ulong space, uint slot, ulong firstPage, ulong pages, uint flags)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&slot), Of(&firstPage), Of(&pages), Of(&flags) };
        Write(5, 5, data);
    }

    [Event(6, Level = EventLevel.Informational, Keywords = Keywords.Harvests)]
    public void HarvestEnd(ulong space, uint slot, ulong dirtyPages, long ns, int status)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&slot), Of(&dirtyPages), Of(&ns), Of(&status) };
        Write(6, 5, data);
    }

    [Event(7, Level = EventLevel.Informational, Keywords = Keywords.Grace)]
    public void GraceWait(ulong space, long ns, int status)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&ns), Of(&status) };
        Write(7, 3, data);
    }

    /// <summary>gmap_slot_set, refused ones included; size 0 deletes.</summary>
    [Event(8, Level = EventLevel.Informational, Keywords = Keywords.Slots)]
    public void SlotChange(ulong space, uint slot, ulong guestAddress, ulong size, uint flags, int status)
    {
        EventData* data = stackalloc EventData[]
        {
            Of(&space), Of(&slot), Of(&guestAddress), Of(&size), Of(&flags), Of(&status),
        };
        Write(8, 6, data);
    }

    [Event(9, Level = EventLevel.Informational, Keywords = Keywords.Slots)]
    public void Unmap(ulong space, ulong address, ulong size, long ns, int status)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&address), Of(&size), Of(&ns), Of(&status) };
        Write(9, 5, data);
    }

    /// <summary>An arena committed more: blocks for tables, or a slot's log.</summary>
    [Event(10, Level = EventLevel.Informational, Keywords = Keywords.Arena)]
    public void ArenaGrowth(ulong bytes, ulong committed, ulong locked)
    {
        EventData* data = stackalloc EventData[] { Of(&bytes), Of(&committed), Of(&locked) };
        Write(10, 3, data);
    }

    [Event(11, Level = EventLevel.Warning, Keywords = Keywords.Backings)]
    public void BackingTrouble(string message) => WriteEvent(11, message);

    /// <summary>The arena is exhausted, or memory could not be locked.</summary>
    [Event(12, Level = EventLevel.Warning, Keywords = Keywords.Arena)]
    public void MemoryRefused(string what) => WriteEvent(12, what);

    /// <summary>A page table became a 1 MB leaf again.</summary>
    [Event(13, Level = EventLevel.Informational, Keywords = Keywords.Splits)]
    public void Collapse(ulong space, ulong address)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&address) };
        Write(13, 2, data);
    }

    /// <summary>gmap_shadow_open, refused ones included (then shadow is 0); the faults of a shadow come under its number.</summary>
    [Event(14, Level = EventLevel.Informational, Keywords = Keywords.Shadows)]
    public void ShadowOpen(ulong space, ulong shadow, ulong asce, uint edat, int status)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&shadow), Of(&asce), Of(&edat), Of(&status) };
        Write(14, 5, data);
    }

    /// <summary>Before a grace of a space things went that hung on its pages: tables of guests, mapped pages and leaves.</summary>
    [Event(15, Level = EventLevel.Informational, Keywords = Keywords.Shadows)]
    public void Unshadow(ulong space, long hangs, long ns)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&hangs), Of(&ns) };
        Write(15, 3, data);
    }

    /// <summary>A notifier was called; the kind is one of GMAP_NOTIFY_CHANGE, WRITE, SHADOW.</summary>
    [Event(16, Level = EventLevel.Informational, Keywords = Keywords.Notifiers)]
    public void Notify(ulong space, ulong first, ulong last, uint kind, long ns)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&first), Of(&last), Of(&kind), Of(&ns) };
        Write(16, 5, data);
    }

    /// <summary>The counters begin when somebody first listens.</summary>
    protected override void OnEventCommand(EventCommandEventArgs command)
    {
        if (command.Command == EventCommand.Enable)
        {
            _counters ??= new GmapEventCounters(this);
        }
    }

    protected override void Dispose(bool disposing)
    {
        _counters?.Dispose();
        base.Dispose(disposing);
    }

    [NonEvent]
    private void WriteFault(int id, ulong space, ulong address, uint access, uint done, long ns)
    {
        EventData* data = stackalloc EventData[] { Of(&space), Of(&address), Of(&access), Of(&done), Of(&ns) };
        Write(id, 5, data);
    }

    [NonEvent]
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "The payloads are primitive: nothing is reflected upon.")]
    private void Write(int id, int count, EventData* data) => WriteEventCore(id, count, data);

    /// <summary>A value on the caller's stack, which lives until the event is written.</summary>
    private static EventData Of<T>(T* value)
        where T : unmanaged => new() { DataPointer = (nint)value, Size = sizeof(T) };
}
