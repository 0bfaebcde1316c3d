using System;

namespace GmapNative.Space;

/// <summary>What the guest may do to a page: <c>GMAP_PROT_*</c>.</summary>
[Flags]
internal enum Protection : uint
{
    None = 0,
    Read = 1,
    Write = 2,
}

/// <summary>What a page is armed for, and how: <c>GMAP_NOTIFY_*</c>.</summary>
[Flags]
internal enum NotifyFlags : uint
{
    None = 0,

    /// <summary>After the mapping was weakened (rule 29).</summary>
    Change = 0x1,

    /// <summary>Before the first write (rule 30).</summary>
    Write = 0x2,

    /// <summary>Whichever of both comes first.</summary>
    Shadow = 0x4,

    /// <summary>Disarm instead.</summary>
    Cancel = 0x100,

    /// <summary>Only pages that are mapped now, with the rights asked for.</summary>
    Mapped = 0x200,
}

/// <summary>Somebody who is told about armed pages (Notify).</summary>
internal interface INotifier
{
    /// <summary>
    /// Pages first..last (inclusive addresses) were taken for <paramref name="kind"/>; whether a callback ran. In no section, with no lock
    /// held (rule 31).
    /// </summary>
    bool Tell(ulong first, ulong last, NotifyFlags kind);
}
