/* MODEL rules 35, 36: what hangs on a page of tables goes with a wider range, or with all of its shadow, twice; and the guest writes into the page */
/* TWIN at_once (stale): the page is armed no longer as soon as nothing hangs on it */
/* TWIN any_grace (stale): a grace that had begun before that counts */
/* TWIN any_wait (stale): who made room counts its wait for that shadow, though another one hung there before */
#define WAITERS 5
#define NOTHING 255
#include "common.inc"

/* The page, armed and protected at first: a number that the guest's store raises, and where two shadows have an entry made of it. */
bool armed = true, due;
byte table;
bool family;
byte ticket = 1, tickets = 1, graced = 1;
bool record[2] = true;
byte entry[2] = 1, bumps[2];       /* 0 is none, else the table's number + 1 */
byte graces = 1, released;         /* of the root, begun; before which of them the page was released, 0: it is not */

/* Under the family lock: an entry goes, and what hung because of it. */
inline take_away(i) {
    atomic {
        if
        :: record[i] ->
           entry[i] = 0; bumps[i]++; record[i] = false;
           if
#ifdef at_once
           :: !record[1 - i] -> armed = false
#else
           :: !record[1 - i] -> released = graces
#endif
           :: else
           fi
        :: else
        fi
    }
}

/* A grace of the root, by waiter w: begun under the family lock, which it lets go. */
#define BEGIN(w, g) atomic { g = graces; graces++; waits[w] = within; family = false }

inline over(g) {
    ACQUIRE(family);
    atomic {
        if
#ifdef any_grace
        :: released ->
#else
        :: released && released <= g ->
#endif
           released = 0;
           if
           :: record[0] || record[1]
           :: else -> armed = false
           fi
        :: else
        fi;
        g = 0; family = false
    }
}

/* A processor of nested guest i: n accesses; one that does not install takes what it finds. */
proctype Inner(byte i; byte n; bool installs) {
    byte mine, cached, from, before, g, upTo;
    bool asks;
    do
    :: n ->
       atomic { ENTER(i); mine = bumps[i] + 1 };
       do
       :: cached == mine -> break
       :: atomic { cached != mine && entry[i] -> from = entry[i] - 1; cached = mine }; break
       :: cached != mine && !entry[i] && !installs -> from = NOTHING; break
       :: cached != mine && !entry[i] && installs ->
          LEAVE(i);
          before = table; /* the walk */
          ACQUIRE(family);
          if
          :: due -> RELEASE(family)
          :: else ->
             atomic {
                 if
                 :: !armed || !(record[0] || record[1]) -> armed = true; tickets++; ticket = tickets
                 :: else
                 fi;
                 asks = ticket > graced; record[i] = true; upTo = tickets
             };
             if
             :: asks ->
                BEGIN(i, g);
                waits[i] == 0;
                ACQUIRE(family);
                atomic { /* the end of a grace, as below, where something hangs */
                    if :: released && released <= g -> released = 0 :: else fi;
                    if :: graced < upTo -> graced = upTo :: else fi;
                    asks = false; g = 0; family = false
                }
             :: !asks && table != before -> RELEASE(family) /* unreached: nobody else installs here; shadow_table has two */
             :: !asks && table == before -> entry[i] = before + 1; RELEASE(family)
             fi
          fi;
          atomic { before = 0; upTo = 0; ENTER(i); mine = bumps[i] + 1 }
       od;
       MUST_NOT(stale, from != NOTHING && from != table); /* the access */
       atomic {
           LEAVE(i); n--; mine = 0;
           if :: n == 0 -> cached = 0; from = 0 :: else fi
       }
    :: else -> break
    od
}

/* The table above is unmapped, with all of shadow i's range; or room is made, and who does waits for that shadow's readers alone. */
proctype Taker(byte i) {
    byte g;
    ACQUIRE(family);
    take_away(i);
    if
    :: BEGIN(2 + i, g); waits[2 + i] == 0; over(g)
    :: atomic { waits[2 + i] = within & (1 << i); family = false };
       waits[2 + i] == 0;
#ifdef any_wait
       g = graces;
       over(g)
#endif
    fi
}

/* The guest's store into the page; where it is armed again and again the vcpu may give up. */
proctype Writer() {
    byte g, claims;
    do
    :: atomic { armed && claims < 2 -> armed = false; due = true; claims++ };
       ACQUIRE(family);
       take_away(0);
       take_away(1);
       BEGIN(4, g);
       waits[4] == 0;
       over(g);
       due = false
    :: atomic { !armed && !due -> table++ }; break
    :: armed && claims == 2 -> break
    od
}

init { atomic { run Inner(0, 2, true); run Inner(1, 1, false); run Taker(0); run Taker(1); run Writer() } }
