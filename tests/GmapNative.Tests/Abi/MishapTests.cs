using System;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>
/// What goes wrong around the library, done for real: limits, filters, signals, children, dead threads. The table of
/// tests/native/README.md says what must come of each.
/// </summary>
[TestFixture]
internal sealed class MishapTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120); // each mishap's watchdog, which names it, comes first

    [Test]
    public void ThreadsThatDieOrJumpInside([Values] Flavour flavour) => NativeHost.Check("mishap_threads.c", flavour, Patience);

    [Test]
    public void CallbacksThatCallBack([Values] Flavour flavour) => NativeHost.Check("mishap_callbacks.c", flavour, Patience);

    [Test]
    public void ABackingThatGoesAway([Values] Flavour flavour) => NativeHost.Check("mishap_backing.c", flavour, Patience);

    [Test]
    public void AHostThatForks([Values] Flavour flavour) => NativeHost.Check("mishap_process.c", flavour, Patience, "fork");

    [Test]
    public void AStormOfSignals([Values] Flavour flavour) => NativeHost.Check("mishap_process.c", flavour, Patience, "signals");

    [Test]
    public void HandlersFromBeforeTheLibrary() => NativeHost.Check("mishap_process.c", Flavour.Plain, Patience, "early");

    [Test]
    public void AnArenaThatIsExhaustedAtEachCall([Values] Flavour flavour) =>
        NativeHost.Check("mishap_limits.c", flavour, Patience, "arena");

    [Test]
    public void MemoryThatMayNotBeLocked() => NativeHost.Check("mishap_limits.c", Flavour.Plain, Patience, "lock");

    [Test]
    public void NoAddressSpace() => NativeHost.Check("mishap_limits.c", Flavour.Plain, Patience, "space");

    [Test]
    public void TooLittleForTheRuntime() => NativeHost.Check("mishap_limits.c", Flavour.Plain, Patience, "start");

    [Test]
    public void APointerThatIsNone() => NativeHost.Check("mishap_pointer.c", Flavour.Plain, Patience);

    [Test]
    public void NoMembarrierUnderStress() => NativeHost.Check("threads.c", Flavour.Plain, Patience, "1", "unfenced");

    [TestCase("all")]
    [TestCase("init")]
    [TestCase("kill")]
    [TestCase("steady")]
    public void AHostThatMayOnlyCallWhatIsDocumented(string filter) =>
        NativeHost.Check("sandboxed.c", Flavour.Plain, Patience, filter);

    [TestCase("all", "mlock")]
    [TestCase("init", "membarrier")]
    [TestCase("init", "prlimit64")] // a garbage collection's: so there was one
    public void WhatIsNotAllowedIsNamed(string filter, string call) =>
        NativeHost.CheckFails("sandboxed.c", $"not in the header's list: {call}", Patience, filter, call);
}
