using System.Collections.Generic;
using System.Linq;
using GmapNative.Exports.Abi;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: accesses of a guest's guest, by vcpus of shadows. What they do to the space below is the model's to say.</summary>
internal sealed unsafe partial class Machine
{
    private GuestArea Area => guest;

    private ulong AddressFor(VcpuState? vcpu) => vcpu?.Shadow is { } shadow ? InnerAddress(shadow) : Address(vcpu?.Space);

    private static string Hex(IEnumerable<ulong> pages) => string.Join(' ', pages.Select(page => $"{page:x}"));

    private BookWalk Walk(ShadowState shadow, ulong address, bool write)
    {
        _nested = true;
        var walk = BookWalk.Of(shadow, guest, address, write);
        trace?.WriteLine($"  {shadow.Handle:x} {address:x} leads to {walk.Code:x} {walk.Root:x}, tables {Hex(walk.Tables)}");
        int leaf = walk.Code == 0 ? (walk.LeafShift >> 3) + (walk.IsProtected ? 4 : 0) : 8 + (walk.Code & 7);
        Feature((walk.Depth * 8) + (shadow.Depth * 2) + (walk.IsOfTables ? 1u : 0), 64);
        Feature((uint)leaf, 16);
        return walk;
    }

    /// <summary>What a fault of a shadow has to answer; the model has done by then what it does below.</summary>
    private static Answer Resolved(ShadowState shadow, BookWalk walk, bool write)
    {
        ReferenceSpace model = shadow.Root.Model;
        if (walk.Code != 0)
        {
            return new(walk.Code, walk.Code > 0 ? FaultReason.GuestTables : FaultReason.None);
        }
        Answer answer = model.ShadowAccess(walk.Root, write, walk.LeafShift);
        if (answer.Status != 0 || (write && walk.IsOfTables))
        {
            return answer;
        }
        foreach (ulong page in walk.Tables)
        {
            Answer table = model.ShadowTable(page);
            if (table.Status != 0)
            {
                return table;
            }
            shadow.Root.TablePages.Add(page);
        }
        // A table in the leaf that the access leads to has split it by now.
        answer = model.ShadowAccess(walk.Root, write, walk.LeafShift);
        model.ShadowMemory(walk.Root);
        return answer;
    }

    /// <summary>The same for a vcpu, whose pages are counted.</summary>
    private static Answer Resolved(VcpuState vcpu, BookWalk walk, bool write)
    {
        ReferenceSpace model = vcpu.Space.Model;
        long granted = GrantedAt(model, walk.Root);
        long mayCount = model.MayCountAsGranted;
        Answer answer = Resolved(vcpu.Shadow!, walk, write);
        vcpu.Granted += GrantedAt(model, walk.Root) - granted;
        vcpu.MayCount += model.MayCountAsGranted - mayCount;
        return answer;
    }

    /// <summary>Depth and entry that belong to an answer of <see cref="Resolved(ShadowState, BookWalk, bool)"/>.</summary>
    private static (uint Depth, ulong Entry) Whose(ShadowState shadow, BookWalk walk) =>
        walk.Code != 0 ? (walk.Depth, walk.Entry) : (shadow.Depth, 0);

    private int NestedFault(VcpuState vcpu, ulong address, bool write, out ulong host) =>
        NestedFault(vcpu, address, write ? 2u : 1u, null, 0, own: vcpu.IsOwn, crowded: false, out host);

    private int NestedFault(
        VcpuState vcpu, ulong address, uint access, FaultResult* result, uint size, bool own, bool crowded, out ulong host)
    {
        ShadowState shadow = vcpu.Shadow!;
        bool write = (access & 2) != 0;
        host = 0;
        TellOfTables(shadow.Root);
        BookWalk walk = Walk(shadow, address, write);
        bool inside = crowded && own && _vcpus.Any(one => one.IsOwn && one != vcpu && one.IsInside);
        if (!inside)
        {
            Uncrowd(shadow.Root, vcpu);
        }
        if (walk.IsWild)
        {
            return Skipped; // it would touch what the host did not map
        }
        vcpu.IsOwn = own;
        int status = On(own, () => library.Fault(vcpu.Handle, address, access, result));
        Same(vcpu.IsInside, vcpu.View != 0, "inside after a fault");
        if (status == Status.Deadlock && inside)
        {
            return status;
        }
        Answer answer = Resolved(vcpu, walk, write);
        if (status == Status.NoMemory && shadow.Root.HasLittleForShadows && answer.Status == 0)
        {
            return status;
        }
        Same(status, answer.Status, $"status at {address:x}");
        host = answer.Host;
        if (result is not null && size >= sizeof(FaultResult))
        {
            CheckNested(shadow, walk, access, answer, Received(result, size));
        }
        return status;
    }

    /// <summary>A number that rises with the pages that a vcpu's rate counts.</summary>
    private static long GrantedAt(ReferenceSpace model, ulong address) => model.Find(address) is { Tracked: true }
        ? model.DirtyOf(address) + model.Regranted : model.PagesGranted;

    private static void CheckNested(ShadowState shadow, BookWalk walk, uint access, Answer answer, in FaultResult found)
    {
        if (answer.Status < 0)
        {
            return;
        }
        bool done = answer.Status == 0;
        bool uncached = done && (access & 2) != 0 && walk.IsOfTables;
        Same(done ? 0 : found.reason, (uint)answer.Reason, "reason");
        Same(done ? (0, 0) : (found.depth, found.table_addr), done ? (0, 0) : Whose(shadow, walk), "depth and entry");
        Same(done ? found.host_addr : 0, answer.Host, "host address");
        Same(done ? found.rights & access : 0, done && !uncached ? access : 0, "rights");
        bool writable = !walk.IsProtected && shadow.Root.Model.Translate(walk.Root, write: true).Status == 0;
        That(!done || (found.rights & 2) == 0 || writable, "more rights than there are below");
        That(!done || found.leaf_size is 0x1000 or 0x100000, "size of a leaf");
        That(!done || found.leaf_size >> walk.LeafShift <= 1, "a leaf is larger than the guest's");
    }

    private int FaultNested(VcpuState vcpu, ulong address, uint access, FaultResult* result, uint size, byte who)
    {
        bool own = vcpu.IsOwn ^ (who % 16 == 15);
        int status = NestedFault(vcpu, address, access, result, size, own, who % 8 == 6, out ulong host);
        if (status == 0 && (access & 2) != 0)
        {
            Store(host, vcpu.Space, BookWalk.Of(vcpu.Shadow!, guest, address, write: true).Root);
        }
        AfterFault(vcpu, who % 2 == 1);
        return status;
    }

    /// <summary>What the header finds in a shadow's tables is true; whether it finds it is the cache's affair.</summary>
    private int InlineNested(VcpuState vcpu, ulong address, bool write, byte then)
    {
        ShadowState shadow = vcpu.Shadow!;
        address &= write ? ~7UL : ulong.MaxValue;
        TellOfTables(shadow.Root);
        if (!TryBeInside(vcpu))
        {
            return Skipped;
        }
        BookWalk walk = Walk(shadow, address, write);
        bool asks = (write ? vcpu.Inline!.Store(address, out nint host) : vcpu.Inline!.Load(address, out host)) != 0;
        int status = 1;
        if (!asks)
        {
            That(vcpu is { Speaks: true, IsOpen: true }, "asks");
            Same(walk.Code, 0, $"the header finds {address:x}; by the tables");
            Answer below = shadow.Root.Model.Translate(walk.Root, write);
            Same((below.Status, (ulong)host), (0, below.Host), $"the header finds {address:x}; below");
            status = 0;
        }
        else if (vcpu.IsOpen && then % 8 != 7)
        {
            status = NestedFault(vcpu, address, write, out ulong found);
            host = (nint)found;
        }
        if (write && status == 0)
        {
            Store((ulong)host, vcpu.Space, walk.Root);
        }
        Feature(asks ? 1u : 0, 2);
        AfterFault(vcpu, then % 4 == 3);
        return status;
    }

    private int TranslateNested(ShadowState shadow, ulong handle, ulong address, uint access, FaultResult* result, uint size)
    {
        TellOfTables(shadow.Root);
        bool write = (access & 2) != 0;
        BookWalk walk = Walk(shadow, address, write);
        if (walk.IsWild)
        {
            return Skipped;
        }
        int status = library.Translate(handle, address, access, result);
        ReferenceSlot? slot = shadow.Root.Model.Find(walk.Root);
        Answer answer = walk.Code != 0 ? new(walk.Code, walk.Code > 0 ? FaultReason.GuestTables : FaultReason.None)
            : slot is null ? shadow.Root.Model.NoSlot(walk.Root)
            : write && slot.ReadOnly ? new(Status.Protection, FaultReason.ReadOnlySlot)
            : new(0, Host: slot.Host + (walk.Root - slot.Start));
        Check(status, answer.Status);
        if (!_expected.IsBad && status >= 0 && result is not null && size >= sizeof(FaultResult))
        {
            FaultResult found = Received(result, size);
            Same(status == 0 ? 0 : found.reason, (uint)answer.Reason, "reason");
            Same(status == 0 ? (0, 0) : (found.depth, found.table_addr), status == 0 ? (0, 0) : Whose(shadow, walk), "depth and entry");
            Same(status == 0 ? found.host_addr : 0, answer.Host, "host address");
        }
        return status;
    }

    /// <summary>Requests that the tables answer one after the other, unless they take each other's tables away.</summary>
    private int FaultManyNested(VcpuState vcpu, byte* at, int n, uint stride, nuint* done)
    {
        ShadowState shadow = vcpu.Shadow!;
        TellOfTables(shadow.Root);
        Uncrowd(shadow.Root, vcpu);
        List<(BookWalk Walk, uint Access)> walks = [];
        for (int i = 0; i < n; i++)
        {
            var request = (FaultRequest*)(at + (i * stride));
            walks.Add((BookWalk.Of(shadow, guest, request->guest_addr, (request->access & 2) != 0), request->access));
        }
        bool conflict = walks.Any(one => (one.Access & 2) != 0 && walks.Any(
            other => other.Walk != one.Walk && other.Walk.Reads(one.Walk.Root & ~0xFFFUL)));
        if (conflict || walks.Any(one => one.Walk.IsWild))
        {
            return Skipped;
        }
        int status = On(vcpu.IsOwn, () => library.FaultMany(vcpu.Handle, (FaultRequest*)at, (nuint)n, stride, done));
        int good = 0;
        int resolved = 0;
        for (; resolved < n && good == 0; resolved += good == 0 ? 1 : 0)
        {
            (BookWalk walk, uint access) = walks[resolved];
            var request = (FaultRequest*)(at + (resolved * stride));
            if (access is 0 or > AnyAccess)
            {
                good = Status.Invalid;
                continue;
            }
            Answer answer = Resolved(vcpu, walk, (access & 2) != 0);
            bool uncached = answer.Status == 0 && (access & 2) != 0 && walk.IsOfTables;
            good = uncached ? Status.TryAgain : answer.Status;
            good = status == Status.NoMemory && shadow.Root.HasLittleForShadows && good == 0 && (int)*done == resolved ? status : good;
            Same(request->status, good, $"status of request {resolved}");
            Same(good == 0 ? request->host_addr : 0, good == 0 ? answer.Host : 0, $"host address of request {resolved}");
        }
        Same(status, good, "status");
        Same((int)*done, resolved, "done");
        AfterFault(vcpu, stays: false);
        return status;
    }
}
