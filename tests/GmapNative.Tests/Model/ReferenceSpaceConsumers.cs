using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Model;

/// <summary>What a consumer has of one slot, by guest page numbers: what its next epoch gets, and what the last one got.</summary>
internal sealed class ReferencePart(uint id, ulong firstPage, ulong pages, bool countsDiscards)
{
    public uint Id => id;

    public ulong FirstPage => firstPage;

    public ulong Pages => pages;

    /// <summary>Whether a discard is a change to whom it belongs.</summary>
    public bool CountsDiscards => countsDiscards;

    public HashSet<ulong> Log { get; } = [];

    public HashSet<ulong> Epoch { get; } = [];

    /// <summary>The slot does not log any more, was moved or deleted.</summary>
    public bool IsGone { get; set; }

    /// <summary>Pages as runs that are as long as can be.</summary>
    public static List<(ulong First, ulong Count)> RunsOf(IEnumerable<ulong> pages)
    {
        List<(ulong First, ulong Count)> runs = [];
        foreach (ulong page in pages.Order())
        {
            if (runs.Count != 0 && runs[^1].First + runs[^1].Count == page)
            {
                runs[^1] = (runs[^1].First, runs[^1].Count + 1);
            }
            else
            {
                runs.Add((page, 1));
            }
        }
        return runs;
    }
}

/// <summary>A consumer as it is documented.</summary>
/// <param name="slot">The only slot that it wants; null: all.</param>
/// <param name="countsDiscards">Whether a discard is a change to it: it is a snapshot's.</param>
internal sealed class ReferenceConsumer(uint? slot, bool countsDiscards = false)
{
    public bool CountsDiscards => countsDiscards;

    /// <summary>In the order in which the slots came.</summary>
    public List<ReferencePart> Parts { get; } = [];

    /// <summary>How many of them the epoch looked at that is begun; null: none is.</summary>
    public int? InEpoch { get; set; }

    public ulong Epochs { get; set; }

    public bool Wants(uint id) => slot is null || slot == id;

    /// <summary>What a call that names a slot means.</summary>
    public ReferencePart? Find(uint id) => Parts.Take(InEpoch ?? Parts.Count).LastOrDefault(part => part.Id == id);

    public IEnumerable<ReferencePart> Epoch => Parts.Take(InEpoch ?? 0);

    public void Commit()
    {
        foreach (ReferencePart part in Epoch)
        {
            part.Epoch.Clear();
        }
        InEpoch = null;
        Parts.RemoveAll(part => part.IsGone && part.Log.Count == 0 && part.Epoch.Count == 0);
    }

    public void Abort() => InEpoch = null;
}

/// <summary>Consumers, each with its own history of each slot.</summary>
internal sealed partial class ReferenceSpace
{
    public List<ReferenceConsumer> Consumers { get; } = [];

    /// <summary>Whether a consumer may be opened: of all slots, or of one that logs.</summary>
    public bool CanOpen(uint? id) => id is null || Slots.GetValueOrDefault(id.Value)?.Log is not null;

    /// <summary>What is dirty by now belongs to the others, unless the new one wants everything.</summary>
    public ReferenceConsumer Open(uint? id, bool initiallyDirty, bool countsDiscards = false)
    {
        var opened = new ReferenceConsumer(id, countsDiscards);
        foreach (ReferenceSlot slot in Slots.Values.Where(slot => slot.Log is not null && opened.Wants(slot.Id)))
        {
            if (!initiallyDirty)
            {
                PagesTaken += Take(slot, slot.FirstPage, slot.Pages);
            }
            ReferencePart part = Join(opened, slot);
            part.Log.UnionWith(initiallyDirty ? PagesOf(slot) : []);
            slot.Parts.Add(part);
        }
        Consumers.Add(opened);
        return opened;
    }

    public void Close(ReferenceConsumer consumer)
    {
        Consumers.Remove(consumer);
        foreach (ReferenceSlot slot in Slots.Values)
        {
            slot.Parts.RemoveAll(consumer.Parts.Contains);
        }
    }

    /// <summary>Pages that would be in an epoch that began now.</summary>
    public int PagesToCome(ReferenceConsumer consumer) => consumer.Parts.Sum(
        part => part.Log.Union(part.Epoch).Union(SlotOf(part) is { } slot ? DirtyInTruth(slot) : []).Count());

    /// <summary>Everything of a consumer's slots goes to whom it concerns, and what it gets of it into its epoch.</summary>
    public void Collect(ReferenceConsumer consumer, bool rearm)
    {
        foreach (ReferencePart part in consumer.Parts)
        {
            if (SlotOf(part) is { } slot)
            {
                part.Log.UnionWith(DirtyInTruth(slot));
                PagesTaken += rearm ? Take(slot, slot.FirstPage, slot.Pages) : 0;
            }
            part.Epoch.UnionWith(part.Log);
            part.Log.Clear();
        }
    }

    /// <summary>An epoch begins; how many pages are in it.</summary>
    public int Begin(ReferenceConsumer consumer, bool rearm)
    {
        Collect(consumer, rearm);
        consumer.InEpoch = consumer.Parts.Count;
        consumer.Epochs++;
        return consumer.Parts.Sum(part => part.Epoch.Count);
    }

    /// <summary>A harvest that delivers what is before <paramref name="next"/>: there was no room for more.</summary>
    public HashSet<ulong> HarvestUpTo(ReferenceSlot slot, ulong first, ulong count, bool rearm, ulong next)
    {
        HashSet<ulong> found = Get(slot, first, count);
        PagesTaken += rearm ? Take(slot, first, count) : 0;
        slot.Log!.UnionWith(found);
        found.RemoveWhere(page => page >= next);
        slot.Log.ExceptWith(found);
        return found;
    }

    private IEnumerable<ulong> DirtyInTruth(ReferenceSlot slot) => PagesOf(slot).Where(page => DirtyInTruth(slot, page));

    private ReferenceSlot? SlotOf(ReferencePart part) =>
        part.IsGone ? null : Slots.Values.FirstOrDefault(slot => slot.Parts.Contains(part));

    /// <summary>A slot that logs from now on, with the parts of whom it concerns.</summary>
    private ReferenceSlot Joined(ReferenceSlot slot) =>
        slot with { Parts = slot.Log is null ? [] : [.. Consumers.Where(one => one.Wants(slot.Id)).Select(one => Join(one, slot))] };

    private static ReferencePart Join(ReferenceConsumer consumer, ReferenceSlot slot)
    {
        var part = new ReferencePart(slot.Id, slot.FirstPage, slot.Pages, consumer.CountsDiscards);
        consumer.Parts.Add(part);
        return part;
    }
}
