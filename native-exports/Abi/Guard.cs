using System;

namespace GmapNative.Exports.Abi;

/// <summary>
/// The one place where an exception ends: none may cross the ABI. Exports that can allocate end with
/// <c>catch (Exception failure) { return Guard.StatusOf(failure); }</c>; the hot ones throw nothing.
/// </summary>
internal static class Guard
{
    public static int StatusOf(Exception failure) =>
        failure is OutOfMemoryException or InsufficientMemoryException ? Status.NoMemory : Status.InputOutput;
}
