namespace GmapNative;

/// <summary>
/// Where a thread can be held up: between two steps of PROTOCOL.md that others may see apart. A name says what the thread has just done.
/// </summary>
internal enum Place
{
    None = 0,

    /// <summary>The thread cannot go on before another one does something: it is polling.</summary>
    Waiting,

    /// <summary>The inside word is odd, the generation is not loaded yet.</summary>
    ViewEntered,

    /// <summary>The section ends next.</summary>
    ViewLeaves,

    /// <summary>The open views are known; their words are looked at next.</summary>
    ViewsListed,

    /// <summary>The barrier of rule 6 is next.</summary>
    GraceBegins,

    /// <summary>Every thread has passed the barrier; the words of views are looked at next.</summary>
    BarrierDone,

    GraceEnded,

    /// <summary>An entry was loaded, on which the next compare-and-swap depends.</summary>
    EntryLoaded,

    /// <summary>A page or a leaf has P = 0; its summary bit may be clear.</summary>
    EntryGrants,

    /// <summary>A summary bit was found clear and is set next.</summary>
    SummaryTested,

    SummarySet,

    SummaryCleared,

    /// <summary>A stripe's bit was found clear and is set next.</summary>
    StripeTested,

    StripeSet,

    /// <summary>The summary words of stripes were zero: their bits are cleared next.</summary>
    StripesEmpty,

    /// <summary>They are looked at once more.</summary>
    StripesCleared,

    /// <summary>Writers that walk from now on set other dense bits than those before.</summary>
    DenseSwapped,

    /// <summary>A dense bit was found clear and is set next.</summary>
    DenseTested,

    /// <summary>A dense bit is set; its summary bit may be clear.</summary>
    DenseSet,

    SegmentLocked,

    SegmentUnlocked,

    /// <summary>Stores to the segment ask; those that came before are waited for next.</summary>
    SegmentFrozen,

    SegmentThawed,

    /// <summary>Every section of the call has ended; it takes a slot's harvest turn next.</summary>
    TurnNext,

    /// <summary>A call that met a frozen segment has ended its section, and waits for the thaw next.</summary>
    FrozenLeft,

    /// <summary>The entries of a group were looked at for soft-dirty bits.</summary>
    EntriesRead,

    /// <summary>Bits are in a log or an epoch; their source is not cleared yet.</summary>
    Poured,

    /// <summary>Bits are in one consumer's log or epoch, and not yet in those of the others.</summary>
    FirstPoured,

    EntryArmed,

    /// <summary>A word of the log is in the epoch and not yet cleared in the log.</summary>
    LogCopied,

    /// <summary>A word of the log is in the epoch and cleared in the log.</summary>
    LogMoved,

    /// <summary>A word of an epoch is looked at; its runs are appended next.</summary>
    EpochLooked,

    /// <summary>A block of a log counts as empty; its words are looked at next.</summary>
    BlockForgotten,

    /// <summary>Bits are in a log whose block counts as empty until the next step.</summary>
    WordMarked,

    /// <summary>A harvest has everything in its epoch and let the harvest lock go.</summary>
    Collected,

    /// <summary>A consumer's epoch can be read and ended, by anybody who knows the consumer.</summary>
    EpochBegun,

    /// <summary>A consumer has looked whether a slot that went has anything left for it.</summary>
    PartLooked,

    /// <summary>What was marked in the tables is the other consumers'; the one that opens joins them next.</summary>
    TakenForOthers,

    GenerationBumped,

    /// <summary>A table is built that nobody sees; linking it is next.</summary>
    ChildBuilt,

    TableLinked,

    EntryEmptied,

    /// <summary>The deposit of 2 GB is held: what is linked there changes next, or a table is filled.</summary>
    DepositLocked,

    DepositUnlocked,

    /// <summary>The lock bit of a PGSTE is set; its new value is next.</summary>
    PgsteLocked,

    /// <summary>An entry of a table that is to collapse is no longer grantable.</summary>
    EntryHeld,

    TableUnlinked,

    /// <summary>A table is free, and may be handed out again.</summary>
    TableFreed,

    /// <summary>Another set of slots is visible.</summary>
    MapPublished,

    /// <summary>The calls that were running have ended.</summary>
    CallsEnded,

    /// <summary>A configuration's walk over the tables is done.</summary>
    Walked,

    /// <summary>The pages of a host's write are marked, its bytes are not copied.</summary>
    HostMarked,

    /// <summary>The bytes of a host's write are in guest memory.</summary>
    HostCopied,

    /// <summary>A word is out of a device's log; its pages are not marked.</summary>
    LogWordTaken,

    /// <summary>The ASCE designates another top table.</summary>
    TopChanged,

    /// <summary>The halfwords of watched pages are set; their entries are looked at next.</summary>
    BytesPublished,

    /// <summary>A fault has looked at halfwords; the entry of a leaf is compared and swapped next.</summary>
    BytesRead,

    /// <summary>The entry of a watched page has its marker, and P or I as its halfword says.</summary>
    MarkerSet,

    /// <summary>The mapping of a page is weakened; what it was armed for becomes due next.</summary>
    DueNext,

    /// <summary>What a page was armed for is due.</summary>
    DueTaken,

    /// <summary>A run of pages is claimed; the notifiers are called next.</summary>
    ToldNext,

    /// <summary>The notifiers have returned; the pages are due still.</summary>
    Told,

    /// <summary>The claim has ended, or there is more to tell.</summary>
    DueCleared,

    /// <summary>A shadow is made that nobody knows; the family lists it next. Under the family lock.</summary>
    ShadowBuilt,

    /// <summary>A fault of a shadow has walked the guest's tables; what they lead to is resolved next.</summary>
    GuestWalked,

    /// <summary>The root has what the walk led to; what it was read from, and that, is armed next.</summary>
    RootResolved,

    /// <summary>An entry of a shadow is set, under the family lock; its tables answer next.</summary>
    ShadowMapped,

    /// <summary>What hung on taken pages is out of the shadows' tables; cached rights end next. Under the family lock.</summary>
    ShadowEmptied,

    /// <summary>A run of a synchronous backing is protected, its pages still count as written.</summary>
    RunProtected,

    /// <summary>A missing page is the caller's to fill.</summary>
    PageClaimed,

    /// <summary>It is filled, and counts as missing still.</summary>
    PageFilled,
}
