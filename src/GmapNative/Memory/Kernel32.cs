using System.Runtime.InteropServices;

namespace GmapNative.Memory;

/// <summary>The calls of Windows that this room needs; names and numbers are memoryapi.h's and synchapi.h's.</summary>
internal static unsafe partial class Kernel32
{
    public const uint MemCommit = 0x1000;
    public const uint MemReserve = 0x2000;
    public const uint MemDecommit = 0x4000;
    public const uint MemRelease = 0x8000;
    public const uint PageNoAccess = 0x01;
    public const uint PageReadWrite = 0x04;
    public const uint TimerHighResolution = 0x02;
    public const uint TimerAllAccess = 0x1F0003;
    public const uint Forever = uint.MaxValue;

    [LibraryImport("kernel32", EntryPoint = "VirtualAlloc")]
    public static partial nint Allocate(nint address, nuint bytes, uint how, uint protection);

    [LibraryImport("kernel32", EntryPoint = "VirtualFree")]
    public static partial int Free(nint address, nuint bytes, uint how);

    [LibraryImport("kernel32", EntryPoint = "VirtualLock")]
    public static partial int LockPages(nint address, nuint bytes);

    [LibraryImport("kernel32", EntryPoint = "SwitchToThread")]
    public static partial int SwitchToThread();

    [LibraryImport("kernel32", EntryPoint = "CreateWaitableTimerExW")]
    public static partial nint CreateTimer(nint attributes, nint name, uint flags, uint access);

    [LibraryImport("kernel32", EntryPoint = "SetWaitableTimer")]
    public static partial int SetTimer(nint timer, long* due, int period, nint completion, nint argument, int resumes);

    [LibraryImport("kernel32", EntryPoint = "WaitForSingleObject")]
    public static partial uint Wait(nint handle, uint milliseconds);

    [LibraryImport("kernel32", EntryPoint = "CloseHandle")]
    public static partial int Close(nint handle);
}
