using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Model;

/// <summary>Slots made, changed and deleted; where the dirty scope is the space, all log as long as one asks.</summary>
internal sealed partial class ReferenceSpace
{
    private bool? _loggedBefore; // between the two halves of a move

    /// <summary>The slots that the last change made log.</summary>
    public List<uint> Began { get; } = [];

    public bool GlobalDirty => globalDirty;

    private bool AnyAsks => globalDirty && Slots.Values.Any(slot => slot.Asks);

    public void Create(ReferenceSlot slot, bool initiallyDirty)
    {
        bool asks = slot.Log is not null;
        bool logged = _loggedBefore ?? AnyAsks;
        bool logs = asks || AnyAsks;
        _loggedBefore = null;
        Began.Clear();
        SwitchOthers(slot.Id, logged, logs, initiallyDirty);
        Make(slot with { Asks = asks, Log = logs ? [] : null }, initiallyDirty);
    }

    /// <summary>The last dirty pages. <paramref name="moves"/>: the same slot is created next.</summary>
    public HashSet<ulong> Delete(ReferenceSlot slot, bool moves = false)
    {
        bool logged = AnyAsks;
        HashSet<ulong> last = Remove(slot);
        _loggedBefore = moves ? logged : null;
        if (!moves)
        {
            SwitchOthers(slot.Id, logged, AnyAsks, false);
        }
        return last;
    }

    /// <summary>Logging and the right to write. The last dirty pages, where logging ends and they are asked for.</summary>
    public HashSet<ulong> Change(ReferenceSlot old, bool readOnly, bool log, bool initiallyDirty, bool wantsFinal)
    {
        bool logged = AnyAsks;
        bool logs = log || (globalDirty && Slots.Values.Any(slot => slot.Id != old.Id && slot.Asks));
        Began.Clear();
        if (logs && old.Log is null)
        {
            Began.Add(old.Id);
        }
        HashSet<ulong> final = Switch(old, readOnly, logs, initiallyDirty, wantsFinal);
        Slots[old.Id] = Slots[old.Id] with { Asks = log };
        SwitchOthers(old.Id, logged, logs, initiallyDirty);
        return final;
    }

    private void SwitchOthers(uint id, bool logged, bool logs, bool initiallyDirty)
    {
        bool switches = globalDirty && logged != logs;
        foreach (ReferenceSlot other in switches ? Slots.Values.Where(slot => slot.Id != id).OrderBy(slot => slot.Start).ToArray() : [])
        {
            _ = Switch(other, other.ReadOnly, logs, initiallyDirty, wantsFinal: false);
            Began.AddRange(logs ? [other.Id] : []);
        }
    }
}
