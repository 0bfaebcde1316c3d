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

/// <summary>What can be left out of the protocol, each a deliberate bug; the numbers are its rules.</summary>
internal enum Step
{
    None = 0,

    /// <summary>Rule 6: the barrier orders only the calling thread.</summary>
    NoBarrier,

    /// <summary>Rule 6: a grace takes the generation from before its own bump for the answer of a thread that polls.</summary>
    AnswerOfBefore,

    /// <summary>Rule 10: a harvest does not wait for the sections that are open.</summary>
    NoGrace,

    /// <summary>Rules 4 and 10: a harvest leaves cached rights alone.</summary>
    NoBump,

    /// <summary>Rule 10: a harvest ends cached rights after its grace.</summary>
    BumpAfterGrace,

    /// <summary>Rule 10: entries are cleared that were not poured: all that the harvest looks at, not those it found dirty.</summary>
    ClearBeforePour,

    /// <summary>Rule 10: what a harvest takes is poured for its own consumer only.</summary>
    OneConsumerOnly,

    /// <summary>Rule 25: a consumer that opens leaves what is marked in the tables there.</summary>
    OpenTakesNothing,

    /// <summary>Rule 25: a consumer that opens does not wait for the stores whose marks it gave to the others.</summary>
    OpenWithoutGrace,

    /// <summary>Rule 25: a consumer that opens joins after its bump and its grace, not before.</summary>
    OpenJoinsLate,

    /// <summary>Rules 4 and 10: what others poured is collected, and cached rights stay.</summary>
    BumpForOwnTakeOnly,

    /// <summary>Rule 10: a consumer's begin does not wait for the stores of the pages in its epoch.</summary>
    BeginWithoutGrace,

    /// <summary>Rule 25: a begin that meets a slot that is being withdrawn goes on with what was poured so far.</summary>
    WithdrawalNotWaitedFor,

    /// <summary>Rule 25: the logs of a consumer that left are freed while calls may still mark in them.</summary>
    FreedWhileMarked,

    /// <summary>Rule 11: the entries are taken before their summary bits are cleared.</summary>
    EntriesBeforeSummary,

    /// <summary>Rule 11: the bit of a line that two slots share is cleared, and set back if the other slot has something there.</summary>
    PartialLineCleared,

    /// <summary>Rule 12: an epoch is delivered although somebody moved bits into it since the grace began.</summary>
    LogMovesIgnored,

    /// <summary>Rule 12: a log's block is forgotten after its words were looked at.</summary>
    BlockForgottenLate,

    /// <summary>Rule 15: a range marks the blocks of a log before their words.</summary>
    BlocksBeforeWords,

    /// <summary>Rule 14: what a GET finds is gone.</summary>
    GetTakes,

    /// <summary>Rule 1: a fault that finds the entry granted leaves the summary bit to whoever granted it.</summary>
    NoSummaryForSecond,

    /// <summary>Rule 37: who finds the summary bit set leaves the stripe's to whoever set it.</summary>
    NoStripeForSecond,

    /// <summary>Rule 37: the stripe's bit is set before the summary bit.</summary>
    StripeBeforeSummary,

    /// <summary>Rule 37: a stripe's bit is cleared, and its summary words are not looked at after that.</summary>
    StripeNotLookedAtAgain,

    /// <summary>Rule 37: the bit of a stripe that two slots share is cleared.</summary>
    PartialStripeForgotten,

    /// <summary>Rule 16: the child of a dirty leaf is clean.</summary>
    SplitForgetsDirty,

    /// <summary>Rule 16: a child is linked although the leaf is not the one any more that it was built from.</summary>
    StaleSplit,

    /// <summary>Rule 16: a table that was built unlinked takes the place of what somebody else mapped meanwhile.</summary>
    LinkOverwrites,

    /// <summary>Rule 18: entries are made invalid without their marks going to the log.</summary>
    NoPourOnUnmap,

    /// <summary>Rule 18: a table is unlinked first and emptied afterwards.</summary>
    UnlinkBeforeEmpty,

    /// <summary>Rule 18: unmap does not take the slot's harvest lock.</summary>
    NoHarvestLockInUnmap,

    /// <summary>Rule 18: tables are used again before the grace.</summary>
    ReuseBeforeGrace,

    /// <summary>Rule 23: a collapse leaves the entries of a clean table grantable.</summary>
    NoHoldInCollapse,

    /// <summary>Rule 23: a collapse does not take the slot's harvest lock.</summary>
    NoHarvestLockInCollapse,

    /// <summary>Rule 23: a table of which some pages are dirty becomes a clean leaf.</summary>
    MixedCollapse,

    /// <summary>Rule 20: a frozen table is edited by plain stores while sections from before may still change it.</summary>
    NoFreezeGrace,

    /// <summary>Rule 20: a segment is thawed before the plain stores to its table are done.</summary>
    ThawBeforeEdit,

    /// <summary>Rule 20: a fault makes a page of a frozen segment writable.</summary>
    FaultGrantsFrozen,

    /// <summary>Rules 8 and 20: the harvest lock is held while a freeze waits for sections.</summary>
    HarvestLockOverFreeze,

    /// <summary>Rule 20: what a harvest took before it let its lock go is not counted as a move (rule 12).</summary>
    FreezeMovesUncounted,

    /// <summary>Rule 24: aging leaves cached rights alone.</summary>
    AgeWithoutBump,

    /// <summary>Rule 19: a change of configuration does not wait for the calls in flight.</summary>
    WalkBeforeCallsEnded,

    /// <summary>Rule 27: dense bits are swapped before the summary words are cleared that flag those from before.</summary>
    SwapBeforeFlags,

    /// <summary>Rule 27: dense bits are taken by plain stores while sections from before may still set them.</summary>
    NoSwapGrace,

    /// <summary>Rule 26: the dense bits of a slot that goes are collected before the grace, and not after it.</summary>
    DenseBitsBeforeGrace,

    /// <summary>Rule 26: a discard takes dense bits after its grace, when rights that they gave may be cached again.</summary>
    DiscardAfterGrace,

    /// <summary>Rule 15: a word of a device's log is looked at and marked first, and cleared then.</summary>
    MarkBeforeExchange,

    /// <summary>Rule 19: what is soft-dirty from before the arming stays so.</summary>
    StaleSoftDirtyKept,

    /// <summary>Rule 15: what a restore writes is not told to the other consumers.</summary>
    RestoreUntold,

    /// <summary>Rule 25: a discarded page is forgotten by a snapshot, too.</summary>
    DiscardUntold,

    /// <summary>Rule 28: the halfwords of pages are set after the walk over their entries.</summary>
    ArmAfterWalk,

    /// <summary>Rule 28: the walk does not wait for the calls that may not have seen the halfwords.</summary>
    ArmWithoutWait,

    /// <summary>Rule 28: what is mapped anew carries no marker.</summary>
    InstallDropsMarkers,

    /// <summary>Rules 16 and 28: the child of a marked leaf carries no markers.</summary>
    SplitDropsMarkers,

    /// <summary>Rule 28: a watched table is taken as if it was not: frozen, or without its lock.</summary>
    WatchedTakenFast,

    /// <summary>Rule 29: a harvest takes no armed pages.</summary>
    HarvestForgetsChange,

    /// <summary>Rule 29: an unmap takes no armed pages.</summary>
    UnmapForgetsChange,

    /// <summary>Rule 29: an armed page is taken before its entry changes.</summary>
    DueBeforeChange,

    /// <summary>Rule 29: notifiers are told before the grace.</summary>
    ToldBeforeGrace,

    /// <summary>Rule 29: a call returns while another one is telling what it weakened, too.</summary>
    NoWaitForDelivery,

    /// <summary>Rule 29: what is taken once more while it is being told is not told again.</summary>
    NotToldAgain,

    /// <summary>Rule 30: a write is granted by who finds the page armed, and told afterwards.</summary>
    GrantBeforeTold,

    /// <summary>Rule 30: a writer does not wait for the one who is telling.</summary>
    NoWaitForTold,

    /// <summary>Rule 31: a notifier ends while its callback runs.</summary>
    UnregisterWithoutWait,

    /// <summary>Rule 33: several threads fill one deposit at a time, and link it.</summary>
    NoDepositLock,

    /// <summary>Rule 33: the segments of a split 2 GB leaf that is dirty are not flagged.</summary>
    RegionSplitUnflagged,

    /// <summary>Rule 33: a harvest that finds a 2 GB leaf split leaves what became of it to the next one.</summary>
    RegionChildrenLeft,

    /// <summary>Rule 33: a 2 GB leaf is taken before it is poured.</summary>
    RegionTakenUnpoured,

    /// <summary>Rule 34: a shadow's tables are not walked once more after they are armed.</summary>
    ShadowWithoutSecondWalk,

    /// <summary>Rule 34: an entry that lets stores through is installed without the summary bit of its page.</summary>
    ShadowWithoutSummary,

    /// <summary>Rule 35: who could write to a page of tables when it was armed may still be writing when it is walked.</summary>
    NoGraceAfterTableArmed,

    /// <summary>Rule 35: a page of tables that another fault has armed counts as graced while that one still waits.</summary>
    GraceOfOthersAssumed,

    /// <summary>Rule 35: a segment is frozen although it is watched since it was looked at.</summary>
    WatchedIsFrozen,

    /// <summary>Rule 35: a take without <c>LOCK</c> passes over a marker that a shadow fault has just set.</summary>
    UnlockedTakeIgnoresMarker,

    /// <summary>Rule 35: gmap_protect cancels what shadows need.</summary>
    CancelTakesShadows,

    /// <summary>Rule 36: what hangs on a page that was taken is not emptied before the grace.</summary>
    ShadowsNotEmptied,

    /// <summary>Rule 36: a grace of the root begins while another thread is still at the emptying.</summary>
    EmptyingNotAwaited,

    /// <summary>Rule 36: cached rights outlive the entry of the shadow that they were taken from.</summary>
    ShadowRightsStay,

    /// <summary>Rule 36: a grace of the root does not wait for the readers of its shadows.</summary>
    ShadowReadersNotCovered,

    /// <summary>Rule 36: a page of tables is armed no longer as soon as nothing hangs on it, while readers may still be inside.</summary>
    TableDisarmedEarly,

    /// <summary>Rule 37: who answers a store that was stopped does not keep a harvest away.</summary>
    AnsweredWithoutLock,

    /// <summary>Rule 38: whoever brings a page fills it, also where another one is just doing so.</summary>
    ArrivalNotClaimed,

    /// <summary>Rule 38: a page counts as there before its contents are.</summary>
    ArrivedBeforeCopy,

    /// <summary>Rule 38: a segment is mapped as a leaf although pages of it are missing.</summary>
    LeafOverMissing,
}
