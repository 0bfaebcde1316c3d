using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Model;

/// <summary>A snapshot as it is documented, but for the memory: a consumer, and what it has of the slots that were copied.</summary>
internal sealed class ReferenceSnapshot(ReferenceConsumer consumer)
{
    public ReferenceConsumer Consumer => consumer;

    /// <summary>In the order of their addresses.</summary>
    public ReferencePart[] Images { get; } = [.. consumer.Parts.OrderBy(part => part.FirstPage)];

    /// <summary>False where a slot was moved, deleted, or does not log any more.</summary>
    public bool IsWhole => Images.All(part => !part.IsGone);
}

/// <summary>Snapshots.</summary>
internal sealed partial class ReferenceSpace
{
    /// <summary>Whether pages of some slot come later: no snapshot is taken, restored or verified.</summary>
    public bool LacksPages => Slots.Values.Any(slot => slot.Missing is not null);

    /// <summary>Whether everything is read-only or logs.</summary>
    public bool CanSnapshot => Slots.Values.All(slot => slot.ReadOnly || slot.Log is not null);

    public ReferenceSnapshot TakeSnapshot() => new(Open(null, initiallyDirty: false, countsDiscards: true));

    /// <summary>
    /// What an epoch of a snapshot that was begun puts back; how many pages. <paramref name="stored"/> is told each host address that is
    /// written, for whoever looks there by the kernel's eyes: of a read-only slot only what <paramref name="differs"/>.
    /// </summary>
    public int Restore(ReferenceSnapshot snapshot, Func<ulong, bool> differs, Action<ulong> stored)
    {
        int pages = 0;
        foreach (ReferencePart part in snapshot.Images)
        {
            ReferenceSlot slot = SlotOf(part)!;
            foreach (ulong page in part.Epoch.Order())
            {
                ulong host = slot.Host + ((page - slot.FirstPage) << 12);
                if (!slot.ReadOnly || differs(host))
                {
                    stored(host);
                }
                slot.Kernel?.Remove(page);
                slot.Log!.Add(page);
                slot.Parts.FindAll(other => other != part).ForEach(other => other.Log.Add(page));
                pages++;
            }
        }
        Settle(snapshot.Consumer);
        snapshot.Consumer.Commit();
        return pages;
    }

    /// <summary>
    /// One look takes all that kernels saw meanwhile: written by way of another slot with the same memory. The snapshot need not hear of
    /// what its epoch has.
    /// </summary>
    private void Settle(ReferenceConsumer consumer)
    {
        foreach (ReferencePart part in consumer.Parts.Where(part => part.Epoch.Count != 0))
        {
            if (SlotOf(part) is { Kernel: { } kernel } slot)
            {
                ulong[] unexpected = [.. kernel.Except(part.Epoch)];
                PagesTaken += unexpected.Length;
                part.Log.UnionWith(unexpected);
                slot.Log!.UnionWith(kernel);
                slot.Parts.FindAll(other => other != part).ForEach(other => other.Log.UnionWith(kernel));
                kernel.Clear();
            }
        }
    }

    /// <summary>Host addresses of the pages that a snapshot has.</summary>
    public IEnumerable<ulong> HostPages(ReferenceSnapshot snapshot) => snapshot.Images.SelectMany(
        part => PagesOf(SlotOf(part)!).Select(page => SlotOf(part)!.Host + ((page - part.FirstPage) << 12)));
}
