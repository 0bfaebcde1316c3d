using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>A guest that rewrites its tables at every step keeps no fault for ever: it says so, and succeeds later.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
public sealed class RewritingGuestTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong Frames = 4 * Segment;
    private const int MostVisits = 16 * 256; // rounds of a fault, and of each install in it

    /// <summary>Each time that it was walked the entry of the page leads elsewhere, or that of the segment.</summary>
    [Test]
    public void A_guest_that_rewrites_its_tables_at_every_step_is_told_to_come_again(
        [Values("page", "segment", "page two below")] string table, [Values] bool write, [Values] bool resolved)
    {
        Access access = write ? Access.Write : Access.Read;
        Place when = resolved ? Place.RootResolved : Place.GuestWalked;
        using var guest = new NestedGuest();
        ShadowSpace first = Scenarios.NestedScenarios.OpenSimple(guest);
        guest.PlantSegment(Segments, 2, Pages + 0x1000, Frames);
        bool deep = table == "page two below";
        ShadowSpace shadow = deep ? Scenarios.NestedScenarios.OpenSecond(guest, first) : first;
        ulong address = Segment + (3 * Page);
        int visits = 0;
        int refused = 0;
        bool visiting = false;
        Probe.Visitor = place =>
        {
            if (place == when && !visiting && visits < 2 * MostVisits)
            {
                visiting = true;
                (ulong at, ulong entry) = Rewritten(table, ++visits);
                refused += guest.Store(at, entry) == 0 ? 0 : 1;
                visiting = false;
            }
        };
        int status = guest.Try(shadow, address, access, out FaultOutcome outcome);
        Probe.Visitor = null;
        Assert.That(status, Is.EqualTo(Status.TryAgain));
        Assert.That((refused, outcome.Rights, outcome.Reason), Is.EqualTo((0, Access.None, FaultReason.None)));
        Assert.That(visits, Is.InRange(2, MostVisits), "it is not told for ever, nor at once");
        Assert.That(IsMapped(shadow, address), Is.False);
        guest.Check();
        Assert.That(guest.At(shadow, address, access), Is.EqualTo((long)LeadsTo(table, visits)), "by the last that was written");
        guest.Check();
        if (deep)
        {
            guest.Close(shadow);
        }
    }

    /// <summary>The entry that the guest writes at a visit: one of two, in turn.</summary>
    private static (ulong At, ulong Entry) Rewritten(string table, int visit) => table switch
    {
        "page" => (Pages + 24, Frames + (ulong)(5 + (visit % 2)) * Page),
        "segment" => (Segments + 8, Pages + (ulong)(visit % 2) * 0x1000),
        _ => (Pages + (67 * 8), Frames + (ulong)(90 + (visit % 2)) * Page), // what the second guest's page 3 is
    };

    private static ulong LeadsTo(string table, int visit) => table switch
    {
        "page" => Frames + ((ulong)(5 + (visit % 2)) * Page),
        "segment" => Frames + (3 * Page), // both tables say the same
        _ => Frames + ((ulong)(90 + (visit % 2)) * Page),
    };
}
