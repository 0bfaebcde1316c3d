using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Faults and host access": the hot ones, which allocate nothing and throw nothing.</summary>
internal static unsafe class Faults
{
    private const nuint SpareInstalls = 16;
    private const uint AnyAccess = (uint)(Access.Read | Access.Write);

    [UnmanagedCallersOnly(EntryPoint = "gmap_fault")]
    public static int Fault(ulong handle, ulong address, uint access, FaultResult* result)
    {
        Vcpu? vcpu = HandleTable.Find<Vcpu>(HandleKind.Vcpu, handle);
        if (vcpu is null)
        {
            return Status.BadHandle;
        }
        uint size = 0;
        if (!IsAccess(access) || (result is not null && SizedStruct.Check(result, out size) != Status.Ok))
        {
            return Status.Invalid;
        }
        int thread = Enter(vcpu);
        int status = vcpu.Space.Faults.Resolve(
            vcpu.View, vcpu.Counters, address, (Access)access, thread, out FaultOutcome outcome);
        CountDirtied(vcpu, outcome);
        Leave(vcpu);
        if (result is not null)
        {
            SizedStruct.Write(result, size, ResultOf(outcome));
        }
        return status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_fault_many")]
    public static int FaultMany(ulong handle, FaultRequest* requests, nuint count, nuint stride, nuint* done)
    {
        Vcpu? vcpu = HandleTable.Find<Vcpu>(HandleKind.Vcpu, handle);
        if (vcpu is null)
        {
            return Status.BadHandle;
        }
        if ((requests is null && count != 0) || done is null || stride < (nuint)sizeof(FaultRequest) || stride % sizeof(ulong) != 0)
        {
            return Status.Invalid;
        }
        int thread = Enter(vcpu);
        int status = Status.Ok;
        nuint resolved = 0;
        nuint installed = 0;
        while (resolved < count && status == Status.Ok)
        {
            int thaws = vcpu.Space.Thaws.Now; // before the look at the segment
            resolved += ResolveMapped(vcpu, requests, resolved, count, stride);
            if (resolved == count)
            {
                break;
            }
            FaultRequest* request = At(requests, resolved, stride);
            FaultOutcome outcome = default;
            if (vcpu.Space.Shadow is not null && IsAccess(request->access))
            {
                status = Install(vcpu, request, thread, installed++ < (2 * count) + SpareInstalls, out outcome);
                resolved = status == Status.Ok ? 0 : resolved; // what was resolved before was in an older section
                if (status != Status.Ok)
                {
                    Answer(request, status, outcome);
                }
                continue;
            }
            status = IsAccess(request->access)
                ? vcpu.Space.Faults.Resolve(request->guest_addr, (Access)request->access, thread, out outcome)
                : Status.Invalid;
            CountDirtied(vcpu, outcome);
            if (status is FaultResolver.Frozen or FaultResolver.Watched)
            {
                // The section ends, and with it what was resolved in it: all of the batch once more (rules 7, 20 and 30).
                vcpu.View.LeaveCall();
                vcpu.View.Leave();
                status = vcpu.Space.Faults.Wait(status, request->guest_addr, thaws);
                vcpu.View.EnterCall();
                if (status == Status.Ok)
                {
                    resolved = 0;
                    continue;
                }
            }
            Answer(request, status, outcome);
            resolved += status == Status.Ok ? 1u : 0;
        }
        Leave(vcpu);
        *done = resolved;
        return status;
    }

    /// <summary>
    /// One request of a shadow, which its tables answer afterwards. Try again: it is granted for one access only, or the guest's tables
    /// change all the time.
    /// </summary>
    private static int Install(Vcpu vcpu, FaultRequest* request, int thread, bool mayTry, out FaultOutcome outcome)
    {
        outcome = default;
        if (!mayTry)
        {
            return Status.TryAgain;
        }
        int status = vcpu.Space.Faults.Resolve(vcpu.View, request->guest_addr, (Access)request->access, thread, out outcome);
        CountDirtied(vcpu, outcome);
        return status == Status.Ok && outcome.Rights == Access.None ? Status.TryAgain : status;
    }

    /// <summary>Those from <paramref name="first"/> on that the tables answer, up to one that they do not; how many.</summary>
    private static nuint ResolveMapped(Vcpu vcpu, FaultRequest* requests, nuint first, nuint count, nuint stride)
    {
        var mapped = new MappedAccess(vcpu.Space.Tree);
        nuint resolved = first;
        nuint writes = 0;
        for (; resolved < count && Tell.Time(GmapEvents.Keywords.Faults) == 0; resolved++)
        {
            FaultRequest* request = At(requests, resolved, stride);
            bool write = (request->access & (uint)Access.Write) != 0;
            FaultOutcome outcome = default;
            if (!IsAccess(request->access) || !mapped.TryResolve(request->guest_addr, write, ref outcome))
            {
                break;
            }
            Answer(request, Status.Ok, outcome);
            writes += write ? 1u : 0;
        }
        vcpu.Counters.Count((long)(resolved - first - writes), (long)writes, mapped.Granted);
        vcpu.View.CountGranted((ulong)mapped.Granted);
        return resolved - first;
    }

    /// <summary>Of the caller's array: count elements, stride bytes apart.</summary>
    private static FaultRequest* At(FaultRequest* requests, nuint index, nuint stride) =>
        (FaultRequest*)((byte*)requests + (index * stride));

    private static void Answer(FaultRequest* request, int status, in FaultOutcome outcome)
    {
        request->status = status;
        request->host_addr = outcome.HostAddress;
        request->done = (uint)outcome.Done;
        request->reason = (uint)outcome.Reason;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_translate")]
    public static int Translate(ulong handle, ulong address, uint access, FaultResult* result)
    {
        using Call call = Call.EnterAny(handle);
        if (call.Space is null)
        {
            return Status.BadHandle;
        }
        uint size = 0;
        if (!IsAccess(access) || (result is not null && SizedStruct.Check(result, out size) != Status.Ok))
        {
            return Status.Invalid;
        }
        int status = Translator.Translate(call.Space, address, (Access)access, out FaultOutcome outcome);
        if (result is not null)
        {
            SizedStruct.Write(result, size, ResultOf(outcome));
        }
        return status;
    }

    public static bool IsAccess(uint access) => access != 0 && (access & ~AnyAccess) == 0;

    /// <summary>Ends the caller's section and begins the one that the result belongs to (rule 7). The thread's number.</summary>
    private static int Enter(Vcpu vcpu)
    {
        int thread = View.CurrentThread;
        if (vcpu.View.Owner != thread)
        {
            vcpu.View.Owner = thread; // only then: it shares its cache line with objects that other threads read
        }
        vcpu.View.EnterCall();
        return thread;
    }

    private static void CountDirtied(Vcpu vcpu, in FaultOutcome outcome)
    {
        if (outcome.Dirtied != 0)
        {
            vcpu.View.CountGranted(outcome.Dirtied);
        }
    }

    private static void Leave(Vcpu vcpu)
    {
        vcpu.View.LeaveCall();
        if (!vcpu.StaysInside)
        {
            vcpu.View.Leave();
        }
    }

    private static FaultResult ResultOf(in FaultOutcome outcome) => new()
    {
        flags = (uint)outcome.Done,
        host_addr = outcome.HostAddress,
        leaf_size = outcome.LeafSize,
        rights = (uint)outcome.Rights,
        reason = (uint)outcome.Reason,
        depth = outcome.Depth,
        table_addr = outcome.TableAddress,
    };
}
