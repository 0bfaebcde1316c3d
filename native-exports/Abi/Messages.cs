using System;
using System.Text;

namespace GmapNative.Exports.Abi;

/// <summary>Static texts, UTF-8, zero-terminated, in the library's read-only data.</summary>
internal static unsafe class Messages
{
    public static byte* Version => Pointer("0.1.0\0"u8);

    public static byte* Of(int status) => Pointer(status switch
    {
        Status.Ok => "done\0"u8,
        Status.NotPermitted => "the operation is not permitted\0"u8,
        Status.NoEntry => "no such slot\0"u8,
        Status.InputOutput => "internal error of the library\0"u8,
        Status.ArgumentTooBig => "a struct is longer than this library knows, and its tail is not zero\0"u8,
        Status.BadHandle => "the handle is null, stale, foreign or of another kind\0"u8,
        Status.TryAgain => "try again\0"u8,
        Status.NoMemory => "the arena or the machine's memory is exhausted\0"u8,
        Status.Fault => "an address has no slot, or memory is not mapped\0"u8,
        Status.Busy => "still in use\0"u8,
        Status.Exists => "the slot overlaps another\0"u8,
        Status.Invalid => "an argument is invalid\0"u8,
        Status.Deadlock => "the calling thread's view is inside a section: leave first\0"u8,
        Status.NotSupported => "not supported by this library or kernel\0"u8,
        Status.NoBuffer => "the buffer is too small\0"u8,
        Status.TimedOut => "threads did not leave their sections in time\0"u8,
        Status.Protection => "protection exception\0"u8,
        Status.Addressing => "addressing exception\0"u8,
        Status.SegmentTranslation => "segment-translation exception\0"u8,
        Status.PageTranslation => "page-translation exception\0"u8,
        Status.TranslationSpecification => "translation-specification exception\0"u8,
        Status.AsceType => "ASCE-type exception\0"u8,
        Status.RegionFirstTranslation => "region-first-translation exception\0"u8,
        Status.RegionSecondTranslation => "region-second-translation exception\0"u8,
        Status.RegionThirdTranslation => "region-third-translation exception\0"u8,
        _ => "unknown status\0"u8,
    });

    /// <summary>Calls a host's log callback with a zero-terminated copy that lives for the call.</summary>
    public static void Tell(delegate* unmanaged<void*, int, byte*, void> log, void* user, int level, string message)
    {
        byte[] text = Encoding.UTF8.GetBytes(message + "\0");
        fixed (byte* pointer = text)
        {
            log(user, level, pointer);
        }
    }

    // Literals of this kind are constants in the image: they neither move nor end.
    private static byte* Pointer(ReadOnlySpan<byte> literal) =>
        (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref System.Runtime.InteropServices.MemoryMarshal.GetReference(literal));
}
