using GmapNative.Backing;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>Pages that come later: each holds a seal when it has.</summary>
internal sealed unsafe partial class World
{
    /// <summary>The word of a page that holds its seal: no thread's own.</summary>
    public const int SealWord = 100;

    public MissingPages Missing { get; private set; } = null!;

    public static ulong SealOf(int page) => 0x5EA1_0000UL + (ulong)page;

    /// <summary>Makes pages of a slot (which begins at page 0) missing while nobody else runs; those that are not have come.</summary>
    public void Expect(uint slot, params int[] pages)
    {
        Slot found = Test.Space.Map.ById(slot)!;
        ulong[] bitmap = new ulong[(found.Pages + 63) / 64];
        for (int page = 0; page < (int)found.Pages; page++)
        {
            bool lacks = System.Array.IndexOf(pages, page) >= 0;
            bitmap[page / 64] |= lacks ? 1UL << (page % 64) : 0;
            Word(0, page)[SealWord] = lacks ? 0 : SealOf(page); // guest memory of the test
        }
        fixed (ulong* words = bitmap)
        {
            _ = MissingCalls.Attach(Test.Space, slot, stops: false, words, (ulong)bitmap.Length, out MissingPages? missing);
            Missing = missing!;
        }
    }

    /// <summary>Everything has come: the slot is as any other.</summary>
    public void EndMissing()
    {
        int status = MissingCalls.Detach(Test.Space, Missing);
        if (status != Status.Ok)
        {
            Fail($"detach: {status}");
        }
    }
}
