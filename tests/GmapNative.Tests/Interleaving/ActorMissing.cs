using System;
using GmapNative.Bits;

namespace GmapNative.Tests.Interleaving;

/// <summary>What a thread does with pages that come later (rule 38).</summary>
internal sealed unsafe partial class Actor
{
    /// <summary>One load by the header from a page that may be missing: it waits for it outside; what it finds has come.</summary>
    public void ReadWhenThere(int page)
    {
        EnterWhenThere(page);
        Leave();
    }

    /// <summary>The same, then one store in the same section.</summary>
    public void WriteWhenThere(int page)
    {
        EnterWhenThere(page);
        WriteInside(page);
        Leave();
    }

    /// <summary>Brings a page: one of two, perhaps.</summary>
    public void Provide(int page)
    {
        world.Pause("a page comes");
        byte* contents = stackalloc byte[(int)GuestAddress.PageSize]; // for the call
        new Span<byte>(contents, (int)GuestAddress.PageSize).Clear();
        ((ulong*)contents)[World.SealWord] = World.SealOf(page);
        int status = world.Missing.Provide(World.AddressOf(page), contents, GuestAddress.PageSize);
        if (status is not (Status.Ok or Status.Exists))
        {
            world.Fail($"bringing page {page}: {status}");
        }
    }

    /// <summary>When everything has come, the slot is as any other.</summary>
    public void EndMissing()
    {
        while (world.Missing.Left != 0 && world.Violation is null)
        {
            Probe.At(Place.Waiting);
        }
        if (world.Violation is null)
        {
            world.EndMissing();
        }
    }

    private void EnterWhenThere(int page)
    {
        for (; ; )
        {
            Enter();
            int status = world.Shim.LoadResolve(view, World.AddressOf(page), 8, out nint host);
            if (status != Status.TryAgain)
            {
                CheckHost(status, host, page);
                ulong seal = World.Word(0, page)[World.SealWord]; // guest memory of the test
                if (seal != World.SealOf(page))
                {
                    world.Fail($"page {page} is read before it has come");
                }
                return;
            }
            Leave();
            while (world.Missing.Lacks((ulong)page, 1) && world.Violation is null)
            {
                Probe.At(Place.Waiting);
            }
            if (world.Violation is not null)
            {
                Enter();
                return;
            }
        }
    }
}
