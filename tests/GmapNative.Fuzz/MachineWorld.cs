using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>The world of a program: how it begins, what must hold in it, how it ends.</summary>
internal sealed unsafe partial class Machine
{
    private const int SamplesPerSlot = 12;

    /// <summary>What is worth looking at: slot edges, borders of lines and segments, and one address of each slot's middle.</summary>
    private static IEnumerable<ulong> Interesting(ReferenceSpace model)
    {
        foreach (ReferenceSlot slot in model.Slots.Values)
        {
            ulong middle = slot.Start + ((slot.Pages / 2) << 12);
            ulong border = (slot.Start + GuestAddress.SegmentSize) & ~(GuestAddress.SegmentSize - 1);
            ulong[] addresses =
            [
                slot.Start, slot.Start + 0x1000, slot.Start + 0x2008, slot.Start + 0x5000, slot.Start + 0x8000, middle, border - 8, border,
                slot.End - 8, slot.End, slot.Start - 8, slot.End - 0x1000,
            ];
            foreach (ulong address in addresses)
            {
                yield return address;
            }
        }
        yield return model.Limit;
        yield return model.Limit + 1;
    }

    /// <summary>
    /// A program's first bytes: an engine, a space, slots and a vcpu, each made as the operation makes it, but of good arguments mostly.
    /// </summary>
    private void Begin()
    {
        Callbacks.Kicked = Kicked;
        Callbacks.Notified = 0;
        Callbacks.Nested.Clear();
        guest.Forget();
        byte[] world = [_code.Byte(), _code.Byte(), _code.Byte(), _code.Byte()];
        Code rest = _code;
        _name = "begin";
        _code = new Code([world[0], 0, 0, (byte)(world[0] >> 3), 0, 0, 0, (byte)(world[0] >> 6)]);
        CreateEngine();
        _code = new Code([0, 0, 0, (byte)(world[1] % 7), (byte)(world[1] * 3), (byte)(world[1] * 7)]);
        CreateSpace();
        for (int slot = 0; slot <= world[2] % 3; slot++)
        {
            byte place = (byte)(slot == 0 ? world[2] / 3 % 4 : (world[2] >> 2) + (slot * 3));
            _code = new Code([0, (byte)slot, place, world[3], (byte)(world[3] * 5), world[2], 0, world[3]]);
            SetSlot();
        }
        _code = new Code([0, 0]);
        OpenVcpu();
        _code = rest;
    }

    private void Kicked(ulong handle)
    {
        // The one call that may run while the library waits: a word of the view, no function.
        if (_live.GetValueOrDefault(handle) is VcpuState { IsOwn: false, IsInside: true } vcpu)
        {
            vcpu.Inline!.Leave();
        }
    }

    private void CheckAll()
    {
        foreach (SpaceState space in _spaces)
        {
            foreach (ulong address in Interesting(space.Model))
            {
                Same(AskTranslate(space, address, write: true), space.Model.Translate(address, write: true), $"translation of {address:x}");
                Same(AskTranslate(space, address, write: false), space.Model.Translate(address, write: false), $"load of {address:x}");
            }
            foreach (ReferenceSlot slot in space.Model.Slots.Values.Where(slot => slot.Log is not null))
            {
                int words = WordsOf(slot.Pages);
                var bitmap = (ulong*)_words.Take(words * 8, Canary);
                Same(library.DirtyGet(space.Handle, slot.Id, 0, slot.Pages, 0, bitmap, null), 0, "get");
                HashSet<ulong> model = space.Model.Get(slot, slot.FirstPage, slot.Pages);
                SamePages(PagesOf(new(bitmap, words), slot.FirstPage), model, $"slot {slot.Id}");
            }
            CheckSpace(space, FiguresOf(space));
        }
        Same(Callbacks.Notified, 0, "callbacks of notifiers"); // what is armed is cancelled at once
        foreach (EngineState engine in _engines)
        {
            CheckEngine(engine, FiguresOf(engine));
        }
    }

    private SpaceStats FiguresOf(SpaceState space)
    {
        SpaceStats stats = new() { struct_size = (uint)sizeof(SpaceStats) };
        Same(library.SpaceStats(space.Handle, &stats), 0, "figures");
        return stats;
    }

    private EngineStats FiguresOf(EngineState engine)
    {
        EngineStats stats = new() { struct_size = (uint)sizeof(EngineStats) };
        Same(library.EngineStats(engine.Handle, &stats), 0, "engine figures");
        return stats;
    }

    /// <summary>Destroys everything, in an order that the program's length decides, and looks for what is left.</summary>
    private void End()
    {
        LeaveAll();
        int order = _code.Position;
        foreach (VcpuState vcpu in Shuffled(_vcpus, order))
        {
            Same(library.VcpuClose(vcpu.Handle), 0, "close");
            Closed(vcpu);
            Gone(vcpu.Handle);
        }
        foreach (ShadowState shadow in Shuffled(_shadows, order))
        {
            for (int opened = shadow.Opened; opened > 0; opened--)
            {
                Same(library.ShadowClose(shadow.Handle), 0, "close");
                GaveBack(shadow);
            }
        }
        foreach (ConsumerState consumer in Shuffled(_consumers, order))
        {
            Same(library.ConsumerClose(consumer.Handle), 0, "close");
            Closed(consumer);
        }
        foreach (SnapshotState snapshot in Shuffled(_snapshots, order))
        {
            Same(library.SnapshotFree(snapshot.Handle), 0, "free");
            Freed(snapshot);
        }
        foreach (NotifierState notifier in Shuffled(_notifiers, order))
        {
            Same(library.NotifierUnregister(notifier.Handle), 0, "unregister");
            Unregistered(notifier);
        }
        foreach (BackingState backing in order % 2 == 0 ? Shuffled(_backings, order) : [])
        {
            Detach(backing.Handle, backing); // not those whose pages are missing still
        }
        BackingState[] late = [.. _backings];
        foreach (SpaceState space in Shuffled(_spaces, order))
        {
            Same(library.SpaceDestroy(space.Handle), 0, "destroy");
            space.Engine.Spaces.Remove(space);
            space.Backings.ForEach(backing => backing.IsAttached = false);
            Gone(space.Handle);
        }
        foreach (BackingState backing in late)
        {
            Detach(backing.Handle, backing);
        }
        foreach (EngineState engine in Shuffled(_engines, order))
        {
            EngineStats stats = FiguresOf(engine);
            CheckEngine(engine, stats);
            Same(stats.limbo_bytes + stats.log_bytes + stats.region_table_bytes + stats.page_table_bytes, 0UL, "bytes at the end");
            Same(library.EngineDestroy(engine.Handle), 0, "destroy");
            Gone(engine.Handle);
        }
        That(_live.Count == 0, $"{_live.Count} handles live at the end");
        foreach (ulong handle in _stale)
        {
            CheckStale(handle);
        }
    }

    private void CheckStale(ulong handle)
    {
        int number = 0;
        FaultResult result = new() { struct_size = (uint)sizeof(FaultResult) };
        bool gone = library.EngineDestroy(handle) == Status.BadHandle && library.SpaceDestroy(handle) == Status.BadHandle
            && library.VcpuClose(handle) == Status.BadHandle && library.BackingFd(handle, &number) == Status.BadHandle
            && library.Translate(handle, 0, 1, &result) == Status.BadHandle && library.ConsumerClose(handle) == Status.BadHandle
            && library.SnapshotFree(handle) == Status.BadHandle && library.NotifierUnregister(handle) == Status.BadHandle
            && library.ShadowClose(handle) == Status.BadHandle;
        That(gone, $"the stale handle {handle:x} is good");
    }

    private static T[] Shuffled<T>(List<T> all, int order)
    {
        T[] shuffled = [.. all];
        new System.Random(order).Shuffle(shuffled);
        return shuffled;
    }
}
