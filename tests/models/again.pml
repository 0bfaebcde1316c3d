/* MODEL rules 4, 5, 6, 10: a thread that polls the generation instead of leaving, its stores in a store buffer (x86) */
/* GOOD weak: plain stores pass plain and releasing stores before them (arm64) */
/* GOOD raises_itself: the grace is for a change that raised nothing: it raises the generation itself while it waits */
/* TWIN old_answer (lost): the generation from before the take counts as an answer */
/* TWIN bump_first (lost): the generation is raised, then the entry is taken */
/* TWIN right_kept (lost): the poll answers, and the store goes by the right from before it */
/* TWIN no_load (lost): the poll answers with the newest generation, the cache is still looked at with the one from before */
/* TWIN weak_plain_answer (lost): weak, and the answer is no releasing store */
/* TWIN never_told (stuck): a grace that raised nothing does not raise the generation while it waits */
/* TWIN answer_late (stuck): the poll loads the generation a second time, and answers with that without storing it */
#include "common.inc"

/* One page. The thread enters once, stores three times, each after a poll: by its tables, or by the right that its cache has kept. A
 * locked instruction empties the buffer. It leaves when nobody waits any more (never_told and answer_late: so never). */
#define STORES 3
mtype = { INSIDE, LEFT, MEM, ANSWER };

byte word;           /* the inside word, as others see it */
byte answer;         /* the view's generation, as others see it */
byte generation = 2;
byte entry = PROT;
byte mem, image;
chan buffer = [8] of { mtype, byte };
bool epoch, over, waiting;

/* What the processor does when it likes. */
active proctype Flush() {
    byte v;
end:
    do
#if defined(weak) || defined(weak_plain_answer)
    :: atomic { buffer??MEM(v) -> mem = mem | v; v = 0 }
#else
    :: atomic { buffer?MEM(v) -> mem = mem | v; v = 0 }
#endif
    :: atomic { buffer?INSIDE(v) -> word = v; v = 0 }
    :: atomic { buffer?LEFT(v) -> word = v; v = 0 }
#ifdef weak_plain_answer
    :: atomic { buffer??ANSWER(v) -> answer = v; v = 0 }
#else
    :: atomic { buffer?ANSWER(v) -> answer = v; v = 0 }
#endif
    od
} /* unreached: runs for ever */

active proctype Writer() {
    byte mine, cached, now, n;
    bool right;
    buffer!INSIDE(1);
    mine = generation;
    buffer!ANSWER(mine);
    do
    :: n < STORES ->
#if defined(right_kept)
       right = (cached == mine);
#endif
       now = generation;
       if
       :: now != mine ->
#ifndef no_load
          mine = now;
#endif
#ifdef answer_late
          mine = generation
#else
          buffer!ANSWER(now)
#endif
       :: else
       fi;
#if !defined(right_kept)
       right = (cached == mine);
#endif
       if
       :: right -> skip
       :: else ->
          atomic { empty(buffer) -> entry = SD }; /* locked; entry and summary: store_order.pml */
          cached = mine
       fi;
       atomic { buffer!MEM(1 << n); n++ }
    :: n == STORES && waiting -> /* it has nothing to store, and polls */
       now = generation;
       if
       :: now != mine ->
          mine = now;
#ifdef answer_late
          mine = generation
#else
          buffer!ANSWER(now)
#endif
       :: else -> (generation != mine || !waiting) /* a poll that finds nothing is as none */
       fi
    :: n == STORES && !waiting -> break
    od;
    buffer!LEFT(2);
    empty(buffer);
    over = true
}

inline take() {
    atomic { before = mem; waiting = true };
#ifdef bump_first
    generation++;
#endif
    atomic { if :: entry & SD -> epoch = true; entry = PROT :: else fi };
    if
    :: epoch ->
#if !defined(bump_first) && !defined(raises_itself) && !defined(never_told)
       generation++;
#endif
#ifdef old_answer
       since = generation - 1;
#else
#if defined(raises_itself) || defined(never_told)
       since = 255;
#else
       since = generation;
#endif
#endif
       empty(buffer); /* membarrier */
       seen = word;
       do
       :: !(seen & 1) || word != seen || answer >= since -> break
#ifdef raises_itself
       :: since == 255 && (seen & 1) && word == seen -> atomic { generation++; since = generation } /* unreached: in the last take nobody is inside */
#endif
       od
    :: else
    fi;
    atomic {
        if
        :: epoch -> image = mem; epoch = false
        :: else
        fi;
        MUST_NOT(lost, (image & before) != before);
        seen = 0; since = 0; before = 0; waiting = false; n++
    }
}

active proctype Harvester() {
    byte seen, since, before, n;
    do
    :: n < 2 -> take()
    :: else -> break
    od;
    over;
    take();
    MUST_NOT(lost, image != mem)
}
