using System.Numerics;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Dirty;

/// <summary>The epoch in the form of a log that others read too.</summary>
internal sealed unsafe partial class Consumer
{
    private const ulong WordPages = 64;

    /// <summary>
    /// ORs the epoch into a vhost log of so many words; how many pages. No buffer, with nothing set: the log is too short for one of
    /// them. See <c>gmap_dirty_export</c>.
    /// </summary>
    public int Export(ulong* log, ulong words, out ulong pages)
    {
        pages = 0;
        using (_gate.Hold())
        {
            if (_state != State.Begun)
            {
                return NotBegun();
            }
            ulong end = ulong.Min(words, ulong.MaxValue / WordPages) * WordPages; // of the pages that the log has; no guest is so large
            foreach (Part part in _parts)
            {
                ulong gfn = part.Slot.GuestAddress >> GuestAddress.PageShift;
                ulong room = ulong.Min(part.Pages, end - ulong.Min(end, gfn)); // its pages that fit
                if (part.Sink.Epoch.Any(room, part.Pages - room))
                {
                    return Status.NoBuffer;
                }
            }
            foreach (Part part in _parts)
            {
                pages += Export(part, log, words);
            }
            return Status.Ok;
        }
    }

    private static ulong Export(Part part, ulong* log, ulong words)
    {
        PinnedBitmap epoch = part.Sink.Epoch;
        ulong gfn = part.Slot.GuestAddress >> GuestAddress.PageShift;
        ulong pages = 0;
        for (ulong at = epoch.Skip(0, part.Pages); at < part.Pages; at = epoch.Skip((at | (WordPages - 1)) + 1, part.Pages))
        {
            ulong first = at & ~(WordPages - 1);
            ulong bits = epoch.Peek(first);
            pages += (ulong)BitOperations.PopCount(bits);
            _ = VhostLog.Or(log, words, gfn + first, bits); // it fits, as was looked at; an epoch that was begun does not change
        }
        return pages;
    }
}
