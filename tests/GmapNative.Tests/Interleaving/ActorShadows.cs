using System.Collections.Generic;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>What a thread does as the inner guest, and as the guest that has the tables.</summary>
internal sealed unsafe partial class Actor
{
    private readonly Dictionary<(Inner, ulong), (ulong Generation, nint Host)> _innerCache = [];

    /// <summary>A store of the inner guest to a page of its segment 1, or of its leaf, in a section of its own.</summary>
    public void InnerWrite(int page, Inner space = Inner.First, bool leaf = false) =>
        InnerWrite(world.ShadowOf(space), space, World.InnerAddress(space, page, leaf), cached: false);

    /// <summary>The same as hosts do it that keep translations as long as the generation is the same.</summary>
    public void InnerWriteCached(int page, Inner space = Inner.First, bool leaf = false) =>
        InnerWrite(world.ShadowOf(space), space, World.InnerAddress(space, page, leaf), cached: true);

    public void InnerRead(int page, Inner space = Inner.First, bool leaf = false) => InnerRead(page, space, leaf, cached: false);

    public void InnerReadCached(int page, Inner space = Inner.First, bool leaf = false) => InnerRead(page, space, leaf, cached: true);

    /// <summary>Opens a shadow, stores through it, and closes it; nothing if there is no room.</summary>
    public void InnerSession(Inner space, int page)
    {
        world.Pause("open begins");
        int status = world.Open(space, out ShadowSpace? shadow);
        if (status == Status.Busy)
        {
            return;
        }
        Expect(status, "open");
        _ = world.OpenInnerView(this, shadow!);
        InnerWrite(shadow!, space, World.InnerAddress(space, page, leaf: false), cached: false);
        world.CloseInnerView(this, shadow!);
        world.Pause("close begins");
        Expect(shadow!.Family.Close(shadow), "close");
    }

    /// <summary>The outer guest's store of an entry for a page; -1: invalid. By the header, with its mark in the page, too.</summary>
    public void Rewrite(int table, int index, int page)
    {
        Enter();
        WriteInside(table);
        world.Pause("the entry is next");
        World.Plant(table, index, page < 0 ? 0x400 : World.AddressOf(page));
        Leave();
    }

    /// <summary>The host's, for its guest: gmap_write.</summary>
    public void RewriteByHost(int table, int index, int page)
    {
        _ = world.BeginStore(Index, table);
        ulong entry = System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(World.AddressOf(page)); // on this frame
        int status = FaultResolver.Watched;
        while (status == FaultResolver.Watched)
        {
            int section = LibrarySections.Enter();
            ulong address = World.AddressOf(table) + ((ulong)index * 8);
            status = world.Test.Space.Host.Write(address, (byte*)&entry, sizeof(ulong), out ulong asks);
            LibrarySections.Leave(section);
            if (status == FaultResolver.Watched)
            {
                int told = world.Test.Space.Watches.SettleWrite(asks, byHost: true);
                status = told != Status.Ok ? told : status;
            }
        }
        world.EndStore(table);
        Expect(status, "write of an entry");
    }

    /// <summary>What happens to a shadow when others need its room; <paramref name="mayBe"/>: another thread may have emptied it.</summary>
    public void EmptyOldest(bool mayBe = false)
    {
        world.Pause("emptying begins");
        if (!world.ShadowOf(Inner.First).Family.TryEmptyOldest(world.ShadowOf(Inner.Real), out _) && !mayBe)
        {
            world.Fail("nothing to empty");
        }
    }

    public void UnmapGone(int page)
    {
        Unmap(page, 1);
        world.Took(page);
    }

    /// <summary>Ends a slot, with its last bits, of which a page was mapped.</summary>
    public void EndSlot(uint slot, int page)
    {
        SetWithFinal(new SlotRequest { Id = slot });
        world.Took(page);
    }

    private void InnerWrite(ShadowSpace shadow, Inner space, ulong address, bool cached)
    {
        foreach (int page in world.InnerPages)
        {
            _ = world.BeginStore(Index, page); // by a fault any of them may become dirty, if its table is rewritten meanwhile
        }
        View view = world.InnerViewOf(this, shadow);
        view.Owner = View.CurrentThread;
        bool gone = world.IsGone(World.LeadsTo(space, address)); // before the section begins
        world.Shim.Enter(view);
        int status = Translate(view, shadow, space, address, Access.Write, cached, out nint host, out bool asked);
        if (status == Status.Ok)
        {
            int page = world.CheckLeads(space, address, host);
            CheckGone(gone && !asked, page);
            ulong stamp = *World.Word(Index, page) + 1;
            Volatile.Write(ref *World.Word(Index, page), stamp); // guest memory of the test
            world.Stored(Index, page, stamp);
            world.Pause("inner stored");
        }
        else if (status is < 0 and not Status.TryAgain)
        {
            world.Fail($"inner store: {status}");
        }
        world.Shim.Leave(view);
        foreach (int page in world.InnerPages)
        {
            world.EndStore(page);
        }
    }

    private void InnerRead(int page, Inner space, bool leaf, bool cached)
    {
        ShadowSpace shadow = world.ShadowOf(space);
        ulong address = World.InnerAddress(space, page, leaf);
        View view = world.InnerViewOf(this, shadow);
        view.Owner = View.CurrentThread;
        bool gone = world.IsGone(World.LeadsTo(space, address));
        world.Shim.Enter(view);
        int status = Translate(view, shadow, space, address, Access.Read, cached, out nint host, out bool asked);
        if (status == Status.Ok)
        {
            CheckGone(gone && !asked, world.CheckLeads(space, address, host));
        }
        else if (status is < 0 and not Status.TryAgain)
        {
            world.Fail($"inner load: {status}");
        }
        world.Shim.Leave(view);
    }

    private void CheckGone(bool wrong, int page)
    {
        if (wrong)
        {
            world.Fail($"page {page} was used by a right from before a call that took it and has returned");
        }
    }

    /// <summary>Rule 4 by hand for the cache; then the header; then a fault.</summary>
    private int Translate(
        View view, ShadowSpace shadow, Inner space, ulong address, Access access, bool cached, out nint host, out bool asked)
    {
        asked = false;
        bool hit = cached && _innerCache.TryGetValue((space, address), out (ulong Generation, nint Host) known)
            && known.Generation == view.Generation;
        host = hit ? _innerCache[(space, address)].Host : 0;
        if (hit)
        {
            return Status.Ok;
        }
        int status = access == Access.Write
            ? world.Shim.StorePointer(view, address, 8, out host)
            : world.Shim.LoadPointer(view, address, 8, out host);
        bool keeps = cached;
        asked = status == Model.InlineWriter.Ask;
        if (asked)
        {
            view.EnterCall();
            status = shadow.Space.Faults.Resolve(view, address, access, View.CurrentThread, out FaultOutcome outcome);
            view.LeaveCall();
            host = (nint)outcome.HostAddress;
            keeps &= (outcome.Rights & access) == access;
        }
        if (keeps && status == Status.Ok)
        {
            _innerCache[(space, address)] = (view.Generation, host);
        }
        return status;
    }
}
