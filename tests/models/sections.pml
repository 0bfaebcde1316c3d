/* MODEL rules 4, 5, 6, 9: enter, leave and the generation in a store buffer (x86); longjmp, a closed view, a harvest that times out */
/* GOOD need_fence: no membarrier: enter pays a full fence, the library none */
/* GOOD weak: plain stores pass plain and releasing stores before them (arm64) */
/* TWIN no_membarrier (lost): plain stores in enter, and no barrier in the library */
/* TWIN barrier_first (lost): the barrier before the take and the bump */
/* TWIN barrier_last (lost): the library looks at the words, then issues the barrier */
/* TWIN generation_first (lost): enter loads the generation, then writes the inside word */
/* TWIN weak_plain_leave (lost): weak, and leave is no releasing store */
/* TWIN toggle (lost): enter adds 1: a guest that was left by longjmp enters and is not seen inside */
/* TWIN same_word (stuck): enter after a longjmp leaves the word as it is: who waits for the old section waits for the new one */
/* TWIN close_forgets (stuck): closing the view of a thread that died inside leaves the word odd */
/* TWIN timeout_drops (lost): a harvest that times out forgets what it took */
/* TWIN timeout_unseen (lost): a later harvest delivers only what it took itself */
#include "common.inc"

/* One page that a thread writes three times: by its tables, or by a right that its translation cache keeps for as long as the
 * generation stands. The locked instructions of the first way empty the buffer, so the second one is what needs the barrier. */
#define STORES 3
mtype = { INSIDE, LEFT, MEM };

byte word;      /* the inside word, as others see it */
byte generation = 1;
byte entry = PROT;
byte mem, image;
chan buffer = [7] of { mtype, byte };
byte section; /* ghost: how many began, as others see it */
byte epoch;
bool over, gone;

/* What the processor does when it likes. */
active proctype Flush() {
    byte v;
end:
    do
#if defined(weak) || defined(weak_plain_leave)
    :: atomic { buffer??MEM(v) -> mem = mem | v; v = 0 }
#else
    :: atomic { buffer?MEM(v) -> mem = mem | v; v = 0 }
#endif
    :: atomic { buffer?INSIDE(v) -> word = v; section++; v = 0 }
#ifdef weak_plain_leave
    :: atomic { buffer??LEFT(v) -> word = v; v = 0 }
#else
    :: atomic { buffer?LEFT(v) -> word = v; v = 0 }
#endif
    od
} /* unreached: runs for ever */

inline enter() {
#ifdef generation_first
    mine = generation;
#endif
    atomic {
#ifdef toggle
        own = own + 1;
#else
#ifdef same_word
        own = own | 1;
#else
        own = (own | 1) + 2;
#endif
#endif
        buffer!INSIDE(own)
    }
#ifdef need_fence
    empty(buffer);
#endif
#ifndef generation_first
    mine = generation
#endif
}

/* The thread remembers its own word; the closer of its view reads what is visible when it is gone. */
active proctype Writer() {
    byte own, mine, cached, n;
    do
    :: n < STORES ->
       enter();
       if
       :: cached == mine -> skip
       :: else ->
          atomic { empty(buffer) -> entry = SD }; /* locked; entry and summary: store_order.pml */
          cached = mine
       fi;
       atomic { buffer!MEM(1 << n); n++ };
       if
       :: atomic { own = (own + 1) & 254; buffer!LEFT(own) }
       :: n < STORES -> skip /* longjmp: it enters again without leave */
       :: n == STORES -> gone = true; break /* dies inside */
       fi
    :: else -> break
    od;
    if
    :: gone ->
       empty(buffer);
#ifndef close_forgets
       word = (word + 1) & 254
#endif
    :: else
    fi;
    empty(buffer);
    over = true
}

inline take() {
    atomic { before = mem };
#ifdef barrier_first
    empty(buffer);
#endif
    atomic { fresh = (entry & SD); entry = PROT; epoch = epoch | fresh };
#ifdef timeout_unseen
    any = fresh;
#else
    any = epoch;
#endif
    if
    :: any ->
       generation++;
#if !defined(no_membarrier) && !defined(need_fence) && !defined(barrier_first) && !defined(barrier_last)
       empty(buffer); /* membarrier: what is in the buffer becomes visible. It is SC for the caller */
#endif
       atomic { seen = word; since = section };
#ifdef barrier_last
       empty(buffer);
#endif
       if
       :: seen & 1 ->
          if
          :: word != seen -> done = true
          :: atomic { !patient && word == seen -> done = false } /* -ETIMEDOUT */
          :: atomic { word == seen && section > since -> MUST_NOT(stuck, true) } /* unreached: the section it waits for is over */
          fi
       :: else -> done = true
       fi
    :: else -> done = true
    fi;
    atomic {
        if
        :: !done -> skip
#ifdef timeout_drops
           ; epoch = 0
#endif
        :: done && any -> image = mem; epoch = 0
        :: else
        fi;
        MUST_NOT(lost, done && (image & before) != before);
        seen = 0; since = 0; before = 0; fresh = 0; any = 0
    }
}

active proctype Harvester() {
    byte seen, since, before, fresh, any, n;
    bool done, patient;
    do
    :: n < 2 || over ->
       atomic { n++; patient = over };
       take();
       if
       :: patient -> break
       :: else
       fi
    od;
    MUST_NOT(lost, image != mem)
}
