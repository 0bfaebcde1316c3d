using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>
/// What shadows do to the space below them. They are caches: when they forget a page, and it is watched no longer, is theirs to decide.
/// Where that makes a difference (what watched pages are spared), both is right, and <see cref="Look"/> tells which it is.
/// </summary>
internal sealed partial class ReferenceSpace
{
    private readonly HashSet<ulong> _shadowed = []; // pages that shadows armed once

    /// <summary>What the engine says now of an address, for a load or a store.</summary>
    public Func<ulong, bool, Answer>? Look { get; set; }

    public bool MayBeShadowed(ReferenceSlot slot) => _shadowed.Any(page => slot.Covers(page << 12, 1));

    /// <summary>Whether entries of a segment may bear markers, for which the inline header does not grant.</summary>
    public bool MayHaveMarkers(ulong address) =>
        _shadowed.Count != 0 && Pages(address >> 20 << 8, 256).Any(_shadowed.Contains);

    /// <summary>
    /// Dirty pages that were granted again and had asked because of shadows: they count as granted, as others do, if their entries had
    /// lost their markers by then.
    /// </summary>
    public long MayCountAsGranted { get; private set; }

    /// <summary>A page with a piece of a table: it is mapped by itself, for loads, and its next write asks.</summary>
    public Answer ShadowTable(ulong address)
    {
        Answer answer = Fault(address, write: false);
        answer = answer.Status is 0 or Status.TryAgain && !Find(address)!.IsPlain ? new(Status.NotSupported) : answer;
        if (answer.Status != 0 || !TrySplitFor(address, GuestAddress.PageShift))
        {
            return answer.Status != 0 ? answer : new(Status.NotSupported);
        }
        ulong page = address >> 12;
        MakeWatchTables(page >> 8 << 20, (page >> 8 << 20) + GuestAddress.SegmentSize);
        _ = _pages[page] && _asks.Add(page);
        _shadowed.Add(page);
        return default;
    }

    /// <summary>What an access of the inner guest leads to, mapped by 2^shift bytes at most; it is not armed yet.</summary>
    public Answer ShadowAccess(ulong address, bool write, int shift)
    {
        Answer answer = Fault(address, write);
        answer = answer.Status is 0 or Status.TryAgain && !Find(address)!.IsPlain ? new(Status.NotSupported) : answer;
        return answer.Status == 0 && !TrySplitFor(address, shift) ? new(Status.NotSupported) : answer;
    }

    /// <summary>And now it is.</summary>
    public void ShadowMemory(ulong address)
    {
        ulong segment = address >> 20;
        MakeWatchTables(segment << 20, (segment << 20) + GuestAddress.SegmentSize);
        _shadowed.UnionWith(MappedWith(address >> 12));
    }

    private void GrantAfterShadows(ulong page)
    {
        _asks.Remove(page);
        MayCountAsGranted++;
    }

    /// <summary>Dirty pages that asked for shadows, and are armed no longer, get their right back when there is occasion for it.</summary>
    public void LookWhoAsks()
    {
        foreach (ulong page in _shadowed.Where(_asks.Contains).ToArray())
        {
            LookWhetherAsks(page);
        }
    }

    private bool AsksForHosts(ulong page) => _asks.Contains(page) && !_shadowed.Contains(page);

    private bool TrySplitFor(ulong address, int shift)
    {
        bool splits = _leaves.Contains(address >> 20) && shift < GuestAddress.SegmentShift;
        if (splits && policy != SplitPolicy.Never)
        {
            Split(address >> 20);
        }
        return !splits || policy != SplitPolicy.Never;
    }

    private bool StaysYoung(ulong page) =>
        _shadowed.Count != 0 && MappedWith(page).Any(_shadowed.Contains) && Look!(page << 12, false).Reason != FaultReason.NeedsFault;

    private bool StaysTable(ulong segment)
    {
        if (!MayHaveMarkers(segment << 20))
        {
            return false;
        }
        Answer answer = Look!(segment << 20, false);
        return answer.LeafSize != GuestAddress.SegmentSize && answer.Status != Status.SegmentTranslation;
    }

    /// <summary>As long as a page was aged nobody could tell whether its next write asks.</summary>
    private void UseFor(ulong address, bool write)
    {
        bool looks = _aged.Contains(address >> 12) && !write;
        Use(address);
        if (looks)
        {
            LookWhetherAsks(address >> 12);
        }
    }

    /// <summary>A page that is armed for hosts no longer may be armed for shadows.</summary>
    private void LookWhetherAsks(ulong page)
    {
        if (_shadowed.Contains(page) && _tables.Contains(page >> 8) && _pages.GetValueOrDefault(page) && !_aged.Contains(page)
            && !Forbids(page << 12, write: true))
        {
            bool asks = Look!(page << 12, true).Status != Status.Ok;
            _ = asks ? _asks.Add(page) : _asks.Remove(page);
        }
    }
}
