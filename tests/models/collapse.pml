/* MODEL rules 1, 6, 11, 12, 16, 17, 18, 23: a uniform page table of a slot that tracks becomes a leaf while vCPUs write and a harvest runs */
/* GOOD summary_after: the summary bits of a dirty leaf are set after it is linked, but under the harvest lock */
/* TWIN writable_kept (lost): the clean table's entries keep their software-writable bit until the leaf is linked */
/* TWIN no_harvest_lock (lost): a harvest waits for LOCK, finds no table any more and passes the dirty leaf over */
/* TWIN reuse_early (freed): the old table is used again before the grace */
/* TWIN mixed_to_clean (lost): a table of clean and dirty pages becomes a clean leaf, and nothing is poured */
/* TWIN mixed_to_dirty (invented): a table of clean and dirty pages becomes a dirty leaf */
/* TWIN clean_to_writable (lost): the clean leaf is linked with P = 0 */
/* TWIN lock_in_grace (stuck): LOCK is held over the grace: a fault waits for it inside */
#include "common.inc"

/* A segment of two pages, each a line of its own. Its entry: a leaf with P and soft-dirty, or the number of a table and LOCK. */
#define LEAF 16
#define LOCKED 32
#define NUMBER 7
#define TABLES 3 /* the first, and one for each writer that splits */
#define CLEAN (PROT | WR)
#define DIRTY (SD | WR)
#define FREE 128 /* what a table's entries are when nobody may look at them */

byte segment = 0;
byte table0[TABLES] = FREE, table1[TABLES] = FREE; /* page 0, page 1 */
bool used[TABLES];
byte summary;
bool harvestLock;
byte mem[2], image[2];
byte wrote; /* ghost: pages that were written, or are going to be in a section that is open */
byte done;   /* writers that came to their end */

#define ENTRY(t, p) (p -> table1[t] : table0[t])
#define TOUCH(t) MUST_NOT(freed, !used[t] || table0[t] == FREE)
inline set_entry(t, p, v) { if :: p == 0 -> table0[t] = v :: p == 1 -> table1[t] = v fi } /* unreached: p is a constant in places */

inline summarize(p) {
    have = summary & (1 << p);
    if
    :: !have -> summary = summary | (1 << p)
    :: else
    fi;
    have = 0
}

/* The library's lock of a segment that has a table; false when it has none (any more). */
inline try_lock(ok, t) {
    if
    :: atomic { !(segment & (LEAF | LOCKED)) -> t = segment & NUMBER; segment = segment | LOCKED; ok = true }
    :: atomic { segment & LEAF -> ok = false }
    fi
}

/* A leaf's child: each page inherits what the leaf is; linked if the leaf is still the same. */
inline split(s) {
    atomic {
        if
        :: !used[1] -> t = 1
        :: used[1] && !used[2] -> t = 2
        fi;
        used[t] = true; table0[t] = CLEAN; table1[t] = CLEAN
    }
    atomic {
        if
        :: segment == s -> segment = t
        :: else -> used[t] = false; table0[t] = FREE; table1[t] = FREE /* lost: the spare goes back */
        fi;
        t = 0
    }
}

proctype Writer(byte i; byte page; byte n) {
    byte s, t, e, have;
    bool ok;
    do
    :: n ->
       ENTER(i);
       do
       :: s = segment;
          if
          :: (s & LEAF) && !(s & PROT) -> wrote = wrote | (1 << page); break
          :: (s & LEAF) && (s & PROT) -> ENTER(i); split(s) /* the library's fault: a section of its own */
          :: !(s & LEAF) ->
             t = s & NUMBER;
             atomic { TOUCH(t); e = ENTRY(t, page) };
             if
             :: !(e & PROT) -> break
             :: e == CLEAN ->
                atomic {
                    TOUCH(t);
                    if
                    :: ENTRY(t, page) == CLEAN -> set_entry(t, page, DIRTY); wrote = wrote | (1 << page); ok = true
                    :: else -> ok = false
                    fi
                }
                if
                :: ok -> break
                :: else
                fi
             :: e == PROT -> /* not grantable: the library waits for LOCK and looks again */
                ENTER(i);
                (!(segment & LOCKED))
             fi
          fi
       od;
       summarize(page);
       atomic { mem[page]++; wrote = wrote | (1 << page) };
       LEAVE(i);
       atomic { n--; s = 0; t = 0; e = 0; ok = 0 }
    :: else -> break
    od;
    done++
}

inline take_page(t, p) {
    if
    :: lines & (1 << p) ->
       atomic { TOUCH(t); e = ENTRY(t, p) };
       if
       :: e & SD -> atomic { epoch = epoch | (1 << p); set_entry(t, p, CLEAN) }
       :: else
       fi
    :: else
    fi;
    e = 0
}

proctype Harvester() {
    byte s, t, e, lines, epoch, n, before0, before1;
    bool ok, last;
    do
    :: n < 1 || done == 2 ->
       atomic { last = (done == 2); before0 = mem[0]; before1 = mem[1] };
       ACQUIRE(harvestLock);
       ENTER(2);
       if
       :: summary ->
          s = segment;
          if
          :: (s & LEAF) && (s & SD) ->
             epoch = 3;
             summary = 0;
             atomic { segment == s -> segment = LEAF | PROT }
          :: else ->
             try_lock(ok, t);
             if
             :: ok ->
                lines = summary;
                summary = summary & ~lines;
                take_page(t, 0);
                take_page(t, 1);
                segment = segment & ~LOCKED
             :: else
             fi
          fi
       :: else
       fi;
       LEAVE(2);
       RELEASE(harvestLock);
       if
       :: epoch ->
          GRACE(0)
       :: else
       fi;
       atomic {
           MUST_NOT(invented, (epoch & wrote) != epoch);
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before0 || image[1] < before1);
           epoch = 0; lines = 0; t = 0; s = 0; ok = 0; before0 = 0; before1 = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

inline uniform(value) { table0[t] == value && table1[t] == value }

proctype Collapser(byte n) {
    byte t, e;
    bool ok, linked;
    do
    :: n ->
#ifndef no_harvest_lock
       ACQUIRE(harvestLock);
#endif
       try_lock(ok, t);
       if
       :: ok ->
          TOUCH(t);
          atomic { e = table0[t] };
          if
          :: e == CLEAN ->
#if !defined(writable_kept) && !defined(mixed_to_clean) && !defined(mixed_to_dirty)
             atomic { if :: table0[t] == CLEAN -> table0[t] = PROT; linked = true :: else -> linked = false fi };
             if
             :: linked ->
                atomic { if :: table1[t] == CLEAN -> table1[t] = PROT :: else -> linked = false fi };
                if
                :: !linked -> table0[t] = CLEAN /* granted meanwhile: put it back */
                :: else
                fi
             :: else
             fi;
#else
             linked = true;
#ifdef writable_kept
             linked = (table1[t] == CLEAN);
#endif
#endif
             if
             :: linked ->
#ifdef mixed_to_dirty
                summary = 3;
#endif
#ifndef lock_in_grace
#ifdef mixed_to_dirty
                segment = LEAF | SD;
#else
#ifdef clean_to_writable
                segment = LEAF;
#else
                segment = LEAF | PROT;
#endif
#endif
#endif
                skip
             :: else
             fi
          :: (e & SD) ->
             linked = (table1[t] == DIRTY);
             if
             :: linked ->
#ifndef summary_after
                summary = 3;
#endif
#ifndef lock_in_grace
                segment = LEAF | SD;
#endif
#ifdef summary_after
                summary = 3;
#endif
                skip
             :: else
             fi
          fi;
          if
          :: !linked -> segment = segment & ~LOCKED
          :: else
          fi
       :: else
       fi;
#if !defined(no_harvest_lock) && !defined(lock_in_grace)
       RELEASE(harvestLock);
#endif
       if
       :: linked ->
#ifndef reuse_early
          GRACE(1);
#endif
#ifdef lock_in_grace
          segment = LEAF | (e & SD -> SD : PROT);
#endif
#ifndef lock_in_grace
          atomic { used[t] = false; table0[t] = FREE; table1[t] = FREE }
#endif
       :: else
       fi;
       atomic { linked = false; ok = false; t = 0; e = 0; n-- }
    :: else -> break
    od
}

init {
    atomic {
        used[0] = true;
        if
        :: table0[0] = CLEAN; table1[0] = CLEAN
        :: table0[0] = DIRTY; table1[0] = DIRTY; summary = 3; wrote = 3; mem[0] = 1; mem[1] = 1
        :: table0[0] = DIRTY; table1[0] = CLEAN; summary = 1; wrote = 1; mem[0] = 1
        fi;
        run Writer(0, 0, 2);
        if /* two writers and one collapse; or one writer, and what it split is collapsed again */
        :: run Writer(1, 1, 1); run Collapser(1)
        :: done = 1; run Collapser(2)
        fi;
        run Harvester()
    }
}
