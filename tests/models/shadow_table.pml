/* MODEL rules 4, 6, 28, 30, 34, 36: a page of the guest's tables is armed by shadow faults while it is written: by the outer guest, or as memory of another nested guest */
/* TWIN no_grace (stale): a fault arms a page and installs at once */
/* TWIN no_bump (stale): the outer guest's cached right to write outlives the arming */
/* TWIN one_walk (stale): what the walk found before the page was armed is installed */
/* TWIN armed_is_graced (stale): a fault that finds the page armed does not ask whether its grace is over */
/* TWIN late_counts (stale): a grace that timed out counts */
/* TWIN ticket_late (stale): a grace counts for pages that were armed while it was waited for */
/* TWIN ticket_kept (stale): a page that was written and is armed again keeps its old ticket */
/* TWIN memory_kept (stale): a page that becomes armed leaves the other shadow, where it is writable memory, after the grace only */
/* TWIN root_only (stale): the grace of an arming does not wait for views of shadows */
/* TWIN record_late (stale): what hangs on the page is recorded when the family lock is let go */
/* TWIN emptied_late (stale): the shadows are emptied after the write is granted */
/* TWIN granted_early (stale): between emptying and grant there is no grace */
/* TWIN granted_late (stale): the write is granted although that grace timed out */
/* TWIN granted_at_once (stale): who has waited grants without a look whether the page was armed again */
/* TWIN shadow_not_bumped (stale): rights that were cached under a shadow's generation outlive its entries */
#define WAITERS 3
#include "common.inc"

/* The page in the root: P = 1, armed, due. The guest's table entry on it is a number that each store raises. */
bool closed, armed, due;
byte table;
byte generation = 1;
bool family;
byte ticket, tickets, graced;      /* of the page; given out so far; up to which the grace is over */

/* Two shadows, each with one entry: 0 is none, else the table entry that it came from, + 1. */
byte entry[2], bumps[2];
bool record[2];
bool writable;                     /* a third one maps the page itself for stores */
bool timesOut;
byte granted;                      /* ghost: stores to the table that were granted */

#ifdef shadow_not_bumped
#define UNCACHE(i) skip
#else
#define UNCACHE(i) bumps[i]++
#endif

/* Under the family lock: what hangs on the page goes. */
inline take_away() {
    atomic {
        if :: record[0] -> entry[0] = 0; record[0] = false; UNCACHE(0) :: else fi;
        if :: record[1] -> entry[1] = 0; record[1] = false; UNCACHE(1) :: else fi;
#ifndef ticket_kept
        ticket = 0
#endif
    }
}

/* Ends a wait for a grace: `ok`, or it timed out, which happens once. */
#define WAIT(w, ok) if :: waits[w] == 0 -> ok = true :: waits[w] && !timesOut -> timesOut = true; ok = false fi

/* A processor of nested guest i: n accesses. */
proctype Inner(byte i; byte n) {
    byte mine, cached, from, before, upTo;
    bool ok, gives, asks;
    do
    :: n ->
       atomic { ENTER(i); mine = bumps[i] + 1 };
       do
       :: cached == mine -> break
       :: atomic { cached != mine && entry[i] -> from = entry[i] - 1; cached = mine }; break
       :: cached != mine && !entry[i] ->
          LEAVE(i);
          before = table; /* the walk */
          ACQUIRE(family);
          atomic {
              if
#ifdef ticket_kept
              :: !armed || !closed -> armed = true; closed = true; asks = true
#else
              :: !armed || !closed -> armed = true; closed = true; ticket = 0; asks = true
#endif
              :: else
              fi;
              if :: ticket == 0 -> tickets++; ticket = tickets :: else fi;
#ifndef record_late
              record[i] = true;
#endif
#ifndef memory_kept
              writable = false;
#endif
#ifdef no_grace
              asks = false
#else
#ifndef armed_is_graced
              asks = ticket > graced
#endif
#endif
          };
          if
          :: asks ->
             atomic { upTo = tickets; family = false };
#ifndef no_bump
             generation++;
#endif
#ifdef root_only
             waits[i] = within & 8;
#else
             waits[i] = within;
#endif
             WAIT(i, ok);
             atomic {
#ifdef ticket_late
                 upTo = tickets;
#endif
#ifdef late_counts
                 if :: graced < upTo -> graced = upTo :: else fi;
#else
                 if :: ok && graced < upTo -> graced = upTo :: else fi;
#endif
                 gives = !ok; ok = false; asks = false; upTo = 0
             }
#ifdef memory_kept
             ; writable = false
#endif
          :: else ->
             if
#ifndef one_walk
             :: table != before -> RELEASE(family)
             :: table == before ->
#else
             :: true ->
#endif
                entry[i] = before + 1;
                RELEASE(family);
#ifdef record_late
                record[i] = true
#endif
             fi
          fi;
          if
          :: gives -> break
          :: else -> atomic { before = 0; ENTER(i); mine = bumps[i] + 1 }
          fi
       od;
       if
       :: gives
       :: else -> MUST_NOT(stale, from < granted) /* the access */
       fi;
       atomic {
           LEAVE(i); n = (gives -> 0 : n - 1); gives = false; mine = 0; before = 0;
           if :: n == 0 -> cached = 0; from = 0 :: else fi
       }
    :: else -> break
    od
}

/* Stores to the table: n by the outer guest; the first of them by a nested guest to whom the page is memory, if it still is. */
proctype Writer(byte n; bool nested) {
    byte mine, cached;
    bool claims, right, ok, gives;
    do
    :: n ->
       if
       :: nested -> /* in a section of a shadow's view */
          ENTER(2);
          atomic { if :: writable -> right = true; granted++ :: else fi };
          if
          :: right -> table++
          :: else
          fi;
          atomic { LEAVE(2); nested = false }
       :: else
       fi;
       if
       :: right -> right = false
       :: else ->
          atomic { ENTER(3); mine = generation };
          do
          :: atomic { cached == mine || !closed -> cached = mine; granted++ }; break
          :: atomic { cached != mine && closed && !armed && !due -> closed = false }
          :: atomic { cached != mine && closed && armed && !due && claims -> gives = true }; break /* they may go on like that for ever */
          :: atomic { cached != mine && closed && armed && !due && !claims -> armed = false; due = true; claims = true };
             LEAVE(3);
#ifndef emptied_late
             ACQUIRE(family);
             take_away();
             RELEASE(family);
#endif
#ifdef granted_early
             ok = true;
#else
             generation++;
             waits[2] = within;
             WAIT(2, ok);
#endif
#ifdef granted_late
             ok = true;
#endif
             atomic { /* told */
                 due = false;
                 if :: !ok -> armed = true; gives = true :: else fi;
                 ok = false
             };
             if
             :: gives -> break
             :: else -> atomic { ENTER(3); mine = generation }
             fi;
#ifdef granted_at_once
             closed = false;
#endif
#ifdef emptied_late
             atomic { closed = false; cached = mine; granted++ };
             ACQUIRE(family);
             take_away();
             RELEASE(family);
             break
#endif
          od;
          if
          :: gives
          :: else -> table++
          fi;
          LEAVE(3)
       fi;
       atomic { n = (gives -> 0 : n - 1); mine = 0; gives = false; claims = false; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od
}

init {
    byte first = 1, second = 1, stores = 1;
    bool nested;
    atomic {
        if
        :: first = 2; second = 0; stores = 2
        :: closed = true
        :: first = 0; second = 2; closed = true
        :: nested = true; writable = true
        fi;
        run Inner(0, first);
        run Inner(1, second);
        run Writer(stores, nested)
    }
}
