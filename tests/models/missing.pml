/* MODEL rules 8, 38: pages that come later: two bring the same page, a vcpu waits outside and stores, another reads by a leaf */
/* GOOD third: a third one brings it, too */
/* TWIN not_claimed (lost): whoever brings a page fills it, though another one has */
/* TWIN there_first (early): the page counts as there before its contents are */
/* TWIN leaf_over (early): a leaf is mapped over a page that is missing */
/* TWIN told_late (stuck): who waits looks once, then sleeps; who brings looks for sleepers before the page counts as there */
#include "common.inc"

/* Two pages of a segment: 0 comes, 1 was there. A page's contents are 1 as they come; the vcpu's store makes them 2. */
byte mem = 0;               /* page 0 */
bool claimed, absent = true;
bool page_mapped, leaf_mapped;
bool sleeps, woken;
bool stored;
byte brought;

inline provide() {
    bool mine;
#ifdef not_claimed
    mine = absent;
#else
    atomic { mine = !claimed; claimed = true };
#endif
    if
    :: mine ->
#ifdef there_first
       absent = false;
#endif
#ifdef told_late
       if :: sleeps -> woken = true :: else fi;
#endif
       mem = 1; /* a copy: whatever was there */
       MUST_NOT(lost, stored);
       absent = false;
#ifndef told_late
       if :: sleeps -> woken = true :: else fi
#endif
    :: else
    fi;
    brought++
}

active proctype BringerA() { provide() }
active proctype BringerB() { provide() }
#ifdef third
active proctype BringerC() { provide() }
#endif

/* It faults: the entry is there only for what has come. Else it leaves, sleeps until it is told, and faults again. */
active proctype Vcpu() {
    do
    :: atomic { (page_mapped || leaf_mapped) -> break }
    :: else ->
       if
       :: !absent -> page_mapped = true
       :: absent ->
#ifdef told_late
          sleeps = true;
          (woken)
#else
          sleeps = true; /* then it looks once more */
          if
          :: absent -> (woken)
          :: else
          fi
#endif
       fi
    od;
    MUST_NOT(early, mem == 0);
    atomic { mem = 2; stored = true }
}

/* Of the other page, which was there from the beginning. */
active proctype Other() {
    if
#ifdef leaf_over
    :: leaf_mapped = true
#else
    :: !absent -> leaf_mapped = true
    :: absent -> skip /* a table for the segment, and its page in it */
#endif
    fi
}

active proctype End() {
    brought >= 2;
    MUST_NOT(lost, stored && mem != 2)
}
