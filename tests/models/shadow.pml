/* MODEL rules 1, 10, 11, 18 to 20, 28, 34, 35: memory of a nested guest: a shadow fault beside an outer writer, harvests of each kind, a restriction, the end of the slot */
/* TWIN marker_unseen (lost): a take without LOCK does not look at the marker that its compare-and-swap replaced */
/* TWIN marker_first (lost): the marker comes before the byte that says why */
/* TWIN marker_left_out (lost): the byte alone */
/* TWIN freeze_unasked (lost): a freeze does not look again whether the table is watched */
/* TWIN p_unchecked (wider): the shadow entry is made of what the root answered before LOCK was taken */
/* TWIN summary_left (lost): P = 0 is believed to have its summary bit */
/* TWIN family_late (mapped): the family lock is taken for record and shadow entry only */
/* TWIN emptied_late (lost): emptied in the telling, behind the grace and the delivery, with a grace of its own, which may time out */
/* TWIN drained_unseen (mapped): nothing is due any more before it is out of the shadows: another one's grace begins too early */
/* TWIN root_only (mapped): a grace of the root does not wait for views of its shadows */
/* TWIN shadow_not_bumped (mapped): rights that were cached under the shadow's generation outlive its entry */
/* TWIN bumped_late (lost): what is emptied for another reason (its table, room) is bumped behind the family lock */
/* TWIN released_first (lost): it is disarmed before that bump, under the lock: a harvest finds nothing due and has no use for the lock */
/* TWIN answered_early (mapped): the fault answers with what it installed, not with what the tables say in its new section */
/* TWIN unmap_silent (mapped): an unmap empties no shadow */
/* TWIN outside (freed): a shadow fault changes entries and bytes in no section */
/* TWIN protect_alone (wider): gmap_protect publishes and walks without the family lock */
#include "common.inc"

#define MARK 16 /* of an entry: look at the byte */

/* The byte of the page. */
#define CHANGE 1
#define DUE 2
#define NO_WRITE 4

byte entry, watch;                       /* of the root */
bool watched, locked, frozen, summary, turn;
bool slot = true;
bool family, record, shadow;             /* shadow: the nested guest's entry, writable, or none */
byte generation = 1;                     /* of the shadow */
bool log;
byte mem, image, done;
bool gone, forbids, reused, timesOut;

#define TOUCH MUST_NOT(freed, reused)
#define CALLS_IN CALL(3); ENTER(3)
#define CALLS_OUT LEAVE(3); RETURNED(3)

/* LOCK, in a library section of thread 3; frozen: nobody waits there, nor with the family lock. */
#define LOCK_OR_FROZEN if :: atomic { !locked && !frozen -> locked = true; TOUCH } :: frozen -> ice = true fi

/* Takes what is armed for a weaker mapping. */
#define TAKE if :: watch & CHANGE -> watch = (watch & ~CHANGE) | DUE :: else fi

/* Before a grace of the root: what is due leaves the shadows. */
inline empty_due() {
    if
    :: watch & DUE ->
       ACQUIRE(family);
#ifdef drained_unseen
       watch = watch & ~DUE;
#endif
       if
       :: record ->
          shadow = false;
#ifndef shadow_not_bumped
          atomic { record = false; generation++ }
#else
          record = false
#endif
       :: else
       fi;
       atomic { watch = watch & ~DUE; family = false }
    :: else
    fi
}

#ifdef root_only
#define ROOT_GRACE(w) waits[w] = within & ~1
#else
#define ROOT_GRACE(w) waits[w] = within
#endif

/* A nested guest's processor: n stores. Thread 0 in sections of its view, 3 in those of the library. */
proctype Inner(byte n) {
    byte mine, cached, e;
    bool ice, fits, refused, right;
    do
    :: n ->
       atomic { ENTER(0); mine = generation };
       do
       :: cached == mine || right -> break
       :: cached != mine && !right && shadow -> cached = mine; break
       :: cached != mine && !right && !shadow ->
          LEAVE(0);
          /* the root resolves the page for a store */
          atomic { CALLS_IN; refused = !slot };
          if
          :: !refused ->
             LOCK_OR_FROZEN;
             if
             :: ice
             :: else ->
                atomic {
                    if
                    :: watch & NO_WRITE -> refused = true
                    :: else ->
                       fits = (entry & (VALID | PROT)) != VALID;
                       if :: fits -> entry = VALID | SD | (entry & MARK) :: else fi
                    fi
                };
                if
                :: refused
#ifdef summary_left
                :: !refused && !fits
                :: !refused && fits -> summary = true
#else
                :: else -> summary = true
#endif
                fi;
                locked = false
             fi
          :: refused
          fi;
          atomic { CALLS_OUT; fits = false };
          if
          :: ice -> !frozen; ice = false
          :: refused -> break
          :: else ->
#ifndef family_late
             ACQUIRE(family);
#endif
#ifndef outside
             atomic { CALLS_IN; refused = !slot };
#else
             refused = !slot;
#endif
             if
             :: !refused ->
                LOCK_OR_FROZEN;
                if
                :: ice
                :: else ->
                   atomic {
                       e = entry;
                       fits = (e & (VALID | PROT)) == VALID;
#ifdef p_unchecked
                       fits = (e & VALID) != 0
#endif
                   };
                   if
                   :: fits ->
#ifndef marker_first
                      watch = watch | CHANGE;
#endif
                      watched = true;
#ifdef marker_left_out
                      atomic { fits = (entry == e) };
#else
                      atomic { fits = (entry == e); if :: fits -> entry = e | MARK :: else fi };
#endif
#ifdef marker_first
                      watch = watch | CHANGE;
#endif
#ifndef summary_left
                      if
                      :: fits -> summary = true
                      :: else
                      fi
#endif
                   :: else
                   fi;
                   atomic { TOUCH; locked = false; e = 0 }
                fi
             :: refused
             fi;
             if
             :: fits ->
#ifdef family_late
                atomic { CALLS_OUT };
                ACQUIRE(family);
#endif
                record = true;
                shadow = true
             :: else
             fi;
#ifndef outside
             atomic { CALLS_OUT };
#endif
#ifdef family_late
             if
             :: fits -> RELEASE(family)
             :: else
             fi;
#else
             RELEASE(family);
#endif
             if
             :: ice -> !frozen; ice = false
             :: refused -> break
             :: else
             fi;
             atomic {
                 ENTER(0); mine = generation;
#ifdef answered_early
                 right = fits;
#endif
                 fits = false
             }
          fi;
          if
          :: within & 1
          :: else -> atomic { ENTER(0); mine = generation }
          fi
       od;
       if
       :: refused
       :: else -> atomic { MUST_NOT(mapped, gone); MUST_NOT(wider, forbids); mem++ }
       fi;
       atomic { LEAVE(0); n = (refused -> 0 : n - 1); refused = false; right = false; mine = 0; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od;
    done++
}

/* A processor of the outer guest: one store, inline where the entry lets it, else by the library's fault. */
proctype Outer(bool stores; bool granted) {
    bool right = granted, asks, ice;
    if
    :: granted -> goto grants /* what it has done is the entry that it found */
    :: stores && !granted -> skip
    :: else -> goto over
    fi;
again:
    atomic {
        ENTER(1);
        if
        :: (entry & (VALID | PROT)) == VALID -> right = true
        :: (entry & (VALID | PROT | MARK)) == (VALID | PROT) && !frozen -> entry = VALID | SD; right = true
        :: else -> asks = true
        fi
    };
    if
    :: asks ->
       atomic { CALL(1); asks = false };
       if
       :: atomic { !locked && !frozen -> locked = true };
          atomic { entry = VALID | SD | ((watch & CHANGE) -> MARK : 0); right = true };
          locked = false
       :: frozen -> ice = true
       fi;
       RETURNED(1)
    :: else
    fi;
grants:
    if
    :: ice -> LEAVE(1); !frozen; ice = false; goto again
    :: right -> summary = true; atomic { mem++; LEAVE(1) }
    fi;
    right = false;
over:
    done++
}

/* What a harvest does to the entry: P = 1, clean. `e`: what it replaced. */
#define ARM atomic { e = entry; if :: e & SD -> entry = (e & ~SD) | PROT :: else fi }

proctype Harvester(byte n) {
    byte before, e;
    bool last, epoch, found, by;
    do
    :: n || done == 3 ->
       atomic { last = (n == 0); before = mem };
       ACQUIRE(turn);
       if
       :: summary ->
          by = watched;
          if
          :: !by -> /* without LOCK, in a section */
             ENTER(2);
             summary = false;
             found = (entry & SD) != 0;
             if
             :: found ->
                epoch = true;
                ARM;
#ifndef marker_unseen
                if
                :: (e & MARK) && !(e & PROT) -> atomic { TAKE }
                :: else
                fi
#endif
             :: else
             fi;
             LEAVE(2)
          :: !by -> /* or the segment is queued for a freeze */
             if
#ifdef freeze_unasked
             :: atomic { !locked -> frozen = true };
#else
             :: atomic { !locked && !watched -> frozen = true };
#endif
                waits[0] = within; waits[0] == 0;
                summary = false;
                found = (entry & SD) != 0;
                if
                :: found -> epoch = true; entry = (entry & ~SD) | PROT
                :: else
                fi;
                frozen = false
             :: watched -> by = true
             fi
          :: by
          fi;
          if
          :: by -> /* entry by entry */
             ENTER(2);
             atomic { !locked -> locked = true };
             summary = false;
             found = (entry & SD) != 0;
             if
             :: found ->
                epoch = true;
                ARM;
                if
                :: !(e & PROT) -> atomic { TAKE }
                :: else
                fi
             :: else
             fi;
             locked = false;
             LEAVE(2)
          :: else
          fi
       :: else
       fi;
       atomic { epoch = epoch || log; log = false; found = false; by = false; e = 0 };
       RELEASE(turn);
       if
       :: epoch ->
#ifndef emptied_late
          empty_due();
#endif
          ROOT_GRACE(0);
          if
          :: waits[0] == 0 ->
             epoch = false;
#ifdef emptied_late
             empty_due();
             waits[0] = within & 1;
             if
             :: waits[0] == 0
             :: waits[0] && !timesOut -> timesOut = true
             fi;
#endif
             atomic { image = mem; MUST_NOT(lost, image < before) }
          :: waits[0] && !timesOut && !last -> timesOut = true /* what was taken stays in the epoch; nothing is returned */
          fi
       :: else -> MUST_NOT(lost, image < before)
       fi;
       atomic { before = 0; waits[0] = 0; if :: last -> n = 0 :: else -> n-- fi };
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, image != mem)
}

/* The slot goes, or the page is made read-only, or the shadow is emptied for another reason. */
proctype Changer(bool ends; bool forbid; bool empties) {
    byte e, old;
    if
    :: empties ->
       ACQUIRE(family);
       if
       :: record ->
          atomic { shadow = false; record = false };
#ifdef released_first
          watch = watch & ~CHANGE;
#endif
#ifndef bumped_late
          generation++;
#endif
          watch = watch & ~CHANGE; /* the marker means nothing any more */
          RELEASE(family);
#ifdef bumped_late
          generation++
#endif
       :: else -> RELEASE(family)
       fi
    :: ends ->
       slot = false;
       WAIT_FOR_CALLS;
       ACQUIRE(turn);
       atomic { !locked -> locked = true };
       atomic { if :: entry & SD -> log = true :: else fi; e = entry; entry = 0 };
#ifndef unmap_silent
       if
       :: watched && e -> atomic { TAKE }
       :: else
       fi;
#endif
       locked = false;
       RELEASE(turn)
    :: forbid ->
       ACQUIRE(turn);
#ifndef protect_alone
       ACQUIRE(family);
#endif
       atomic { old = watch; watch = watch | NO_WRITE };
       WAIT_FOR_CALLS;
       atomic { !locked -> locked = true };
       watched = true;
       atomic { e = entry; if :: e -> entry = e | PROT | MARK :: else fi };
       if
       :: e && !(e & PROT) && (old & CHANGE) -> atomic { TAKE }
       :: else
       fi;
       locked = false;
#ifndef protect_alone
       RELEASE(family);
#endif
       RELEASE(turn)
    :: else
    fi;
    if
    :: ends || forbid ->
       empty_due();
       ROOT_GRACE(1);
       waits[1] == 0;
       atomic { gone = ends; reused = ends; forbids = forbid; e = 0; old = 0 }
    :: else
    fi;
    done++
}

init {
    byte stores = 1, harvests = 1;
    bool outer, granted, ends, forbid, empties;
    atomic {
        if
        :: stores = 2; entry = VALID | PROT
        :: stores = 2; empties = true; entry = VALID | PROT
        :: outer = true; entry = VALID | SD; summary = true
        :: granted = true; entry = VALID | SD; ENTER(1)
        :: ends = true; entry = VALID | PROT
        :: stores = 2; ends = true; harvests = 0; entry = VALID | SD; summary = true
        :: stores = 2; forbid = true; harvests = 0; entry = VALID | PROT
        fi;
        run Inner(stores);
        run Outer(outer, granted);
        run Harvester(harvests);
        run Changer(ends, forbid, empties)
    }
}
