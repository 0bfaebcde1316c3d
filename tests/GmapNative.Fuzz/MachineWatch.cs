using System.Collections.Generic;
using GmapNative.Exports.Abi;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: restrict and arm pages, notifiers. What is armed is cancelled by the operation that armed it.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostNotifiers = 6;
    private const uint Kinds = 7;
    private const uint ProtectionWrite = 2;
    private const uint KindsBeforeWrite = 6;
    private const uint CancelFlag = 0x100;
    private const uint MappedFlag = 0x200;

    private static readonly uint[] s_protections = [3, 1, 0, 3, 1, 3];
    private static readonly uint[] s_badProtections = [2, 4, 7, 0x80000003, uint.MaxValue, 0x13];

    private readonly List<NotifierState> _notifiers = [];

    private int Protect()
    {
        ulong handle = Range(out SpaceState? space);
        byte choice = _code.Byte();
        uint protection = choice < 244 ? _code.Any<uint>(s_protections) : _code.Any<uint>(s_badProtections);
        byte how = _code.Byte();
        uint notify = how % 8u;
        bool cancels = how is >= 96 and < 112;
        bool mapped = how is >= 64 and < 96;
        notify |= mapped && notify == 0 && protection == 3 ? 1u : 0; // else an aged page becomes young only where it was ever watched
        notify |= (cancels ? CancelFlag : 0) | (mapped ? MappedFlag : 0) | (how >= 250 ? 8u << (how % 5 * 5) : 0);
        Say($"{handle:x} {_start:x}+{_size:x} protection {protection:x} notify {notify:x}");
        bool known = protection is 0 or 1 or 3 && (notify & ~(Kinds | CancelFlag | MappedFlag)) == 0 && !(mapped && protection == 0);
        _expected.If(!known, Status.Invalid).If(AnyInside, Status.Deadlock);
        Feature((protection & 3) * 4 + (cancels ? 1u : mapped ? 2u : (notify & Kinds) != 0 ? 3u : 0), 16);
        int status = library.Protect(handle, _start, _size, protection, notify);
        if (_expected.IsBad)
        {
            Check(status, 0);
            return status;
        }
        if (status == Status.NoMemory && space!.Engine.IsTight)
        {
            ProtectedWithoutMemory(space);
            return status;
        }
        SameProtect(space!, status, protection, notify);
        bool done = status is 0 or Status.TimedOut;
        Same(AskTranslate(space!, _start, write: true), space!.Model.Translate(_start, write: true), $"translation of {_start:x}");
        if (done && !cancels && (notify & Kinds) != 0)
        {
            uint cancel = (notify & Kinds) | CancelFlag;
            SameProtect(space, library.Protect(handle, _start, _size, protection, cancel), protection, cancel);
        }
        return status;
    }

    private void SameProtect(SpaceState space, int status, uint protection, uint notify)
    {
        int good = space.Model.Protect(_start, _start + _size, (Protection)protection, (NotifyFlags)notify);
        bool arms = (notify & CancelFlag) == 0 && (notify & KindsBeforeWrite) != 0;
        bool waits = _size != 0 && ((protection & ProtectionWrite) == 0 || arms);
        Check(status, good == 0 && waits && TimesOut(space) ? Status.TimedOut : good);
    }

    /// <summary>Nothing is changed, but a part of the way to the range may have been made.</summary>
    private void ProtectedWithoutMemory(SpaceState space)
    {
        for (ulong at = _start, next; at < _start + _size; at = next)
        {
            Answer seen = AskTranslate(space, at, write: false);
            That(space.Model.WayWithoutMemory(at, seen), $"a call without memory changed {at:x} to {seen}");
            next = (at | ((1UL << 31) - 1)) + 1;
        }
    }

    /// <summary>The condition that a populate of a page ends with.</summary>
    private static int Permits(ReferenceSpace model, ulong address, bool write)
    {
        int status = Copies(model, address, 1, write);
        status = status == 0 && model.Lacks(address, 1) ? Status.TryAgain : status;
        return status == 0 && model.Forbids(address, write) ? Status.Protection : status;
    }

    private int RegisterNotifier()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        byte odd = _code.Byte();
        NotifierConfig config = new()
        {
            flags = Flags(0),
            kinds = odd >= 248 ? 8u << (odd % 8) : odd % 8u,
            reserved = Reserved(),
            callback = odd is >= 240 and < 248 ? null : Callbacks.NotifyPointer,
        };
        NotifierConfig* given = Input(config, out NotifierConfig seen);
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x} kinds {seen.kinds:x} callback {seen.callback is not null}");
        if (_notifiers.Count >= MostNotifiers)
        {
            return Skipped;
        }
        bool bad = seen.flags != 0 || seen.reserved != 0 || (seen.kinds & ~Kinds) != 0 || seen.callback is null;
        _expected.If(space is null, Status.BadHandle).If(bad, Status.Invalid).If(AnyInside, Status.Deadlock);
        int status = library.NotifierRegister(handle, given, made);
        if (!Check(status, 0))
        {
            That(!IsWritten(made), "a handle was given for a notifier that was not registered");
            return status;
        }
        var notifier = new NotifierState { Handle = *made, Space = space! };
        _notifiers.Add(notifier);
        space!.Counts.Notifiers++;
        Born(notifier.Handle, notifier);
        return status;
    }

    private int UnregisterNotifier()
    {
        _expected.Clear();
        ulong handle = Handle(_notifiers, one => one.Handle, out NotifierState? notifier);
        Say($"{handle:x}");
        _expected.If(notifier is null, Status.BadHandle).If(AnyInside, Status.Deadlock);
        int status = library.NotifierUnregister(handle);
        if (Check(status, 0))
        {
            Unregistered(notifier!);
        }
        return status;
    }

    private void Unregistered(NotifierState notifier)
    {
        _notifiers.Remove(notifier);
        notifier.Space.Counts.Notifiers--;
        Gone(notifier.Handle);
    }
}
