using System.Linq;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: vcpus, sections, faults.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostVcpus = 10;
    private const uint AnyAccess = 3;

    private int OpenVcpu()
    {
        _expected.Clear();
        ulong handle = AnySpaceHandle(out SpaceState? space, out ShadowState? shadow);
        byte kind = _code.Byte();
        bool own = kind % 4 != 3;
        VcpuConfig config = new()
        {
            flags = Flags(0),
            inline_version = kind < 200 ? ViewWords.InlineVersion : kind % 4u,
            reserved = Reserved(),
        };
        VcpuConfig* given = Input(config, out VcpuConfig seen);
        ulong* made = NumberOut(mayBeNull: false);
        ulong* view = _code.Byte() % 8 == 7 ? null : (ulong*)_second.Take(8, Canary);
        Say($"space {handle:x} {(own ? "own" : "other")} thread, version {seen.inline_version}, view {view is not null}");
        if (_vcpus.Count >= MostVcpus)
        {
            return Skipped;
        }
        bool inside = _vcpus.Any(vcpu => vcpu.IsOwn == own && vcpu.IsInside);
        _expected.If(space is null, Status.BadHandle).If(seen.flags != 0 || seen.reserved != 0, Status.Invalid)
            .If(inside, Status.Deadlock).Maybe(space is { Engine.IsTight: true }, Status.NoMemory);
        Feature((own ? 1u : 0) + (view is null ? 2u : 0), 4);
        int status = On(own, () => library.VcpuOpen(handle, given, made, (ViewWords**)view));
        if (!Check(status, 0))
        {
            That(!IsWritten(made) && !IsWritten(view), "a handle or a view was given for a vcpu that was not opened");
            return status;
        }
        var vcpu = new VcpuState
        {
            Handle = *made,
            Space = space!,
            Shadow = shadow,
            View = view is null ? 0 : (nint)(*view),
            Speaks = seen.inline_version == ViewWords.InlineVersion,
            IsOwn = own,
            Inline = view is null ? null : new InlineWriter((nint)(*view)),
        };
        That(view is null || (((ViewWords*)vcpu.View)->Vcpu == vcpu.Handle && !vcpu.IsInside), "a view's first words");
        _vcpus.Add(vcpu);
        space!.Vcpus.Add(vcpu);
        _ = shadow is null ? 0 : shadow.Vcpus++;
        Born(vcpu.Handle, vcpu);
        return status;
    }

    private int CloseVcpu()
    {
        _expected.Clear();
        ulong handle = VcpuHandle(out VcpuState? vcpu);
        Say($"{handle:x}");
        _expected.If(vcpu is null, Status.BadHandle);
        int status = library.VcpuClose(handle);
        if (Check(status, 0))
        {
            That(!vcpu!.IsInside, "a closed view is inside");
            vcpu.IsOpen = false;
            Closed(vcpu);
            _vcpus.Remove(vcpu);
            _closed.Add(vcpu);
            Gone(handle);
        }
        return status;
    }

    private static void Closed(VcpuState vcpu)
    {
        vcpu.Space.Vcpus.Remove(vcpu);
        _ = vcpu.Shadow is null ? 0 : vcpu.Shadow.Vcpus--;
    }

    private int On(bool own, System.Func<int> call) => own ? call() : helper.Run(call);

    /// <summary>A vcpu with a view, closed ones too; null: there is none.</summary>
    private VcpuState? Viewed()
    {
        byte choice = _code.Byte();
        VcpuState[] all = [.. _vcpus.Where(one => one.View != 0), .. choice >= 240 ? _closed.Where(one => one.View != 0) : []];
        return all.Length == 0 ? null : all[choice % all.Length];
    }

    /// <summary>Where nobody can make a foreign reader leave, none may stay inside.</summary>
    private static bool MayStay(VcpuState vcpu) => vcpu.IsOwn || vcpu.Space.Engine.Patience != Patience.Endless;

    private int Enter()
    {
        VcpuState? vcpu = Viewed();
        Say($"{vcpu?.Handle:x}");
        if (vcpu is null || !MayStay(vcpu) || !vcpu.IsOpen)
        {
            return Skipped;
        }
        vcpu.Inline!.Enter();
        return 0;
    }

    private int Leave()
    {
        VcpuState? vcpu = Viewed();
        Say($"{vcpu?.Handle:x}");
        vcpu?.Inline!.Leave();
        return vcpu is null ? Skipped : 0;
    }

    private int LeaveAll()
    {
        Say("");
        foreach (VcpuState vcpu in _vcpus.Where(one => one.IsInside))
        {
            vcpu.Inline!.Leave();
        }
        return 0;
    }

    private uint AccessOf()
    {
        uint access = _code.Byte() switch
        {
            < 80 => 1,
            < 200 => 2,
            < 250 => 3,
            250 => 0,
            251 => 4,
            252 => 6,
            253 => 0x80000001,
            _ => 2,
        };
        _expected.If(access == 0 || (access & ~AnyAccess) != 0, Status.Invalid);
        Feature(access & 3, 4);
        return access;
    }

    private int Fault()
    {
        _expected.Clear();
        ulong handle = VcpuHandle(out VcpuState? vcpu);
        ulong address = AddressFor(vcpu);
        uint access = AccessOf();
        FaultResult* result = Output<FaultResult>(out uint size, mayBeNull: true);
        byte who = _code.Byte();
        Say($"{handle:x} at {address:x} access {access}");
        _expected.If(vcpu is null, Status.BadHandle);
        if (vcpu?.Shadow is not null && !_expected.IsBad)
        {
            return FaultNested(vcpu, address, access, result, size, who);
        }
        Uncrowd(vcpu?.Space, vcpu);
        bool own = (vcpu?.IsOwn ?? true) ^ (who % 16 == 15);
        bool wasInside = vcpu is { IsInside: true };
        int status = On(own, () => library.Fault(handle, address, access, result));
        if (_expected.IsBad)
        {
            Check(status, 0);
            Untouched(result, size);
            Same(vcpu is { IsInside: true }, wasInside, "inside after a bad call");
            return status;
        }
        vcpu!.IsOwn = own;
        long mayCount = vcpu.MayCount;
        Answer answer = Resolved(vcpu, status, address, (access & 2) != 0);
        if (result is not null && size >= sizeof(FaultResult))
        {
            FaultResult found = Received(result, size);
            FaultOutcome outcome = new()
            {
                HostAddress = found.host_addr,
                LeafSize = found.leaf_size,
                Rights = (Access)found.rights,
                Reason = (FaultReason)found.reason,
                Done = (FaultDone)found.flags & (vcpu.MayCount == mayCount ? (FaultDone)7 : ~FaultDone.Granted),
            };
            Same(status == Status.NoMemory ? answer : Answer.Of(status, outcome), answer, $"fault at {address:x}");
            Same(found.depth | found.reserved, 0u, "depth and reserved");
        }
        Same(vcpu.IsInside, vcpu.View != 0, "inside after a fault");
        AfterFault(vcpu, who % 2 == 1);
        if (status == Status.NoMemory && who % 2 == 0)
        {
            RetryAfterFreeing(vcpu, address, access);
        }
        if (status == 0 && (access & 2) != 0)
        {
            Store(answer.Host, vcpu.Space, address);
        }
        return status;
    }

    private void AfterFault(VcpuState vcpu, bool stays)
    {
        if (vcpu.View != 0 && (!stays || !MayStay(vcpu)))
        {
            vcpu.Inline!.Leave();
        }
    }

    /// <summary>The same for a vcpu, whose pages are counted.</summary>
    private Answer Resolved(VcpuState vcpu, int status, ulong address, bool write)
    {
        ReferenceSpace model = vcpu.Space.Model;
        long before = model.DirtyOf(address);
        long granted = model.PagesGranted;
        long again = model.Regranted;
        long mayCount = model.MayCountAsGranted;
        Answer answer = Resolved(vcpu.Space, status, address, write);
        bool counts = model.Find(address) is { Tracked: true } or { Marked: not null };
        vcpu.Granted += counts ? model.DirtyOf(address) - before + model.Regranted - again : model.PagesGranted - granted;
        vcpu.MayCount += model.MayCountAsGranted - mayCount;
        return answer;
    }

    /// <summary>What the model makes of a fault that the library answered; the answer, which must have that status.</summary>
    private Answer Resolved(SpaceState space, int status, ulong address, bool write)
    {
        if (status == Status.NoMemory && space.Engine.IsTight)
        {
            Answer seen = AskTranslate(space, address, write: false);
            bool couldWrite = space.Model.Translate(address, write: true).Status == 0;
            That(space.Model.FaultWithoutMemory(address, seen), $"a fault without memory changed {address:x} to {seen}");
            bool canWrite = AskTranslate(space, address, write: true).Status == 0;
            That(couldWrite || !canWrite, $"a fault without memory granted {address:x}");
            return new Answer(Status.NoMemory);
        }
        Answer answer = space.Model.Fault(address, write);
        space.Counts.Conditions += answer.Status > 0 ? 1 : 0;
        space.Counts.WriteFaults += answer.Status == 0 && write ? 1 : 0;
        space.Counts.ReadFaults += answer.Status == 0 && !write ? 1 : 0;
        Same(status, answer.Status, $"status at {address:x}");
        return answer;
    }

    private Answer AskTranslate(SpaceState space, ulong address, bool write)
    {
        FaultResult result = new() { struct_size = (uint)sizeof(FaultResult) };
        int status = library.Translate(space.Handle, address, write ? 2u : 1u, &result);
        FaultOutcome outcome = new()
        {
            HostAddress = result.host_addr,
            LeafSize = result.leaf_size,
            Rights = (Access)result.rights,
            Reason = (FaultReason)result.reason,
        };
        return Answer.Of(status, outcome);
    }

    private int FaultMany()
    {
        _expected.Clear();
        ulong handle = VcpuHandle(out VcpuState? vcpu);
        int n = _code.Byte() % 5;
        uint stride = _code.Byte() switch { < 200 => 32, < 220 => 40, < 240 => 64, < 246 => 31, < 250 => 33, < 252 => 0, _ => 16 };
        bool isNull = _code.Byte() >= 250;
        nuint* done = (nuint*)NumberOut(mayBeNull: false);
        _expected.If(vcpu is null, Status.BadHandle).If(isNull && n != 0, Status.Invalid)
            .If(stride < 32 || stride % 8 != 0, Status.Invalid);
        int bytes = n == 0 ? 0 : ((n - 1) * (int)stride) + sizeof(FaultRequest);
        byte* at = _data.Take(bytes, Canary);
        for (int i = 0; i < n; i++)
        {
            var request = (FaultRequest*)(at + (i * stride));
            request->guest_addr = AddressFor(vcpu);
            request->access = _code.Byte() is var choice && choice >= 250 ? choice : 1 + (choice % 2u);
        }
        Say($"{handle:x} {n} requests, stride {stride}, null {isNull}");
        if (vcpu?.Shadow is not null && !_expected.IsBad)
        {
            return FaultManyNested(vcpu, at, n, stride, done);
        }
        Uncrowd(vcpu?.Space, vcpu);
        bool own = vcpu?.IsOwn ?? true;
        int status = On(own, () => library.FaultMany(handle, isNull ? null : (FaultRequest*)at, (nuint)n, stride, done));
        if (_expected.IsBad)
        {
            Check(status, 0);
            return status;
        }
        int good = 0;
        int resolved = 0;
        for (; resolved < n && good == 0; resolved += good == 0 ? 1 : 0)
        {
            var request = (FaultRequest*)(at + (resolved * stride));
            good = request->access is 0 or > AnyAccess ? Status.Invalid
                : Resolved(vcpu!, request->status, request->guest_addr, (request->access & 2) != 0).Status;
            Same(request->status, good, $"status of request {resolved}");
            if (good == 0)
            {
                Answer now = vcpu!.Space.Model.Translate(request->guest_addr, write: false);
                Same(request->host_addr, now.Host, $"host address of request {resolved}");
            }
        }
        Same(status, good, "status");
        Same((int)*done, resolved, "done");
        AfterFault(vcpu!, stays: false);
        return status;
    }

    private int Translate()
    {
        _expected.Clear();
        ulong handle = AnySpaceHandle(out SpaceState? space, out ShadowState? shadow);
        ulong address = shadow is null ? Address(space) : InnerAddress(shadow);
        uint access = AccessOf();
        FaultResult* result = Output<FaultResult>(out uint size, mayBeNull: true);
        Say($"{handle:x} at {address:x} access {access}");
        _expected.If(space is null, Status.BadHandle);
        if (shadow is not null && !_expected.IsBad)
        {
            return TranslateNested(shadow, handle, address, access, result, size);
        }
        int status = library.Translate(handle, address, access, result);
        Answer answer = space?.Model.Translate(address, (access & 2) != 0) ?? default;
        Check(status, answer.Status);
        if (_expected.IsBad)
        {
            Untouched(result, size);
        }
        else if (result is not null && size >= sizeof(FaultResult))
        {
            FaultResult found = Received(result, size);
            Same(found.reason, (uint)answer.Reason, "reason");
            Same(answer.Status == 0 ? found.host_addr : 0, answer.Host, "host address");
        }
        return status;
    }
}
