/* MODEL rules 11, 17, 18, 19, 28, 29: a page of a table is armed or restricted beside a writer with a cache, a harvest and an unmap */
/* TWIN walk_first (untold): the entry is marked before the byte says why: a fault in between installs it unmarked */
/* TWIN no_grace (untold): gmap_protect returns while a right from before is in use */
/* TWIN no_bump (untold): cached rights outlive the arming */
/* TWIN walk_by_lock (untold): the walk holds LOCK and not the harvest turn: a take without LOCK is under way */
/* TWIN watched_late (untold): WATCHED is set where a marker comes into a table, by an install too */
/* TWIN fast_ignores (untold): the take without LOCK does not look at WATCHED */
/* GOOD due_first: a harvest turns armed into due before it changes the entry: what is told may come early, never late */
/* TWIN harvest_silent (untold): a harvest weakens and looks at no byte */
/* TWIN unmap_silent (untold): an unmap looks at no byte */
/* TWIN unmap_disarms (untold): an unmap forgets that the page is armed for writes */
/* TWIN install_unmarked (untold): an install looks at no byte */
/* TWIN install_wide (wider): an install looks at no restriction */
/* TWIN grant_ignores (wider): a grant without LOCK does not look at the marker */
/* TWIN not_claimed (twice): what is due is told, then cleared: two calls tell it */
/* TWIN returns_early (untold): a call does not wait for what another one is telling for it */
/* TWIN checked_once (untold): GMAP_NOTIFY_MAPPED is checked before the walk only */
#include "common.inc"

#define MARK 16 /* of an entry: look at the byte */

/* The byte of the page: restricted, armed, due. */
#define NO_WRITE 1
#define CHANGE 2
#define WRITE 4
#define CHANGE_DUE 8
#define WRITE_DUE 16
#define ARMED (CHANGE | WRITE)

byte entry, watch, telling;
bool watched, locked, turn, configuration, summary;
byte generation = 1;

/* Ghosts. Of CHANGE and of WRITE: asked for by a call that has not returned; armed by one that has; tellings that are owed or allowed. */
bool asksChange, asksWrite, armedChange, armedWrite, forbids, owed;
byte armings;

#define TOLD_CHANGE MUST_NOT(twice, armings == 0); armings--; asksChange = false; armedChange = false; owed = false
#define TOLD_WRITE asksWrite = false; armedWrite = false
#define WEAKENS if :: armedChange -> owed = true; mine = true :: else fi

/* What a fault leaves in an entry of a page that is written. */
#ifdef install_unmarked
#define MARKED(b) 0
#else
#define MARKED(b) ((b) & (ARMED | NO_WRITE | WRITE_DUE) -> MARK : 0)
#endif

proctype Writer(byte n) {
    byte mine, cached, e, b;
    bool right, refused;
    do
    :: n ->
       atomic { ENTER(0); mine = generation };
       do
       :: cached == mine -> break
       :: cached != mine ->
          atomic { /* inline */
              if
              :: (entry & (VALID | PROT)) == VALID -> right = true
              :: (entry & (VALID | PROT | WR | MARK)) == (VALID | PROT | WR) ->
                 entry = (entry & ~PROT) | SD; summary = true; right = true
              :: else -> right = false
              fi
          }
          if
          :: right -> cached = mine; break
          :: else
          fi;
          atomic { ENTER(0); CALL(0); mine = generation; e = entry };
#ifdef grant_ignores
          if
          :: atomic { (e & (VALID | PROT)) == (VALID | PROT) && entry == e -> entry = (entry & ~PROT) | SD; summary = true }
          :: else
          fi;
#endif
          if
          :: (e & (VALID | PROT)) == VALID || (e & (VALID | PROT | WR | MARK)) == (VALID | PROT | WR)
          :: else ->
             atomic { !locked -> locked = true };
             b = watch;
             if
#ifndef install_wide
             :: b & NO_WRITE -> refused = true
#endif
             :: entry == 0 &&
#ifdef install_wide
                true ->
#else
                !(b & NO_WRITE) ->
#endif
#ifdef install_unmarked
                atomic { entry = VALID | WR | SD; summary = true }
#else
                atomic {
                    if
                    :: b & (WRITE | WRITE_DUE) -> entry = VALID | WR | PROT | MARK
                    :: else -> entry = VALID | WR | SD | MARKED(b); summary = true
                    fi;
#ifdef watched_late
                    watched = watched || MARKED(b)
#endif
                }
#endif
             :: entry != 0 &&
#ifdef install_wide
                true ->
#else
                !(b & NO_WRITE) ->
#endif
                if
                :: b & WRITE -> atomic { if :: watch & WRITE -> watch = (watch & ~WRITE) | WRITE_DUE; right = true :: else fi }
                :: b & WRITE_DUE /* unreached: another writer's */
                :: else -> atomic { if :: entry & PROT -> entry = (entry & ~(PROT | MARK)) | SD | MARKED(b); summary = true :: else fi }
                fi
             fi;
             atomic { locked = false; b = 0 }
          fi;
          if
          :: right -> /* to be told, outside of sections and of the call */
             atomic { LEAVE(0); RETURNED(0); right = false; e = 0 };
             atomic { TOLD_WRITE };
             watch = watch & ~WRITE_DUE;
             atomic { ENTER(0); mine = generation }
          :: refused -> atomic { RETURNED(0); e = 0 }; break
          :: else -> atomic { RETURNED(0); e = 0 }
          fi
       od;
       if
       :: !refused -> atomic { MUST_NOT(untold, armedWrite); MUST_NOT(wider, forbids) } /* the store */
       :: else
       fi;
       atomic { LEAVE(0); n--; right = false; refused = false; mine = 0; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od
}

/* After the grace, with no lock held: what is due is claimed and told in steps of their own; then what others claimed. */
inline deliver() {
    if
#ifdef not_claimed
    :: watch & CHANGE_DUE ->
       atomic { TOLD_CHANGE };
       watch = watch & ~CHANGE_DUE
    :: !(watch & CHANGE_DUE)
#else
    :: atomic { watch & CHANGE_DUE -> watch = watch & ~CHANGE_DUE; telling++ };
       atomic { TOLD_CHANGE };
       telling--
    :: atomic { !(watch & CHANGE_DUE) -> skip }
#endif
    fi;
#ifndef returns_early
    telling == 0;
#endif
    MUST_NOT(untold, mine && owed);
    mine = false
}

#define TAKE_CHANGE if :: watch & CHANGE -> watch = (watch & ~CHANGE) | CHANGE_DUE :: else fi

proctype Protector(byte first; byte second; bool whereMapped) {
    byte kind = first;
    bool mine, weaker, refused;
    do
    :: kind ->
       ACQUIRE(configuration);
       refused = whereMapped && (entry & (VALID | PROT)) != VALID;
       if
       :: !refused ->
#ifndef walk_first
          atomic {
              if :: (kind & CHANGE) && !(watch & CHANGE) -> armings++ :: else fi;
              watch = watch | kind; asksChange = (kind & CHANGE) != 0; asksWrite = (kind & WRITE) != 0
          }
#endif
          WAIT_FOR_CALLS;
#ifndef walk_by_lock
          ACQUIRE(turn);
#endif
          atomic { !locked -> locked = true };
#ifdef watched_late
          watched = watched || entry != 0;
#else
          watched = true;
#endif
          atomic {
              if
#ifdef walk_first
              :: entry != 0 ->
#else
              :: entry != 0 && (watch & (ARMED | NO_WRITE)) ->
#endif
                 entry = entry | MARK;
                 if
                 :: (kind & (WRITE | NO_WRITE)) && !(entry & PROT) -> entry = entry | PROT; WEAKENS; weaker = true
                 :: else -> weaker = whereMapped && (entry & PROT)
                 fi
              :: else -> weaker = whereMapped
              fi;
              if :: weaker && whereMapped && asksChange -> owed = true; mine = true :: else fi /* it is not what was asked for */
          }
#ifndef checked_once
          if
          :: weaker -> atomic { TAKE_CHANGE }
          :: else
          fi;
#endif
          locked = false;
#ifndef walk_by_lock
          RELEASE(turn);
#endif
#ifdef walk_first
          atomic {
              if :: (kind & CHANGE) && !(watch & CHANGE) -> armings++ :: else fi;
              watch = watch | kind; asksChange = (kind & CHANGE) != 0; asksWrite = (kind & WRITE) != 0
          }
#endif
#ifndef no_bump
          generation++;
#endif
#ifndef no_grace
          GRACE(1);
#endif
          RELEASE(configuration);
          deliver();
          atomic {
              if :: asksChange -> armedChange = true; asksChange = false :: else fi;
              if :: asksWrite -> armedWrite = true; asksWrite = false :: else fi;
              if :: kind & NO_WRITE -> forbids = true :: else fi;
              weaker = false
          }
       :: refused -> RELEASE(configuration)
       fi;
       atomic { refused = false; kind = second; second = 0 }
    :: else -> break
    od
}

proctype Harvester(byte n) {
    byte e;
    bool mine, taken;
    do
    :: n ->
       ACQUIRE(turn);
       if
       :: summary ->
          if
#ifdef fast_ignores
          :: true ->
#else
          :: !watched ->
#endif
             summary = false;
             if
             :: entry & SD -> /* tried again until it is this one's */
                atomic {
                    if :: (entry & SD) && !(entry & PROT) -> WEAKENS :: else fi; /* unreached: by twins only */
                    if :: entry & SD -> entry = (entry & ~SD) | PROT; taken = true :: else fi
                }
             :: else
             fi
#ifndef fast_ignores
          :: watched ->
             atomic { !locked -> locked = true };
             summary = false;
#ifdef due_first
             if
             :: entry & SD -> atomic { TAKE_CHANGE }
             :: else
             fi;
#endif
             atomic {
                 if
                 :: entry & SD ->
                    if :: !(entry & PROT) -> WEAKENS; e = 1 :: else fi;
                    entry = (entry & ~SD) | PROT; taken = true
                 :: else
                 fi
             }
#if !defined(harvest_silent) && !defined(due_first)
             if
             :: e -> atomic { TAKE_CHANGE }
             :: else
             fi;
#endif
             e = 0;
             locked = false
#endif
          fi
       :: else
       fi;
       RELEASE(turn);
       if
       :: taken -> generation++; GRACE(0); taken = false
       :: else
       fi;
       deliver();
       n--
    :: else -> break
    od
}

proctype Unmapper(byte n) {
    bool mine;
    do
    :: n ->
       ACQUIRE(configuration);
       ACQUIRE(turn);
       atomic { !locked -> locked = true };
       atomic { if :: entry != 0 -> WEAKENS :: else fi; entry = 0 };
#ifndef unmap_silent
       atomic { TAKE_CHANGE };
#endif
#ifdef unmap_disarms
       watch = watch & ~WRITE;
#endif
       locked = false;
       RELEASE(turn);
       generation++;
       GRACE(1);
       RELEASE(configuration);
       deliver();
       n--
    :: else -> break
    od
}

init {
    byte first, second, stores, harvests, unmaps;
    bool whereMapped;
    atomic {
        if
        :: stores = 2; harvests = 1;
           if
           :: first = CHANGE; second = CHANGE
           :: first = WRITE
           :: first = NO_WRITE
           :: first = CHANGE; whereMapped = true
           fi
        :: stores = 2; unmaps = 1;
           if
           :: first = CHANGE
           :: first = WRITE
           :: first = NO_WRITE
           fi
        :: stores = 1; harvests = 1; unmaps = 1; first = CHANGE
        :: stores = 2; first = CHANGE; second = WRITE
        :: stores = 2; first = WRITE; second = WRITE
        fi;
        if
        :: skip
        :: entry = VALID | WR | PROT
        :: entry = VALID | WR | SD; summary = true
        fi;
        run Writer(stores);
        run Protector(first, second, whereMapped);
        run Harvester(harvests);
        run Unmapper(unmaps)
    }
}
