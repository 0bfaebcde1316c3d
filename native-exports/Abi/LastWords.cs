using System;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace GmapNative.Exports.Abi;

/// <summary>
/// What is said before the process ends because of an exception where none may be. The runtime would say the exception's name, which
/// the shipped flavour does not have; the addresses that it says after these words are offsets in the library's file.
/// </summary>
internal static class LastWords
{
    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "This library is what runs: nobody's Main comes before its first call.")]
    internal static void Arm()
    {
        if (!RuntimeFeature.IsDynamicCodeCompiled) // this is the library; else a test's process, which has words for itself
        {
            AppDomain.CurrentDomain.UnhandledException += Say;
        }
    }

    private static void Say(object sender, UnhandledExceptionEventArgs what)
    {
        if (what.ExceptionObject is Exception failure)
        {
            Environment.FailFast(
                (Avx2.IsSupported ? "libgmapnative (x86-64-v3): " : "libgmapnative: ") + failure.Message.TrimEnd('.')
                + ". A pointer of the host's is none, or the library's memory was overwritten, or this is a bug of the library: "
                + "report it with these lines.");
        }
    }
}
