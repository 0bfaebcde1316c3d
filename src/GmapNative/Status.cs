namespace GmapNative;

/// <summary>
/// What every engine operation answers: 0 is done, a negative value is <c>-errno</c> with Linux's numbers on every platform,
/// a positive value is a guest program-interruption code (Principles of Operation, chapter 6).
/// </summary>
internal static class Status
{
    public const int Ok = 0;

    public const int NotPermitted = -1;            // EPERM
    public const int NoEntry = -2;                 // ENOENT
    public const int InputOutput = -5;             // EIO
    public const int ArgumentTooBig = -7;          // E2BIG
    public const int BadHandle = -9;               // EBADF
    public const int TryAgain = -11;               // EAGAIN
    public const int NoMemory = -12;               // ENOMEM
    public const int Fault = -14;                  // EFAULT
    public const int Busy = -16;                   // EBUSY
    public const int Exists = -17;                 // EEXIST
    public const int Invalid = -22;                // EINVAL
    public const int Deadlock = -35;               // EDEADLK
    public const int NotSupported = -95;           // EOPNOTSUPP
    public const int NoBuffer = -105;              // ENOBUFS
    public const int TimedOut = -110;              // ETIMEDOUT

    public const int Protection = 0x04;
    public const int Addressing = 0x05;
    public const int SegmentTranslation = 0x10;
    public const int PageTranslation = 0x11;
    public const int TranslationSpecification = 0x12;
    public const int AsceType = 0x38;
    public const int RegionFirstTranslation = 0x39;
    public const int RegionSecondTranslation = 0x3A;
    public const int RegionThirdTranslation = 0x3B;
}
