using GmapNative.Exports.Abi;
using GmapNative.Tests.Statistics;

namespace GmapNative.Tests.Model;

/// <summary>
/// The counters of a sequence against the model's own. Not here: what only the engine can know (times, graces, lost races), and
/// <c>pages_marked</c>, for a bit that is new to the engine's log may be old to the model, which does not part log and epoch.
/// </summary>
internal sealed unsafe partial class SpaceDriver
{
    private long _readFaults;
    private long _writeFaults;
    private long _conditions;
    private long _harvests;
    private long _harvested;
    private long _grantedInline; // by the header's fast path, which the engine does not see

    /// <summary>A fault that the engine was asked for, by what the model answered.</summary>
    private void CountFault(int status, bool write)
    {
        _conditions += status > 0 ? 1 : 0;
        _writeFaults += status == 0 && write ? 1 : 0;
        _readFaults += status == 0 && !write ? 1 : 0;
    }

    private void SameCounters()
    {
        SpaceStats stats = Figures.Of(_test.Space);
        Same((long)stats.read_faults, _readFaults, "read_faults");
        Same((long)stats.write_faults, _writeFaults, "write_faults");
        Same((long)stats.guest_conditions, _conditions, "guest_conditions");
        Same((long)stats.segments_mapped, _model.SegmentsMapped, "segments_mapped");
        Same((long)stats.pages_mapped, _model.PagesMapped, "pages_mapped");
        Same((long)stats.splits, _model.Splits, "splits");
        Same((long)stats.splits_lost, 0, "splits_lost");
        Same((long)stats.pages_granted, _model.PagesGranted - _grantedInline, "pages_granted");
        Same((long)stats.segments_granted, _model.SegmentsGranted, "segments_granted");
        Same((long)stats.pages_unmapped, _model.PagesUnmapped, "pages_unmapped");
        Same((long)stats.armings, _model.Armings, "armings");
        Same((long)stats.harvests, _harvests, "harvests");
        Same((long)stats.pages_harvested, _harvested, "pages_harvested");
        Same((long)stats.pages_taken, _model.PagesTaken, "pages_taken");
        Same((long)stats.collapses, _model.Collapses, "collapses");
        Same((long)stats.pages_discarded, _model.PagesDiscarded, "pages_discarded");
        Same((long)stats.pages_aged, _model.PagesAged, "pages_aged");
        Same((long)stats.pages_protected, _model.PagesProtected, "pages_protected");
        Same(stats.notifications, 0UL, "notifications"); // what is armed is cancelled at once
        Same((long)stats.page_tables, _model.PageTables, "page_tables");
        ulong bytes = (stats.region_tables * (16 << 10)) + (stats.segment_tables * (32 << 10));
        bytes += stats.page_tables * (ulong)_model.PageTableBytes;
        bytes += _test.Space.Options.ByGeneration ? stats.segment_tables * (128 << 10) : 0;
        Same(stats.table_bytes, bytes, "table_bytes");
        Same((long)stats.vcpus, 1, "vcpus");
        Same((long)stats.epochs, _epochs, "epochs");
        Same((long)stats.consumers, 0, "consumers");
    }
}
