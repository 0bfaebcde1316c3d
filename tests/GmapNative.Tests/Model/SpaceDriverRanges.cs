using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>Split, collapse, discard, age of a sequence.</summary>
internal sealed unsafe partial class SpaceDriver
{
    private static readonly Protection[] s_protections =
        [Protection.Read | Protection.Write, Protection.Read, Protection.None, Protection.Read | Protection.Write];

    private (ulong Start, ulong Size, bool Valid) RangeOf(Operation operation)
    {
        if (operation.C % 2 == 0 && _model.Slots.Count != 0) // a whole slot, which has segments to collapse
        {
            ReferenceSlot slot = _model.Slots.Values[(int)(operation.A % (uint)_model.Slots.Count)];
            return (slot.Start, slot.Size, true);
        }
        ulong start = Address(operation) & ~0xFFFUL;
        ulong size = s_sizes[operation.D % (uint)s_sizes.Length] << 12;
        if (operation.D >= 64)
        {
            start &= ~(TestSpace.Segment - 1);
        }
        return (start, size, start + size > start && start + size - 1 <= _model.Limit);
    }

    private string SplitRange(Operation operation)
    {
        (ulong start, ulong size, bool valid) = RangeOf(operation);
        bool supported = _test.Space.Options.Policy != SplitPolicy.Never;
        int split = valid && supported ? _model.SplitRange(start, start + size) : 0;
        int status = RangeCalls.Split(_test.Space, start, size, out ulong next);
        int expected = !valid ? Status.Invalid : supported ? Status.Ok : Status.NotSupported;
        Same((status, next), (expected, expected == Status.Ok ? start + size : start), $"split at {start:x}");
        return expected != Status.Ok ? $"{status}" : split == 0 ? "nothing" : "leaves";
    }

    private string Collapse(Operation operation)
    {
        (ulong start, ulong size, bool valid) = RangeOf(operation);
        bool supported = _test.Space.Options.Huge;
        int expected = !valid ? Status.Invalid : supported ? Status.Ok : Status.NotSupported;
        int model = expected == Status.Ok ? _model.Collapse(start, start + size) : 0;
        int status = RangeCalls.Collapse(_test.Space, start, size, out ulong collapsed);
        Same((status, collapsed), (expected, (ulong)model), $"collapse at {start:x}");
        return expected != Status.Ok ? $"{status}" : model == 0 ? "nothing" : "tables";
    }

    private string Discard(Operation operation)
    {
        (ulong start, ulong size, bool valid) = RangeOf(operation);
        long before = _model.PagesDiscarded;
        int status = RangeCalls.Discard(_test.Space, start, size, out ulong next);
        Same((status, next), valid ? (Status.Ok, start + size) : (Status.Invalid, start), $"discard at {start:x}");
        if (valid)
        {
            _model.Discard(start, start + size);
        }
        return !valid ? $"{status}" : before == _model.PagesDiscarded ? "nothing dirty" : "dirt";
    }

    /// <summary>Restricts, and cancels at once what it arms.</summary>
    private string Protect(Operation operation)
    {
        (ulong start, ulong size, bool valid) = RangeOf(operation);
        Protection protection = s_protections[operation.B % s_protections.Length];
        var notify = (NotifyFlags)(operation.B / 8 % 8);
        bool mapped = operation.B / 64 % 4 == 0 && protection != Protection.None;
        notify |= mapped && notify == 0 ? NotifyFlags.Change : 0;
        int status = RangeProtector.Protect(_test.Space, start, size, protection, notify | (mapped ? NotifyFlags.Mapped : 0));
        int model = valid ? _model.Protect(start, start + size, protection, notify | (mapped ? NotifyFlags.Mapped : 0)) : Status.Invalid;
        Same(status, model, $"protect at {start:x}");
        if (status != Status.Ok || notify == 0)
        {
            return status != Status.Ok ? $"{status}" : $"{protection}";
        }
        Translate(start, write: true);
        status = RangeProtector.Protect(_test.Space, start, size, protection, notify | NotifyFlags.Cancel);
        Same(status, _model.Protect(start, start + size, protection, notify | NotifyFlags.Cancel), $"cancel at {start:x}");
        return $"{protection}, armed";
    }

    private string Age(Operation operation)
    {
        (ulong start, ulong size, bool valid) = RangeOf(operation);
        int model = valid ? _model.Age(start, start + size) : 0;
        int status = RangeCalls.Age(_test.Space, start, size, out ulong young);
        Same((status, young), (valid ? Status.Ok : Status.Invalid, (ulong)model), $"age at {start:x}");
        return !valid ? $"{status}" : model == 0 ? "nothing young" : "young";
    }
}
