using System;
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
    public void ThreadsAgainstAHarvester([Values] Flavour flavour) => NativeHost.Check("threads.c", flavour, Patience, "2");

    [Test]
    public void AnArenaThatIsTooSmall([Values] Flavour flavour) => NativeHost.Check("memory.c", flavour, Patience);

    [Test]
    public void TheProcessContract([Values] Flavour flavour) => NativeHost.Check("process.c", flavour, Patience);

    [Test]
    public void ASpaceThatTracksByGeneration([Values] Flavour flavour) => NativeHost.Check("generation.c", flavour, Patience);

    [Test]
    public void ASlotThatTheKernelTracks([Values] Flavour flavour) => NativeHost.Check("backing.c", flavour, Patience);

    [Test]
    public void BatchesAndImages([Values] Flavour flavour) => NativeHost.Check("batches.c", flavour, Patience);

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
