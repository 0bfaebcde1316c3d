using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>What a thread does with watched pages; the world checks whether it was told in time.</summary>
internal sealed unsafe partial class Actor
{
    /// <summary>gmap_protect; refused only where a page is to be mapped and is not.</summary>
    public void Protect(int page, Protection protection, NotifyFlags notify) => Protect(page, 1, protection, notify);

    public void Protect(int first, int pages, Protection protection, NotifyFlags notify)
    {
        world.Pause("protect begins");
        world.Protect(first, pages, protection, notify);
    }

    public void Arm(int page, NotifyFlags notify) => Protect(page, Protection.Read | Protection.Write, notify);

    public void HarvestTold(int pages)
    {
        world.BeginWeakening(this, 0, pages);
        Harvest();
        world.EndWeakening(this);
    }

    public void UnmapTold(int first, int pages)
    {
        world.BeginWeakening(this, first, pages);
        Unmap(first, pages);
        world.EndWeakening(this);
    }

    /// <summary>gmap_write as the export does it: what asks is told between two sections.</summary>
    public void HostWriteTold(int page)
    {
        Begin(page);
        ulong stamp = _stamp; // on this frame
        int status = FaultResolver.Watched;
        while (status == FaultResolver.Watched)
        {
            int section = LibrarySections.Enter();
            ulong address = World.AddressOf(page) + (ulong)(index * 8);
            status = world.Test.Space.Host.Write(address, (byte*)&stamp, sizeof(ulong), out ulong asks);
            LibrarySections.Leave(section);
            if (status == FaultResolver.Watched)
            {
                int told = world.Test.Space.Watches.SettleWrite(asks, byHost: true);
                status = told != Status.Ok ? told : status;
            }
        }
        if (status == Status.Ok)
        {
            Publish();
        }
        End(status, page);
    }

    public void Unregister()
    {
        world.Pause("unregister begins");
        world.Unregister();
    }
}
