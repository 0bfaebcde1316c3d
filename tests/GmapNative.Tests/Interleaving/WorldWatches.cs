using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>
/// Watched pages: what was asked for, what is armed since a gmap_protect returned, and what was told. No armed page is stored to before the
/// callback is over; none is weaker when the call that did it has returned, and untold; nothing is told more often than armed, and nothing
/// allowed that is forbidden.
/// </summary>
internal sealed unsafe partial class World
{
    private readonly Dictionary<int, Watched> _watched = [];
    private readonly Dictionary<Actor, (int First, int Last, List<Watched> Armed)> _weakening = [];
    private Notifier? _notifier;
    private bool _isUnregistered;

    /// <summary>No store goes by a right that was told to be gone: there is one call that takes it.</summary>
    public bool ToldIsGone { get; set; }

    /// <summary>And nobody maps the page again.</summary>
    public bool StaysGone { get; set; }

    private sealed class Watched
    {
        public int Page { get; init; }

        /// <summary>Of the last arming; it is armed since its call returned, if nothing was told after it.</summary>
        public int Number { get; set; }

        public bool AwaitsWrite { get; set; }

        public bool AwaitsChange { get; set; }

        /// <summary>Of the arming that <see cref="AwaitsWrite"/> is about.</summary>
        public int AwaitNumber { get; set; }

        public int Armings { get; set; }

        public int Tellings { get; set; }

        public bool IsForbidden { get; set; }

        public bool WasToldGone { get; set; }

        public bool AsksWrite { get; set; }

        public bool AsksChange { get; set; }
    }

    /// <summary>Registers the notifier of all kinds.</summary>
    public void Notify()
    {
        if (Notifier.TryRegister(Test.Space, Notifier.AllKinds, Tell, out _notifier) != Status.Ok)
        {
            Fail("register");
        }
    }

    public void Unregister()
    {
        foreach (Watched one in _watched.Values)
        {
            one.AwaitsWrite = one.AwaitsChange = false; // from now on it may be that nobody is told
        }
        int status = _notifier!.Unregister();
        _isUnregistered = true;
        if (status != Status.Ok)
        {
            Fail($"unregister: {status}");
        }
    }

    public void Protect(int first, int pages, Protection protection, NotifyFlags notify)
    {
        Watched[] range = [.. TestSpace.Range(first, pages).Select(WatchOf)];
        bool cancels = (notify & NotifyFlags.Cancel) != 0;
        bool writes = (notify & (NotifyFlags.Write | NotifyFlags.Shadow)) != 0;
        bool changes = (notify & (NotifyFlags.Change | NotifyFlags.Shadow)) != 0;
        int[] numbers = [.. range.Select(one => ++one.Number)];
        foreach (Watched one in range)
        {
            one.IsForbidden &= (protection & Protection.Write) == 0;
            one.Armings += !cancels && (writes || changes) ? 1 : 0;
            one.AsksWrite = writes && !cancels;
            one.AsksChange = changes && !cancels;
            one.AwaitsWrite &= !(cancels && writes);
            one.AwaitsChange &= !(cancels && changes);
        }
        int status = RangeProtector.Protect(Test.Space, AddressOf(first), (ulong)pages * TestSpace.Page, protection, notify);
        if (status is not (Status.Ok or Status.TryAgain))
        {
            Fail($"protect: {status}");
        }
        foreach ((Watched one, int number) in range.Zip(numbers))
        {
            bool last = one.Number == number && status == Status.Ok;
            one.AwaitNumber = last && one.AsksWrite ? number : one.AwaitNumber;
            one.AwaitsWrite |= last && one.AsksWrite;
            one.AwaitsChange |= last && one.AsksChange && (notify & NotifyFlags.Mapped) != 0;
            one.IsForbidden |= status == Status.Ok && (protection & Protection.Write) == 0;
        }
    }

    /// <summary>A call begins that may take rights from pages.</summary>
    public void BeginWeakening(Actor actor, int first, int pages)
    {
        List<Watched> armed = [.. _watched.Values.Where(one => one.AwaitsChange && one.Page >= first && one.Page < first + pages)];
        _weakening.Add(actor, (first, first + pages - 1, armed));
    }

    /// <summary>It has returned: what was armed when it began and is still untold is still writable, but for what others are at.</summary>
    public void EndWeakening(Actor actor)
    {
        _ = _weakening.Remove(actor, out (int First, int Last, List<Watched> Armed) call);
        foreach (Watched one in call.Armed)
        {
            bool others = _weakening.Values.Any(other => other.First <= one.Page && one.Page <= other.Last);
            if (!others && one.AwaitsChange && !IsWritable(one.Page))
            {
                Fail($"page {one.Page} was weakened untold");
            }
        }
    }

    /// <summary>A store is visible.</summary>
    private void CheckStore(int page)
    {
        if (_watched.TryGetValue(page, out Watched? one))
        {
            if (one.AwaitsWrite)
            {
                Fail($"page {page} was written untold");
            }
            if (one.IsForbidden)
            {
                Fail($"page {page} was written though that is forbidden");
            }
            if (one.WasToldGone && !IsWritable(page))
            {
                Fail($"page {page} was written by a right that was told to be gone");
            }
        }
    }

    private void FinishWatches()
    {
        foreach (Watched one in _watched.Values.Where(one => one.AwaitsChange && !IsWritable(one.Page)))
        {
            Fail($"page {one.Page} is weaker at the end, untold");
        }
        if (_notifier is not null && !_isUnregistered)
        {
            Unregister();
        }
    }

    private Watched WatchOf(int page)
    {
        if (!_watched.TryGetValue(page, out Watched? one))
        {
            _watched.Add(page, one = new Watched { Page = page });
        }
        return one;
    }

    /// <summary>The callback.</summary>
    private void Tell(ulong first, ulong last, NotifyFlags kind)
    {
        Watched[] range = [.. _watched.Values.Where(one => AddressOf(one.Page) >= first && AddressOf(one.Page) <= last)];
        int[] numbers = [.. range.Select(one => one.Number)]; // of the armings that may be told here
        foreach (Watched one in range)
        {
            one.Tellings++;
            if (one.Tellings > one.Armings && first / TestSpace.Page == last / TestSpace.Page)
            {
                Fail($"page {one.Page} was told {one.Tellings} times, armed {one.Armings} times");
            }
            if (kind != NotifyFlags.Write)
            {
                one.AsksChange = one.AwaitsChange = false;
                one.WasToldGone |= ToldIsGone;
                if (StaysGone && IsWritable(one.Page))
                {
                    Fail($"page {one.Page} was told to be gone, and is not");
                }
            }
        }
        CheckRegistered();
        Pause("callback");
        CheckRegistered();
        foreach ((Watched one, int number) in range.Zip(numbers))
        {
            if (kind != NotifyFlags.Change)
            {
                one.AsksWrite &= one.Number != number; // another call may have armed it again meanwhile
                one.AwaitsWrite &= one.AwaitNumber > number;
            }
        }
    }

    private void CheckRegistered()
    {
        if (_isUnregistered)
        {
            Fail("a callback runs that was unregistered");
        }
    }

    /// <summary>Whether a store to a page would go through; no place is passed.</summary>
    private bool IsWritable(int page)
    {
        if (!Test.Space.Tree.TryFindCell(AddressOf(page), out SegmentCell cell))
        {
            return false;
        }
        SegmentEntry entry = cell.Load();
        if (!entry.IsTable)
        {
            return entry.IsLeaf && !entry.IsInvalid && !entry.IsProtected;
        }
        PageEntry found = new PageTable(entry.TableOrigin).Load(page % GuestAddress.PageTableEntries);
        return !found.IsInvalid && !found.IsProtected;
    }
}
