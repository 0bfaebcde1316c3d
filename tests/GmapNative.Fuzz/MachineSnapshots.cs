using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

internal sealed class SnapshotState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }

    public required ReferenceSnapshot Model { get; init; }

    /// <summary>What the memory held: pages that are not here were zeroes.</summary>
    public required Dictionary<ulong, byte[]> Memory { get; init; }
}

/// <summary>Operations: snapshots. The driver has its own copy of the memory, and compares everything with that.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostSnapshots = 3;

    private static readonly byte[] s_zeroes = new byte[GuestAddress.PageSize];

    private readonly List<SnapshotState> _snapshots = [];
    private readonly HashSet<ulong> _stored = []; // host pages that anybody stored to: all others are zero
    private readonly HashSet<ulong> _untold = []; // those of them that the engine was not told of
    private readonly HashSet<(SpaceState, uint, ulong Start, ulong Host, ulong Size)> _shown = []; // slots that were there ever

    private ulong SnapshotHandle(out SnapshotState? snapshot) => Handle(_snapshots, one => one.Handle, out snapshot);

    private int TakeSnapshot()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        bool isDefault = _code.Byte() % 2 == 0;
        SnapshotConfig* given = Input(new SnapshotConfig { flags = Flags(0), reserved = Reserved() }, out SnapshotConfig seen);
        if (isDefault || given is null)
        {
            _expected.Clear(); // no config: all defaults
            given = null;
            seen = default;
        }
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x}");
        bool wild = space is not null && space.Model.Slots.Values.Any(slot => slot.Log is not null && !guest.Has(slot.Host));
        if (_snapshots.Count >= MostSnapshots || wild)
        {
            return Skipped; // would touch what the host did not map
        }
        _expected.If(space is null, Status.BadHandle).If(seen.flags != 0 || seen.reserved != 0, Status.Invalid)
            .If(space is { Model.CanSnapshot: false }, Status.Invalid).If(AnyInside, Status.Deadlock)
            .If(space is { Model.LacksPages: true }, Status.NotSupported)
            .Maybe(space is { Engine.IsTight: true }, Status.NoMemory);
        int status = library.SnapshotTake(handle, given, made);
        if (!Check(status, TimesOut(space) ? Status.TimedOut : 0) || status != 0)
        {
            That(!IsWritten(made), "a handle was given for a snapshot that was not taken");
        }
        if (_expected.IsBad || (status != 0 && status != Status.TimedOut))
        {
            return status;
        }
        ReferenceSnapshot model = space!.Model.TakeSnapshot();
        if (status != 0)
        {
            space.Model.Close(model.Consumer); // the others have got what was marked
            return status;
        }
        var snapshot = new SnapshotState { Handle = *made, Space = space, Model = model, Memory = Contents() };
        _snapshots.Add(snapshot);
        Born(snapshot.Handle, snapshot);
        CheckWrong(snapshot);
        return status;
    }

    private int RestoreSnapshot()
    {
        _expected.Clear();
        ulong handle = SnapshotHandle(out SnapshotState? snapshot);
        ulong* pages = NumberOut(mayBeNull: true);
        Say($"{handle:x}");
        Uncrowd(snapshot?.Space);
        _expected.If(snapshot is null, Status.BadHandle).If(snapshot is { Model.IsWhole: false }, Status.NoEntry)
            .If(snapshot is { Space.Model.LacksPages: true }, Status.NotSupported).If(AnyInside, Status.Deadlock);
        ReferenceSpace? model = snapshot?.Space.Model;
        bool waits = !_expected.IsBad && model!.PagesToCome(snapshot!.Model.Consumer) != 0;
        Dictionary<ulong, byte[]> before = Contents();
        int status = library.SnapshotRestore(handle, pages);
        bool done = Check(status, waits && TimesOut(snapshot!.Space) ? Status.TimedOut : 0) && status == 0;
        if (!done)
        {
            That(!IsWritten(pages), "pages were told by a call that failed");
            CheckMemory(before, before, []);
        }
        if (_expected.IsBad)
        {
            return status;
        }
        if (!done)
        {
            model!.Collect(snapshot!.Model.Consumer, rearm: true);
            return status;
        }
        snapshot!.Space.Counts.Epochs++;
        snapshot.Space.Counts.Harvested += model!.Begin(snapshot.Model.Consumer, rearm: true);
        HashSet<ulong> put = [];
        int count = model.Restore(
            snapshot.Model,
            host => !put.Contains(host)
                && !before.GetValueOrDefault(host, s_zeroes).SequenceEqual(snapshot.Memory.GetValueOrDefault(host, s_zeroes)),
            host =>
            {
                put.Add(host);
                Stored(host);
            });
        Same(pages is null ? (ulong)count : *pages, (ulong)count, "pages put back");
        CheckMemory(before, snapshot.Memory, put);
        _untold.ExceptWith(put);
        foreach (ulong page in Wrong(snapshot))
        {
            bool mayBe = _untold.Contains(page) || _shown.Count(slot => page - slot.Host < slot.Size) > 1; // or by another slot
            That(mayBe, $"host page {page - guest.Start:x} of the area was written with the engine's knowledge, and not put back");
        }
        CheckWrong(snapshot);
        Feature(count == 0 ? 0 : 1u, 2);
        return status;
    }

    /// <summary>Now and then something is stored first that nobody but the kernel knows of.</summary>
    private int VerifySnapshot()
    {
        _expected.Clear();
        ulong handle = SnapshotHandle(out SnapshotState? snapshot);
        byte stores = _code.Byte();
        ulong where = _code.Word();
        ulong* wrong = NumberOut(mayBeNull: false);
        Say($"{handle:x} stores {stores % 4 == 3}");
        _expected.If(snapshot is null, Status.BadHandle).If(snapshot is { Model.IsWhole: false }, Status.NoEntry)
            .If(snapshot is { Space.Model.LacksPages: true }, Status.NotSupported).Maybe(AnyInside, Status.Deadlock);
        if (!_expected.IsBad && stores % 4 == 3 && snapshot!.Model.Images.Length != 0)
        {
            ulong[] pages = [.. snapshot.Space.Model.HostPages(snapshot.Model)];
            ulong page = pages[where % (ulong)pages.Length];
            Store(page);
            _untold.Add(page);
        }
        int status = library.SnapshotVerify(handle, wrong);
        if (Check(status, 0))
        {
            Same(*wrong, (ulong)Wrong(snapshot!).Count(), "pages that differ");
            Feature(*wrong == 0 ? 0 : 1u, 2);
        }
        else
        {
            That(!IsWritten(wrong), "pages were told by a call that failed");
        }
        return status;
    }

    private int FreeSnapshot()
    {
        _expected.Clear();
        ulong handle = SnapshotHandle(out SnapshotState? snapshot);
        Say($"{handle:x}");
        _expected.If(snapshot is null, Status.BadHandle).If(AnyInside, Status.Deadlock);
        int status = library.SnapshotFree(handle);
        if (Check(status, 0))
        {
            Freed(snapshot!);
        }
        return status;
    }

    private void Freed(SnapshotState snapshot)
    {
        snapshot.Space.Model.Close(snapshot.Model.Consumer);
        _snapshots.Remove(snapshot);
        Gone(snapshot.Handle);
    }

    /// <summary>A host gives the memory back that was discarded: zeroes again. What a kernel tracks stays, it tells reads then.</summary>
    private void GiveBack(SpaceState space, ulong start, ulong end)
    {
        foreach (ReferenceSlot slot in space.Model.Slots.Values.Where(slot => _snapshots.Count != 0 && guest.Has(slot.Host)))
        {
            (ulong from, ulong to) = (Math.Max(start, slot.Start), Math.Min(end, slot.End));
            ulong host = slot.Host + (from - slot.Start);
            if (from < to && !_backings.Any(one => one.IsAttached && one.Host < host + (to - from) && host < one.Host + one.Size))
            {
                Native.Forget((void*)host, (nuint)(to - from)); // pages of the driver's area
                for (ulong page = host; page < host + (to - from); page += GuestAddress.PageSize)
                {
                    StoredToTables(page, null, 0);
                }
            }
        }
    }

    // ---- memory -----------------------------------------------------------------------------------------------------------

    private Dictionary<ulong, byte[]> Contents() => _stored.ToDictionary(page => page, page => PageAt(page).ToArray());

    /// <summary>A page of the driver's area.</summary>
    private static ReadOnlySpan<byte> PageAt(ulong page) => new((void*)page, (int)GuestAddress.PageSize);

    /// <summary>The memory is as <paramref name="before"/>, but for the pages that were put back.</summary>
    private void CheckMemory(Dictionary<ulong, byte[]> before, Dictionary<ulong, byte[]> snapshot, HashSet<ulong> put)
    {
        foreach (ulong page in _stored)
        {
            bool isPut = put.Contains(page);
            byte[] expected = (isPut ? snapshot : before).GetValueOrDefault(page, s_zeroes);
            That(PageAt(page).SequenceEqual(expected), $"host page {page - guest.Start:x} of the area, put back: {isPut}");
        }
    }

    /// <summary>Pages of its slots that are not as they were; one that two slots show is there twice.</summary>
    private IEnumerable<ulong> Wrong(SnapshotState snapshot) => snapshot.Space.Model.HostPages(snapshot.Model).Where(
        page => _stored.Contains(page) && !PageAt(page).SequenceEqual(snapshot.Memory.GetValueOrDefault(page, s_zeroes)));

    private void CheckWrong(SnapshotState snapshot)
    {
        ulong wrong = ulong.MaxValue;
        Same(library.SnapshotVerify(snapshot.Handle, &wrong), 0, "verify");
        Same(wrong, (ulong)Wrong(snapshot).Count(), "pages that differ");
    }
}
