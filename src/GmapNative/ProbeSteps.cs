namespace GmapNative;

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

    /// <summary>Rule 39: who finds the summary bit set leaves the stripe's to whoever set it.</summary>
    NoStripeForSecond,

    /// <summary>Rule 39: the stripe's bit is set before the summary bit.</summary>
    StripeBeforeSummary,

    /// <summary>Rule 39: a stripe's bit is cleared, and its summary words are not looked at after that.</summary>
    StripeNotLookedAtAgain,

    /// <summary>Rule 39: the bit of a stripe that two slots share is cleared.</summary>
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
