/* MODEL rules 1, 4, 8, 9, 10, 14, 26, 27: dense bits are swapped, read and cleared by plain loads and stores; writers with caches, a GET */
/* TWIN swap_first (lost): the swap, then the flags: what is set in the new bits in between has no flag */
/* TWIN no_grace (lost): read and cleared without waiting for writers that may still set the old bits */
/* TWIN spare_dirty (invented): the old bits are the spare ones of the next time, and were not cleared */
/* TWIN get_one (lost): a GET looks at the new bits only */
/* TWIN get_flags (lost): a GET looks at the old bits only where there are flags */
/* TWIN timeout_plain (lost): a grace timed out, the old bits are cleared by a plain store all the same */
/* TWIN timeout_ends (lost): a grace timed out, the old bits are spare ones all the same */
/* TWIN held_no_grace (lost): the harvest after a time-out takes no grace before it goes on */
/* TWIN lock_over_grace (stuck): the harvest lock is held over the grace, a GET waits for it in its section */
/* TWIN no_bump (lost): cached rights outlive the take */
#include "common.inc"

/* Two pages of one summary line. `current` are the dense bits that the link names, `retiring` the old ones while they may be set. */
#define NONE 2
byte dense[2]; /* a bit a page */
byte current = 0, retiring = NONE, spare = 1;
bool summary, lock;
byte epoch; /* likewise */
byte generation = 1;
byte mem[2], image[2], done;
byte fresh[2]; /* ghost: bits that writers set and nobody took yet */

#define BIT (1 << page)
#define TAKEN_OF(p, bits) if :: (bits) & (1 << p) -> MUST_NOT(invented, fresh[p] == 0); fresh[p]-- :: else fi
#define TAKEN(bits) TAKEN_OF(0, bits); TAKEN_OF(1, bits)

proctype Writer(byte i; byte page; byte n) {
    byte mine, cached, link;
    do
    :: n ->
       atomic { ENTER(i); mine = generation };
       if
       :: cached == mine
       :: else ->
          link = current;
          if
          :: dense[link] & BIT
          :: !(dense[link] & BIT) ->
             atomic { if :: !(dense[link] & BIT) -> dense[link] = dense[link] | BIT; fresh[page]++ :: else fi }
          fi;
          if
          :: summary
          :: !summary -> summary = true
          fi;
          cached = mine
       fi;
       mem[page]++;
       LEAVE(i);
       atomic { n--; mine = 0; link = 0; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od;
    done++
}

/* By locked instructions: pour, then clear what was poured. */
inline take_locked(which) {
    e = dense[which];
    epoch = epoch | e;
    atomic { TAKEN(e); dense[which] = dense[which] & ~e; e = 0 }
}

/* Where the lock is let go for the grace; it may time out once, while somebody is inside. */
inline wait_unlocked() {
#ifndef lock_over_grace
    RELEASE(lock);
#endif
    late = false;
#ifndef no_grace
    waits[0] = within;
    if
    :: waits[0] == 0
    :: atomic { waits[0] != 0 && !tired && !last -> late = true; tired = true; waits[0] = 0 }
    fi;
#endif
#ifndef lock_over_grace
    ACQUIRE(lock)
#endif
}

proctype Harvester() {
    byte before[2], n, e;
    bool last, late, tired, held;
    do
    :: n < 2 || done == 2 ->
       atomic { last = (done == 2); before[0] = mem[0]; before[1] = mem[1] };
       ACQUIRE(lock);
       held = (retiring != NONE);
       if
       :: held ->
          if
          :: summary -> summary = false; take_locked(current)
          :: !summary
          fi;
          take_locked(retiring)
       :: !held && summary ->
#ifndef swap_first
          summary = false;
#endif
          atomic { retiring = current; current = spare; spare = NONE };
#ifdef swap_first
          summary = false
#endif
       :: !held && !summary
       fi;
       if
       :: retiring != NONE ->
#ifdef held_no_grace
          if
          :: held -> late = false
          :: else -> wait_unlocked()
          fi;
#else
          wait_unlocked();
#endif
#if defined(timeout_plain) || defined(timeout_ends)
          if
          :: late ->
             e = dense[retiring];
             epoch = epoch | e;
#ifdef timeout_plain
             atomic { TAKEN(e); dense[retiring] = 0; e = 0 }
#else
             atomic { TAKEN(e); dense[retiring] = dense[retiring] & ~e; e = 0 };
             atomic { spare = retiring; retiring = NONE }
#endif
          :: else
          fi;
#else
          if
          :: late ->
             if
             :: summary -> summary = false; take_locked(current)
             :: !summary
             fi;
             take_locked(retiring)
          :: else
          fi;
#endif
          if
          :: !late && retiring != NONE ->
             e = dense[retiring]; /* a plain load */
             epoch = epoch | e;
             atomic { TAKEN(e); e = 0 };
#ifndef spare_dirty
             dense[retiring] = 0; /* and a plain store */
#endif
             atomic { spare = retiring; retiring = NONE }
          :: else
          fi
       :: else
       fi;
       RELEASE(lock);
       if
       :: epoch ->
#ifndef no_bump
          generation++;
#endif
          if
          :: GRACE(0)
          :: atomic { late && within -> skip }; goto timed_out /* it too: the epoch waits for the next harvest */
          fi
       :: else
       fi;
       atomic {
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before[0] || image[1] < before[1]);
           epoch = 0
       }
timed_out:
       atomic { before[0] = 0; before[1] = 0; held = false; late = false; n++ };
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

/* In a section of its own. What was written before it, and is in no copy yet, it shows. */
proctype Get(bool looks) {
    byte seen, wrote;
    if
    :: looks
    :: !looks -> goto end
    fi;
    ENTER(2);
    wrote = mem[0];
    ACQUIRE(lock);
    seen = epoch;
    if
    :: summary -> seen = seen | dense[current]
    :: !summary
    fi;
#ifndef get_one
#ifdef get_flags
    if
    :: retiring != NONE && summary -> seen = seen | dense[retiring]
    :: else
    fi;
#else
    if
    :: retiring != NONE -> seen = seen | dense[retiring]
    :: retiring == NONE
    fi;
#endif
#endif
    atomic { MUST_NOT(lost, wrote > image[0] && !(seen & 1)); seen = 0; wrote = 0 };
    RELEASE(lock);
    LEAVE(2);
end:
    skip
}

init {
    byte n0, n1, page;
    bool looks;
    atomic {
        if
        :: n0 = 2; n1 = 1; page = 0
        :: n0 = 1; n1 = 1; page = 1
        :: n0 = 2; n1 = 0; looks = true
        fi;
        run Writer(0, 0, n0);
        run Writer(1, page, n1);
        run Get(looks);
        run Harvester()
    }
}
