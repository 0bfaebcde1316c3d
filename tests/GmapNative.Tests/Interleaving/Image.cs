using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Interleaving;

/// <summary>What one reader of dirty pages has copied, and when each page was last reported to it: the oracle's.</summary>
/// <param name="world">Whose memory it is of.</param>
/// <param name="whose">How failures call it.</param>
internal sealed unsafe class Image(World world, string whose)
{
    private readonly ulong[,] _words = new ulong[Turns.MostThreads, World.Pages];
    private readonly long[] _lastReport = new long[World.Pages];

    public ulong this[int thread, int page] => _words[thread, page];

    /// <summary>Copies everything: what was written before <paramref name="begin"/> may not be reported any more.</summary>
    public void Begin(long begin, IEnumerable<int> pages)
    {
        foreach (int page in pages)
        {
            Copy(page);
        }
        Array.Fill(_lastReport, begin);
    }

    /// <summary>A report of pages that were written: they are copied.</summary>
    public void Report(IReadOnlyCollection<int> reported, long begin, bool marksStay = false)
    {
        foreach (int page in reported)
        {
            Copy(page);
        }
        foreach (int page in marksStay ? [] : reported)
        {
            _lastReport[page] = begin;
        }
    }

    /// <summary>No page is reported that nobody wrote since the last report of it.</summary>
    public void Check(IEnumerable<int> reported)
    {
        foreach (int page in reported.Where(page => !world.WasWritten(page, _lastReport)))
        {
            world.Fail($"page {page} was reported{whose}, and nobody wrote it since the last report");
        }
    }

    /// <summary>Everything that was stored before a call began is here after it.</summary>
    public void Expect(List<(int Thread, int Page, ulong Stamp)> before, string call)
    {
        foreach ((int thread, int page, ulong stamp) in before)
        {
            if (_words[thread, page] < stamp)
            {
                ulong has = _words[thread, page];
                world.Fail($"{call}: store {stamp} of thread {thread} to page {page} was done before it began; the image{whose} has {has}");
            }
        }
    }

    /// <summary>At the end: the image is the memory.</summary>
    public void ExpectAll(List<(int Thread, int Page, ulong Stamp)> stored)
    {
        foreach ((int thread, int page, ulong _) in stored)
        {
            if (_words[thread, page] != *World.Word(thread, page))
            {
                world.Fail($"page {page} was never reported{whose} with the last store of thread {thread}");
            }
        }
    }

    private void Copy(int page)
    {
        for (int thread = 0; thread < Turns.MostThreads; thread++)
        {
            _words[thread, page] = *World.Word(thread, page); // guest memory of the test
        }
    }
}
