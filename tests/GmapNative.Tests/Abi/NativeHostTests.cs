using System;
using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>C and C++ programs that use only the headers and the library, plain and under AddressSanitizer and UBSan.</summary>
[TestFixture]
internal sealed class NativeHostTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    [Test]
    public void TheLifeOfAHost([Values] Flavour flavour) => NativeHost.Check("lifecycle.c", flavour, Patience);

    [Test]
    public void TheInlineHeader([Values] Flavour flavour) => NativeHost.Check("inline.c", flavour, Patience);

    [Test]
    public void BadHandles([Values] Flavour flavour) => NativeHost.Check("bad_handles.c", flavour, Patience);

    [Test]
    public void BadStructs([Values] Flavour flavour) => NativeHost.Check("bad_structs.c", flavour, Patience);

    [Test]
    public void BadArguments([Values] Flavour flavour) => NativeHost.Check("bad_args.c", flavour, Patience);

    [Test]
    public void ConsumersOfDirtyPages([Values] Flavour flavour) => NativeHost.Check("consumers.c", flavour, Patience);

    [Test]
    public void AHostInCpp([Values] Flavour flavour) => NativeHost.Check("cpp_host.cpp", flavour, Patience);

    [Test]
    public void TheTypesOfCpp([Values] Flavour flavour) => NativeHost.Check("cpp_types.cpp", flavour, Patience);

    [Test]
    public void AHostThatIsWatched([Values] Flavour flavour) => NativeHost.Check("watched.c", flavour, Patience);

    [Test]
    public void TheTypesOfCppByClang() => NativeHost.Check("cpp_types.cpp", Flavour.Plain, clang: true, Patience);

    [Test]
    public void ThreadsAgainstAHarvester([Values] Flavour flavour) => NativeHost.Check("threads.c", flavour, Patience, "2");

    [Test]
    public void APictureOfOneInstant([Values] Flavour flavour, [Values("2k", "pgste")] string format) =>
        NativeHost.Check("instant.c", flavour, Patience, "3", format);

    [Test]
    public void AnArenaThatIsTooSmall([Values] Flavour flavour) => NativeHost.Check("memory.c", flavour, Patience);

    [Test]
    public void TheProcessContract([Values] Flavour flavour) => NativeHost.Check("process.c", flavour, Patience);

    [Test]
    public void ASpaceThatTracksByGeneration([Values] Flavour flavour) => NativeHost.Check("generation.c", flavour, Patience);

    [Test]
    public void ASpaceWithLeavesOf2GB([Values] Flavour flavour) => NativeHost.Check("region.c", flavour, Patience);

    [Test]
    public void ASpaceWithPgstes([Values] Flavour flavour) => NativeHost.Check("pgste.c", flavour, Patience);

    [Test]
    public void AGuestThatRunsGuests([Values] Flavour flavour) => NativeHost.Check("shadow.c", flavour, Patience);

    [Test]
    public void ASlotThatTheKernelTracks([Values] Flavour flavour) => NativeHost.Check("backing.c", flavour, Patience);

    [Test]
    public void ASlotWhoseStoresStop([Values] Flavour flavour) => NativeHost.Check("sync.c", flavour, Patience);

    [Test]
    public void AStoreThatIsAnsweredBesideAHarvestIsLost() =>
        NativeHost.CheckFails(
            "sync.c",
            "copies[i] == counters",
            Patience,
            [
                ("LD_LIBRARY_PATH", Path.Combine(Repository.LibraryFolder, "check")),
                ("GMAP_CHECK_LEAVE_OUT", "AnsweredWithoutLock"), ("GMAP_CHECK_JOSTLE", "4"), ("GMAP_CHECK_JOSTLE_AT", "RunProtected"),
            ],
            "beside");

    [Test]
    public void PagesThatComeLater([Values] Flavour flavour) => NativeHost.Check("missing.c", flavour, Patience);

    [Test]
    public void APageThatComesTwiceLosesAStore() =>
        NativeHost.CheckFails(
            "missing.c",
            "value is",
            Patience,
            [
                ("LD_LIBRARY_PATH", Path.Combine(Repository.LibraryFolder, "check")),
                ("GMAP_CHECK_LEAVE_OUT", "ArrivalNotClaimed"), ("GMAP_CHECK_JOSTLE", "4"), ("GMAP_CHECK_JOSTLE_AT", "PageClaimed"),
            ],
            "twice");

    [Test]
    public void APageThatIsThereBeforeItsContentsIsReadTooEarly() =>
        NativeHost.CheckFails(
            "missing.c",
            "value is",
            Patience,
            [
                ("LD_LIBRARY_PATH", Path.Combine(Repository.LibraryFolder, "check")),
                ("GMAP_CHECK_LEAVE_OUT", "ArrivedBeforeCopy"), ("GMAP_CHECK_JOSTLE", "4"), ("GMAP_CHECK_JOSTLE_AT", "PageClaimed"),
            ],
            "twice");

    [Test]
    public void BatchesAndImages([Values] Flavour flavour) => NativeHost.Check("batches.c", flavour, Patience);

    [Test]
    public void ProtectionAndNotifiers([Values] Flavour flavour, [Values("2k", "pgste")] string format) =>
        NativeHost.Check("protect.c", flavour, Patience, format);

    [Test]
    public void FormatsAndRates([Values] Flavour flavour) => NativeHost.Check("formats.c", flavour, Patience);

    [Test]
    public void MemoryThatCannotBeLocked() => NativeHost.Check("batches.c", Flavour.Plain, Patience, "unlocked");

    [TestCase("userfaultfd")]
    [TestCase("refused")]
    [TestCase("async")]
    [TestCase("scan")]
    [TestCase("membarrier")]
    [TestCase("later")]
    public void AKernelWithout(string what) => NativeHost.Check("denied.c", Flavour.Plain, Patience, what);

    [Test]
    public void WhatTheKernelDoesNotSee([Values] Flavour flavour) => NativeHost.Check("backing.c", flavour, Patience, "pin");
}
