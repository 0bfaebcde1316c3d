using System.Collections.Generic;

namespace GmapNative.Tests.Interleaving;

/// <summary>Bugs that somebody could make in gmap_inline.h, each with a scenario in which a schedule shows it.</summary>
internal static class HeaderTwins
{
    private const string SetSummary = "  gmap_mark_(view, segment, guest_addr);\n";
    private const string EndOfGrant = "GMAP_PAGE_DIRTY | GMAP_PAGE_SOFT_DIRTY | GMAP_PAGE_YOUNG) ||\n"
        + "           (view->granted++, 0)); /* this thread's grant: counted once */\n";
    private const string LoadPage = "  entry = GMAP_ATOMIC_LOAD(page);\n";
    private const string EnterStore = "  GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside | 1u) + 2u);\n";
    private const string EnterLoad =
        "  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view)); /* it says too that older sections are over */\n";

    private const string DenseTest = "    if (!(GMAP_ATOMIC_LOAD_SEQ_CST(word) & bit)) {\n      GMAP_INLINE_YIELD(13);\n";
    private const string DenseOr = "      view->granted += !(GMAP_ATOMIC_OR64(word, bit) & bit);\n";
    private const string ByGeneration = "  if (view->by_generation) {\n";
    private const string EndOfMark = "  }\n  gmap_summary_(segment, guest_addr);\n";

    /// <summary>The store, and then what grants and marks it: in the shim, which is the host.</summary>
    private static readonly (string, string) s_storeFirst = (
        "  gmap_status status = gmap_store_resolve(view, guest_addr, 8, &host, NULL);\n"
            + "  return status ? status : shim_put(host, expected, value);\n",
        "  gmap_status status = gmap_load_resolve(view, guest_addr, 8, &host, NULL);\n"
            + "  if (status == 0) status = shim_put(host, expected, value);\n"
            + "  return status ? status : gmap_store_resolve(view, guest_addr, 8, &host, NULL);\n");

    /// <summary>Only a region entry says P there, which nothing in the engine does yet: <see cref="BugTests"/>.</summary>
    public static HeaderTwin NoRegionProtection { get; } = new(
        "P of a region entry does not accumulate", ("((protect | entry) & GMAP_TABLE_PROTECT)", "(entry & GMAP_TABLE_PROTECT)"));

    public static IEnumerable<(HeaderTwin Twin, Scenario Scenario)> All =>
    [
        (new("a second writer leaves the summary bit to the first",
            ("    if (!(entry & (GMAP_PAGE_INVALID | GMAP_PAGE_PROTECT))) break; /* another writer was first */\n",
                "    if (!(entry & (GMAP_PAGE_INVALID | GMAP_PAGE_PROTECT))) {\n"
                + "      *host = (uintptr_t)((entry & GMAP_PAGE_FRAME) | (guest_addr & ~GMAP_PAGE_FRAME));\n"
                + "      return 0;\n"
                + "    }\n")),
            Scenarios.TwoWritersAndHarvest),
        (new("the summary bit is set before the entry grants",
            (LoadPage, SetSummary + LoadPage), (EndOfGrant + SetSummary, EndOfGrant)),
            Scenarios.WriterOfALine),
        (new("the entry grants, no summary bit is set", (EndOfGrant + SetSummary, EndOfGrant)), Scenarios.WriterAndHarvest),
        (new("who finds the summary bit set leaves the stripe's to whoever set it",
            ("    GMAP_ATOMIC_OR32(word, bit);\n  }\n", "    GMAP_ATOMIC_OR32(word, bit);\n  } else {\n    return;\n  }\n")),
            StripeScenarios.TwoWritersAndHarvest),
        (new("the stripe's bit is set before the summary bit",
            ("  GMAP_INLINE_YIELD(3);\n", "  GMAP_ATOMIC_OR32(stripes, stripe);\n  GMAP_INLINE_YIELD(3);\n"),
            ("    GMAP_ATOMIC_OR32(stripes, stripe);\n    GMAP_INLINE_YIELD(17);\n", "")),
            StripeScenarios.WriterAndHarvests),
        (new("no stripe's bit is set", ("    GMAP_ATOMIC_OR32(stripes, stripe);\n", "")), StripeScenarios.TwoWritersAndHarvest),
        (new("the store comes before the grant", s_storeFirst), Scenarios.WriterAndHarvest),
        (new("by generation: the store comes before the mark", s_storeFirst), GenerationScenarios.WriterAndHarvest),
        (new("by generation: no dense bit is set", (DenseOr, "")), GenerationScenarios.WriterAndHarvest),
        (new("by generation: a second writer leaves the summary bit to the first",
            (DenseTest, "    if (GMAP_ATOMIC_LOAD_SEQ_CST(word) & bit) return;\n    {\n      GMAP_INLINE_YIELD(13);\n")),
            GenerationScenarios.TwoWritersAndHarvest),
        (new("by generation: the summary bit is set before the dense bit",
            (ByGeneration, "  gmap_summary_(segment, guest_addr);\n" + ByGeneration), (EndOfMark, "  }\n")),
            GenerationScenarios.WriterOfALine),
        (new("by generation: the cache is filled with a generation that is read again",
            ("  entry->load_generation = view->generation; /*", "  entry->load_generation = gmap_generation_(view); /*")),
            GenerationScenarios.CachedWriter),
        (new("the cache is filled with a generation that is read again",
            ("  entry->load_generation = view->generation; /*", "  entry->load_generation = gmap_generation_(view); /*")),
            Scenarios.CachedWriter),
        (new("the cache does not look at the generation",
            ("GMAP_EXPECT(entry->store_generation == view->generation, 1)", "entry->store_generation != 0")),
            Scenarios.CachedWriterGoesOn),
        (new("a poll and a store in one keep a right from before the poll",
            ("entry->store_generation == gmap_polled_(view)", "entry->store_generation == view->generation && gmap_again(view) >= 0")),
            AgainScenarios.CachedWriter),
        (new("a poll keeps the generation of before",
            ("  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view));\n",
                "  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view));\n  view->reserved0[0] = 1;\n"),
            ("GMAP_EXPECT(entry->store_generation == view->generation, 1)",
                "GMAP_EXPECT(entry->store_generation == view->generation - view->reserved0[0], 1)")),
            AgainScenarios.CachedWriterByTwo),
        (new("a pointer from before a poll is used after it",
            ("  void *host;\n  gmap_status status = gmap_again_store(view, cache, 0, guest_addr, 8, &host);\n",
                "  void *host = NULL;\n  gmap_status status = gmap_cache_store(view, cache, 0, guest_addr, 8, &host);\n"
                + "  (void)gmap_again(view);\n  shim_yield(2);\n")),
            AgainScenarios.CachedWriter),
        (new("a store across pages grants only the first",
            ("gmap_next_pages_(view, guest_addr, last, GMAP_ACCESS_WRITE, at) : 0", "(int)(last & 0) : 0")),
            Scenarios.CrossingWriter),
        (new("a store through a leaf leaves the summary bits to the one that granted it",
            ("  if (entry & GMAP_TABLE_LEAF) {\n  " + SetSummary, "  if (entry & GMAP_TABLE_LEAF) {\n")),
            Scenarios.TwoWritersOfALeaf),
        (new("a protected leaf is written", ("|| ((protect | entry) & GMAP_TABLE_PROTECT)", "|| (protect & GMAP_TABLE_PROTECT)")),
            Scenarios.TwoSplits),
        (new("a page of a frozen segment is written", ("|| ((protect | entry) & GMAP_TABLE_PROTECT)", "|| (protect & GMAP_TABLE_PROTECT)")),
            FreezingScenarios.AndWriter),
        (new("enter loads the generation first", (EnterStore, EnterLoad + "  GMAP_INLINE_YIELD(6);\n" + EnterStore),
            ("  GMAP_INLINE_YIELD(6);\n" + EnterLoad, "")),
            Scenarios.CachedWriterGoesOn),
        (new("enter leaves the word even", ("(view->inside | 1u) + 2u", "(view->inside + 2u) & ~(uint64_t)1")), Scenarios.WriterAndHarvest),
    ];
}
