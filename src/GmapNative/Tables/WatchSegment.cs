using System;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>What is to be known of a page before it is mapped, granted or taken away: its watch halfword (rule 28).</summary>
[Flags]
internal enum WatchBits : ushort
{
    None = 0,
    NoWrite = 0x001,
    NoRead = 0x002,

    /// <summary>Armed by hosts: told once, after the mapping was weakened (rule 29), before the first write (rule 30), or either.</summary>
    Change = 0x004,
    Write = 0x008,
    Shadow = 0x010,

    /// <summary>Taken, and not told yet.</summary>
    ChangeDue = 0x020,

    /// <summary>The same; or a guest's table was weakened, and what hung there may still be used. Hosts do not hear of that.</summary>
    WriteDue = 0x040,
    ShadowDue = 0x080,

    /// <summary>Armed by shadows (rule 35): they map the page. Hosts do not hear of it.</summary>
    Inner = 0x100,

    /// <summary>Armed by shadows: a piece of a guest's table is in the page.</summary>
    Table = 0x200,

    Restricted = NoWrite | NoRead,
    ByHosts = Change | Write | Shadow,
    ByShadows = Inner | Table,
    Armed = ByHosts | ByShadows,
    Due = ChangeDue | WriteDue | ShadowDue,

    /// <summary>What a weakened mapping takes.</summary>
    Weakened = Change | Shadow | ByShadows,

    /// <summary>What has to be told before a write.</summary>
    BeforeWrite = Write | Shadow | Table,

    /// <summary>Is being told before a write, or will be.</summary>
    BeforeWriteDue = WriteDue | ShadowDue,

    /// <summary>The first write asks: the entry has P = 1.</summary>
    Gate = NoWrite | BeforeWrite | BeforeWriteDue,

    /// <summary>The entry has the marker of shadows.</summary>
    Shadowed = Shadow | Table,
    All = Restricted | Armed | Due,
}

internal static class WatchBit
{
    private const int ToDue = 3;

    /// <summary>The due bits of armed ones: what hosts armed is told, and nobody writes to a table that is taken.</summary>
    public static WatchBits DueOf(WatchBits armed) =>
        ToldOf(armed) | ((armed & WatchBits.Table) != 0 ? WatchBits.WriteDue : WatchBits.None);

    /// <summary>Those of them that hosts hear of.</summary>
    public static WatchBits ToldOf(WatchBits armed) => (WatchBits)((int)(armed & WatchBits.ByHosts) << ToDue);
}

/// <summary>The watch halfwords of what one leaf may map.</summary>
internal interface IWatches
{
    /// <summary>No page was ever watched.</summary>
    bool IsNone { get; }

    /// <summary>Whether a page has one of <paramref name="bits"/>.</summary>
    bool Any(WatchBits bits);

    /// <summary>Whether all pages are alike in <paramref name="bits"/>.</summary>
    bool Agree(WatchBits bits);
}

/// <summary>The watch halfwords of one segment: 256, four to a word. Valid like <see cref="PageTable"/>.
/// Any thread changes them, by compare-and-swap of a word.</summary>
internal readonly unsafe struct WatchSegment(ulong* words) : IWatches
{
    public const int Pages = GuestAddress.PageTableEntries;
    public const int Words = Pages / WordPages;
    private const int WordPages = 4;
    private const int PageBits = 16;
    private const ulong Each = 0x0001_0001_0001_0001;

    private readonly ulong* _words = words; // inside a watch table, whose segment table is not reused before a grace; null: none

    /// <inheritdoc/>
    public bool IsNone => _words == null;

    public WatchBits Of(int page) => IsNone ? WatchBits.None : (WatchBits)Volatile.Read(ref ((ushort*)_words)[page]);

    /// <inheritdoc/>
    public bool Any(WatchBits bits) => (Union() & bits) != 0;

    /// <summary>Everything that some page has.</summary>
    public WatchBits Union()
    {
        ulong any = 0;
        for (int i = 0; i < Words && !IsNone; i++)
        {
            any |= Volatile.Read(ref _words[i]);
        }
        return Union(any);
    }

    /// <inheritdoc/>
    public bool Agree(WatchBits bits)
    {
        ulong first = Each * (ushort)(Of(0) & bits);
        ulong other = 0;
        for (int i = 0; i < Words && !IsNone; i++)
        {
            other |= (Volatile.Read(ref _words[i]) & (Each * (ushort)bits)) ^ first;
        }
        return other == 0;
    }

    /// <summary>The first page in first..end-1 that has one of <paramref name="bits"/>, or <paramref name="end"/>.</summary>
    public int Next(int first, int end, WatchBits bits)
    {
        int page = IsNone ? end : first;
        while (page < end)
        {
            ulong word = Volatile.Read(ref _words[page / WordPages]) & (Each * (ushort)bits);
            word >>= PageBits * (page % WordPages);
            if (word != 0)
            {
                return Math.Min(end, page + (BitOperations.TrailingZeroCount(word) / PageBits));
            }
            page = (page | (WordPages - 1)) + 1;
        }
        return end;
    }

    /// <summary>Sets bits of all pages, a word at a time.</summary>
    public void SetAll(WatchBits bits)
    {
        for (int i = 0; i < Words; i++)
        {
            Interlocked.Or(ref _words[i], Each * (ushort)bits);
        }
    }

    /// <summary>Changes a page's if it is <paramref name="seen"/>; else that is what it is now.</summary>
    public bool TryReplace(int page, ref WatchBits seen, WatchBits value)
    {
        ref ulong word = ref _words[page / WordPages];
        int shift = PageBits * (page % WordPages);
        for (; ; )
        {
            ulong before = Volatile.Read(ref word);
            if ((WatchBits)(ushort)(before >> shift) != seen)
            {
                seen = (WatchBits)(ushort)(before >> shift);
                return false;
            }
            ulong after = (before & ~((ulong)ushort.MaxValue << shift)) | ((ulong)value << shift);
            if (Interlocked.CompareExchange(ref word, after, before) == before)
            {
                return true; // else a neighbour's may have changed
            }
        }
    }

    /// <summary>Sets and clears bits of a page; what it had.</summary>
    public WatchBits Change(int page, WatchBits clear, WatchBits set)
    {
        WatchBits seen = Of(page);
        while (!TryReplace(page, ref seen, (seen & ~clear) | set))
        {
        }
        return seen;
    }

    /// <summary>What one of the pages of a word has.</summary>
    public static WatchBits Union(ulong word)
    {
        word |= word >> (2 * PageBits);
        return (WatchBits)(ushort)(word | (word >> PageBits));
    }
}
