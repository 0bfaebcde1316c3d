using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Exports;

/// <summary>Fills <c>gmap_space_stats</c>.</summary>
internal static class SpaceReport
{
    /// <summary>In a section, so that no table is freed while they are counted: a thread inside its view may ask.</summary>
    public static SpaceStats Of(AddressSpace space)
    {
        CounterWords counters = space.Counters.Total();
        TableCount tables = space.Tree.Count();
        ShadowCount shadows = space.Shadows?.Count() ?? default;
        long dense = space.Options.ByGeneration ? 2 * TableKinds.BytesOf(TableKind.DenseBits) : 0;
        return new SpaceStats
        {
            read_faults = (ulong)counters.ReadFaults,
            write_faults = (ulong)counters.WriteFaults,
            guest_conditions = (ulong)counters.GuestConditions,
            segments_mapped = (ulong)counters.SegmentsMapped,
            pages_mapped = (ulong)counters.PagesMapped,
            splits = (ulong)counters.Splits,
            splits_lost = (ulong)counters.SplitsLost,
            pages_granted = (ulong)counters.PagesGranted,
            segments_granted = (ulong)counters.SegmentsGranted,
            pages_unmapped = (ulong)counters.PagesUnmapped,
            armings = (ulong)counters.Armings,
            harvests = (ulong)counters.Harvests,
            pages_harvested = (ulong)counters.PagesHarvested,
            pages_taken = (ulong)counters.PagesTaken,
            pages_marked = (ulong)(counters.PagesMarked + counters.PagesMarkedInSections),
            grace_periods = (ulong)space.Epochs.GracePeriods,
            grace_wait_ns = (ulong)space.Epochs.GraceNanoseconds,
            harvest_ns = (ulong)counters.HarvestNanoseconds,
            backing_scans = (ulong)counters.BackingScans,
            region_tables = (ulong)tables.Regions,
            segment_tables = (ulong)tables.Segments,
            page_tables = (ulong)tables.Pages,
            table_bytes = (ulong)(((tables.Regions + tables.WithDeposits) * TableKinds.BytesOf(TableKind.Region))
                + (tables.Segments * (TableKinds.BytesOf(TableKind.Segment) + dense))
                + (tables.Pages * space.Tree.PageTables.Bytes)),
            vcpus = (ulong)space.Epochs.ViewCount,
            collapses = (ulong)counters.Collapses,
            pages_discarded = (ulong)counters.PagesDiscarded,
            pages_aged = (ulong)counters.PagesAged,
            consumers = (ulong)space.Consumers.Length,
            epochs = (ulong)counters.Epochs,
            notifiers = (ulong)space.Watches.Notifiers.Length,
            notifications = (ulong)counters.Notifications,
            pages_protected = (ulong)counters.PagesProtected,
            shadows = (ulong)shadows.Count,
            shadow_entries = shadows.Entries,
            shadow_bytes = shadows.Bytes,
            unshadows = (ulong)counters.Unshadows,
        };
    }
}
