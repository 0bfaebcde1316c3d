using System;
using System.Linq;
using GmapNative.Exports.Abi;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: spaces, their limit, their figures.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostSpaces = 5;
    private const ulong LittleForShadows = 512 << 10;

    private int CreateSpace()
    {
        _expected.Clear();
        ulong handle = EngineHandle(out EngineState? engine);
        byte odd = _code.Byte();
        SpaceConfig config = new()
        {
            flags = Flags(0),
            limit = _code.Any<ulong>(Language.Limits),
            split_policy = _code.Byte() switch { < 160 => 0u, < 230 => 1u, < 250 => 2u, _ => 3u },
            huge = _code.Byte() switch { < 180 => 0u, < 210 => 2u, < 252 => 1u, _ => 3u },
            table_format = odd is 250 or < 80 ? 1u : odd == 251 ? 2u : 0,
            dirty_scope = odd is 252 or (>= 60 and < 110) or (>= 200 and < 215) ? 1u : odd == 253 ? 2u : 0,
            tracking = odd is 254 or (>= 160 and < 230) ? 1u : odd == 255 ? 2u : 0,
        };
        byte shadows = _code.Byte();
        config.max_shadows = shadows switch { < 200 => 0u, < 240 => 2u, _ => 1u };
        config.shadow_bytes = shadows is >= 120 and < 210 ? LittleForShadows : 0;
        SpaceConfig* given = Input(config, out SpaceConfig seen);
        ulong* made = NumberOut(mayBeNull: false);
        Say($"engine {handle:x} limit {seen.limit:x} policy {seen.split_policy} huge {seen.huge} tracking {seen.tracking} "
            + $"format {seen.table_format} scope {seen.dirty_scope}");
        if (_spaces.Count >= MostSpaces)
        {
            return Skipped;
        }
        Feature(seen.split_policy * 4 + seen.huge, 16);
        bool invalid = seen.flags != 0 || seen.split_policy > 2 || seen.huge > 2 || seen.table_format > 1
            || seen.dirty_scope > 1 || seen.tracking > 1;
        _expected.If(engine is null, Status.BadHandle).If(invalid, Status.Invalid)
            .Maybe(engine is { IsTight: true }, Status.NoMemory);
        int status = library.SpaceCreate(handle, given, made);
        if (!Check(status, 0))
        {
            That(!IsWritten(made), "a handle was given for a space that was not created");
            return status;
        }
        var space = new SpaceState
        {
            Handle = *made,
            Engine = engine!,
            Model = new ReferenceSpace(
                seen.limit, (SplitPolicy)seen.split_policy, seen.huge != 1, seen.tracking == 1, seen.table_format == 1,
                seen.dirty_scope == 1),
            Huge = seen.huge != 1,
            HasDeposits = seen.huge == 2 && seen.tracking == 0,
            Splits = seen.split_policy != 1,
            MostShadows = seen.max_shadows == 0 ? 64 : (int)seen.max_shadows,
            HasLittleForShadows = seen.shadow_bytes != 0,
        };
        space.Model.Look = (address, write) => AskTranslate(space, address, write);
        engine!.Spaces.Add(space);
        _spaces.Add(space);
        Born(space.Handle, space);
        return status;
    }

    private int DestroySpace()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        Say($"{handle:x}");
        bool used = space?.Vcpus.Count > 0 || _consumers.Any(one => one.Space == space)
            || _snapshots.Any(one => one.Space == space) || _notifiers.Any(one => one.Space == space)
            || _shadows.Any(one => one.Root == space);
        _expected.If(space is null, Status.BadHandle).If(used, Status.Busy).If(AnyInside, Status.Deadlock);
        int status = library.SpaceDestroy(handle);
        if (Check(status, 0))
        {
            space!.Backings.ForEach(backing => backing.IsAttached = false);
            space.Engine.Spaces.Remove(space);
            _spaces.Remove(space);
            Gone(handle);
        }
        return status;
    }

    private int SetLimit()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ulong limit = _code.Any<ulong>(Language.Limits) + (_code.Rarely(8) ? 0x1000UL : 0);
        Say($"{handle:x} limit {limit:x}");
        _expected.If(space is null, Status.BadHandle).If(AnyInside, Status.Deadlock)
            .If(space is not null && !space.Model.CanLimit(limit), Status.Busy)
            .Maybe(space is { Engine.IsTight: true }, Status.NoMemory);
        int status = library.SetLimit(handle, limit);
        if (Check(status, TimesOut(space) ? Status.TimedOut : 0))
        {
            space!.Model.SetLimit(limit);
        }
        else if (status == Status.NoMemory)
        {
            SpaceStats stats = new() { struct_size = (uint)sizeof(SpaceStats) };
            Same(library.SpaceStats(handle, &stats), 0, "figures");
            bool allowed = space!.Model.LimitWithoutMemory((int)stats.region_tables, (int)stats.segment_tables);
            That(allowed, "a limit without memory made other tables than those on the way to address 0");
        }
        return status;
    }

    private int GetAsce()
    {
        _expected.Clear();
        ulong handle = AnySpaceHandle(out SpaceState? space, out ShadowState? shadow);
        ulong* asce = NumberOut(mayBeNull: false);
        Say($"{handle:x}");
        _expected.If(space is null, Status.BadHandle);
        int status = library.GetAsce(handle, asce);
        if (Check(status, 0) && shadow is not null)
        {
            bool same = (shadow.Asce & 0x20) != 0 || ((*asce ^ shadow.Asce) & 0xC) == 0;
            That(same && (*asce & 0x20) == 0, "designation type of a shadow");
        }
        else if (status == 0)
        {
            Same((*asce >> 2) & 3, (ulong)space!.Model.Levels, "designation type");
            Same(*asce & 3, 3UL, "table length");
        }
        return status;
    }

    private int SpaceFigures()
    {
        _expected.Clear();
        ulong handle = AnySpaceHandle(out SpaceState? space, out ShadowState? shadow);
        SpaceStats* stats = Output<SpaceStats>(out uint size, mayBeNull: false);
        Say($"{handle:x} size {size}");
        _expected.If(space is null, Status.BadHandle);
        int status = library.SpaceStats(handle, stats);
        if (!Check(status, 0))
        {
            Untouched(stats, size);
            return status;
        }
        SpaceStats figures = Received(stats, size);
        if (size >= sizeof(SpaceStats) && shadow is null)
        {
            CheckSpace(space!, figures);
        }
        else if (size >= sizeof(SpaceStats))
        {
            Same((long)figures.vcpus, shadow!.Vcpus, "vcpus of a shadow");
            Same(figures.shadows + figures.splits + figures.pages_taken, 0UL, "what a shadow has not");
        }
        return status;
    }

    private static void CheckSpace(SpaceState space, SpaceStats stats)
    {
        ReferenceSpace model = space.Model;
        Counts counts = space.Counts;
        CheckFaults(space, stats);
        Same((long)stats.segments_mapped, model.SegmentsMapped, "segments_mapped");
        Same((long)stats.pages_mapped, model.PagesMapped, "pages_mapped");
        Same((long)stats.splits, model.Splits, "splits");
        Same(stats.splits_lost, 0UL, "splits_lost");
        long granted = model.PagesGranted - counts.GrantedInline;
        Same(Math.Clamp((long)stats.pages_granted, granted, granted + model.MayCountAsGranted), (long)stats.pages_granted, "pages_granted");
        Same((long)stats.segments_granted, model.SegmentsGranted, "segments_granted");
        Same((long)stats.pages_unmapped, model.PagesUnmapped, "pages_unmapped");
        Same((long)stats.armings, model.Armings, "armings");
        Same((long)stats.harvests, counts.Harvests, "harvests");
        Same((long)stats.pages_harvested, counts.Harvested, "pages_harvested");
        Same((long)stats.pages_taken, model.PagesTaken, "pages_taken");
        Same((long)stats.region_tables, model.Regions, "region_tables");
        Same((long)stats.segment_tables, model.SegmentTables, "segment_tables");
        Same((long)stats.page_tables, model.PageTables, "page_tables");
        ulong bytes = (stats.region_tables << 14) + (stats.segment_tables << 15) + (stats.page_tables * (ulong)model.PageTableBytes);
        bytes += space.DepositBytes;
        bytes += model.ByGeneration ? stats.segment_tables << 17 : 0;
        Same(stats.table_bytes, bytes, "table_bytes");
        Same((long)stats.vcpus, space.Vcpus.Count(vcpu => vcpu.Shadow is null), "vcpus");
        Same((long)stats.consumers, model.Consumers.Count, "consumers");
        Same((long)stats.pages_protected, model.PagesProtected, "pages_protected");
        Same((long)stats.notifiers, counts.Notifiers, "notifiers");
        Same(space.IsNested ? 0 : stats.notifications, 0UL, "notifications"); // what is armed is cancelled at once
        Same((long)stats.epochs, counts.Epochs, "epochs");
        Same((long)stats.collapses, model.Collapses, "collapses");
        Same((long)stats.pages_discarded, model.PagesDiscarded, "pages_discarded");
        Same((long)stats.pages_aged, model.PagesAged, "pages_aged");
        SpaceStats last = space.Last;
        bool risen = stats.pages_marked >= last.pages_marked && stats.grace_periods >= last.grace_periods
            && stats.grace_wait_ns >= last.grace_wait_ns && stats.harvest_ns >= last.harvest_ns
            && stats.backing_scans >= last.backing_scans;
        That(risen, "a counter fell");
        space.Last = stats;
    }

    /// <summary>What shadows have resolved is counted too, where their own tables did not answer.</summary>
    private static void CheckFaults(SpaceState space, in SpaceStats stats)
    {
        (long, long, long) counted = ((long)stats.read_faults, (long)stats.write_faults, (long)stats.guest_conditions);
        (long Reads, long Writes, long Conditions) model = (space.Counts.ReadFaults, space.Counts.WriteFaults, space.Counts.Conditions);
        if (!space.IsNested)
        {
            Same(counted, model, "read_faults, write_faults, guest_conditions");
            Same(stats.shadows + stats.shadow_entries + stats.shadow_bytes + stats.unshadows, 0UL, "shadows");
            return;
        }
        That(counted.Item1 >= model.Reads && counted.Item2 >= model.Writes && counted.Item3 >= model.Conditions, "faults are missing");
        That(stats.shadows >= (ulong)space.Shadows.Count && stats.shadows <= (ulong)space.MostShadows, $"shadows: {stats.shadows}");
        That(stats.unshadows >= space.Last.unshadows, "unshadows fell");
    }
}
