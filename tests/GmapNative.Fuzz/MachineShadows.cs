using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>Operations: shadows are opened, asked about, closed.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostShadows = 6;
    private const int DeepestShadow = 3;
    private const ulong RealSpace = 0x20;
    private const ulong Insignificant = 0x2C0; // G, S, X

    private readonly List<ShadowState> _shadows = []; // open ones

    private int OpenShadow()
    {
        _expected.Clear();
        ulong handle = AnySpaceHandle(out SpaceState? space, out ShadowState? below);
        byte choice = _code.Byte();
        uint edat = choice < 248 ? choice % 3u : choice;
        ulong asce = NewAsce(space, below);
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x} asce {asce:x} edat {edat}");
        if (_shadows.Count >= MostShadows || space is { Engine.IsTight: true })
        {
            return Skipped; // what a fault of a shadow has done when it finds no memory is not documented, nor modelled
        }
        ShadowState? same = space?.Shadows.Find(
            one => one.Below == below && one.Edat == edat && one.Significant == ShadowState.SignificantOf(asce));
        bool full = space is not null && same is null && space.Shadows.Count >= space.MostShadows;
        _expected.If(space is null, Status.BadHandle).If(edat > 2, Status.Invalid).If(AnyInside, Status.Deadlock)
            .If(space is { Model.ByGeneration: true } || below?.Depth >= DeepestShadow, Status.NotSupported).If(full, Status.Busy);
        Feature((below?.Depth ?? 0) + (same is null ? 0 : 4u), 8);
        int status = library.ShadowOpen(handle, asce, edat, made);
        if (!Check(status, 0))
        {
            That(!IsWritten(made), "a handle was given for a shadow that was not opened");
            return status;
        }
        if (same is null)
        {
            same = new ShadowState { Handle = *made, Root = space!, Below = below, Asce = asce, Edat = edat };
            space!.Shadows.Add(same);
            space.IsNested = true;
            Callbacks.Nested.Add(space.Handle);
        }
        if (same.Opened == 0)
        {
            same.Handle = *made;
            _shadows.Add(same);
            Born(*made, same);
        }
        Same(*made, same.Handle, "handle of a shadow that is open");
        same.Opened++;
        return status;
    }

    private int CloseShadow()
    {
        _expected.Clear();
        ulong handle = ShadowHandle(out ShadowState? shadow);
        Say($"{handle:x}");
        _expected.If(shadow is null, Status.BadHandle).If(shadow is { Opened: 1, Vcpus: not 0 }, Status.Busy);
        int status = library.ShadowClose(handle);
        if (Check(status, 0))
        {
            GaveBack(shadow!);
        }
        return status;
    }

    private void GaveBack(ShadowState shadow)
    {
        if (--shadow.Opened == 0)
        {
            _shadows.Remove(shadow);
            Gone(shadow.Handle);
        }
        List<ShadowState> all = shadow.Root.Shadows;
        while (all.RemoveAll(one => one.Opened == 0 && !all.Exists(other => other.Below == one)) != 0)
        {
        }
    }

    /// <summary>Whether it is the one for an ASCE; and calls that are refused whatever there is.</summary>
    private int RefusedShadow()
    {
        _expected.Clear();
        byte kind = _code.Byte();
        ShadowState? shadow = null;
        ulong handle = kind % 4 == 3 ? SpaceHandle(out _) : ShadowHandle(out shadow); // of a space: another kind
        byte choice = _code.Byte();
        uint edat = choice % 8 == 7 ? 3u + choice : choice % 8 == 6 ? choice % 3u : shadow?.Edat ?? 0;
        ulong asce = (shadow?.Asce ?? 0) ^ (choice < 64 ? 0 : choice < 128 ? Insignificant : _code.Spread());
        Say($"{handle:x} {asce:x} {edat}");
        if (shadow is null && _shadows.Exists(one => one.Handle == handle))
        {
            return Skipped; // a handle by chance
        }
        _expected.If(shadow is null, Status.BadHandle);
        if (kind % 4 == 3)
        {
            int closed = library.ShadowClose(handle);
            Check(closed, 0);
            return closed;
        }
        bool other = shadow is not null && (shadow.Edat != edat || shadow.Significant != ShadowState.SignificantOf(asce));
        _expected.If(edat > 2, Status.Invalid);
        int status = library.ShadowIsValid(handle, asce, edat);
        Check(status, other ? Status.TryAgain : 0);
        return status;
    }

    private ulong ShadowHandle(out ShadowState? shadow) => Handle(_shadows, one => one.Handle, out shadow);

    /// <summary>Of others, where a call may wait for readers or tell before a write: views that would be waited for leave first.</summary>
    private void Uncrowd(SpaceState? space, VcpuState? but = null)
    {
        foreach (VcpuState vcpu in space is { IsNested: true } ? _vcpus.Where(one => one.IsInside && one != but) : [])
        {
            vcpu.Inline!.Leave();
        }
    }

    /// <summary>
    /// The engine hears of nothing that is stored to tables by another slot or by the host alone: a host that does so ends what hangs
    /// there.
    /// </summary>
    private void TellOfTables(SpaceState space)
    {
        foreach (ulong page in space.UntoldPages)
        {
            LeaveAll();
            if (space.Model.Find(page) is not null)
            {
                Same(library.Unmap(space.Handle, page, 0x1000, 0, null), 0, "unmap of a page of tables");
                space.Model.Unmap(page, page + 0x1000);
            }
        }
        space.UntoldPages.Clear();
    }

    /// <summary>
    /// After a time-out pages stay armed on which nothing hangs any more (rule 36), and are mapped for loads only, or by no leaf. The
    /// model does not follow that: everybody leaves, and a grace ends it.
    /// </summary>
    private void EndWhatTimedOut()
    {
        foreach (SpaceState space in _spaces.Where(space => space is { IsNested: true, Engine.Patience: Patience.Short }))
        {
            LeaveAll();
            ulong page = 0;
            for (ulong at = 0; at < space.Model.Limit && page == 0; at += 0x1000)
            {
                page = space.Model.Find(at) is null ? at : 0;
            }
            Same(library.Unmap(space.Handle, page, 0x1000, 0, null), 0, "unmap after a time-out");
            space.Model.Unmap(page, page + 0x1000);
        }
    }

    /// <summary>Memory was stored to, by a space's guest or its host at an address of it; or by nobody that the engine knows.</summary>
    private void StoredToTables(ulong host, SpaceState? by, ulong address)
    {
        foreach (SpaceState space in _spaces.Where(space => space.TablePages.Count != 0))
        {
            foreach (Tests.Model.ReferenceSlot slot in space.Model.Slots.Values.Where(slot => host - slot.Host < slot.Size))
            {
                ulong page = (slot.Start + (host - slot.Host)) & ~0xFFFUL;
                bool told = space == by && page == (address & ~0xFFFUL);
                _ = !told && space.TablePages.Contains(page) && space.UntoldPages.Add(page);
            }
        }
    }
}
