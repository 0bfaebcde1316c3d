namespace GmapNative.Space;

/// <summary>Somebody who wants the dirty pages of slots in logs of its own (Dirty). Called under the configuration lock.</summary>
internal interface IDirtyConsumer
{
    /// <summary>Whether a slot of that id is one of its, as soon as the slot logs. Always the same answer.</summary>
    bool Wants(uint slot);

    /// <summary>Whether discarded pages count as written for it: their contents change.</summary>
    bool CountsDiscards { get; }

    /// <summary>What it still holds of slots that do not log any more, in the arena.</summary>
    ulong BytesOfGone { get; }

    /// <summary>A slot that it wants logs from now on; the sink is the consumer's to free when the slot is retired.</summary>
    void Add(Slot slot, DirtySink sink);
}
