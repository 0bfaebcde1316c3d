/* MODEL rules 10, 19: logging starts while a fault is in flight, a vCPU writes by rights of before, and a harvest wants in */
/* TWIN no_wait (invented): publish and walk, without waiting for the calls in flight: a fault installs a right after the walk */
/* TWIN published_late (invented): walk, then publish */
/* TWIN no_bump (lost): rights that a cache holds live on */
/* TWIN no_grace (lost): arming returns while a vCPU still writes by an old right */
/* TWIN stale_kept (invented): the walk leaves the marks of before */
/* TWIN timeout_clean (lost): arming that timed out counts no page as dirty */
#include "common.inc"

/* One page. While the slot is not tracked a fault installs it P = 0 and soft-dirty at once; afterwards a read maps it protected. Once
 * arming has returned, its caller copies all memory and counts on the log. */
byte entry;          /* not VALID: nothing is mapped */
bool summary;
bool tracked, log, lock, over;
byte generation = 1;
bool call;           /* a fault is in flight; configuration waits for calls, not for hosts' sections */
byte mem, image;
byte since;          /* ghost: what memory held when arming began */
bool returned, unsure;

active proctype Writer() {
    byte n, mine, cached;
    bool direct, read;
    do
    :: n < 3 ->
       ENTER(0);
       mine = generation;
       if
       :: read = false
       :: !(entry & VALID) -> read = true /* an access that maps the page, and stores nothing */
       fi;
       if
       :: cached == mine
       :: else ->
          if
          :: !read && (entry & VALID) && !(entry & PROT) -> summary = true
          :: !read && (entry & VALID) && (entry & PROT) -> atomic { entry = SD | VALID }; summary = true
          :: !(entry & VALID) -> /* the library's fault: a call, in a section of its own */
             atomic { ENTER(0); call = true; mine = generation };
             direct = !tracked; /* the configuration that it reads */
             if
             :: direct -> entry = SD | VALID; summary = true
             :: !direct && read -> entry = PROT | VALID
             :: !direct && !read -> entry = SD | VALID; summary = true
             fi;
             call = false
          fi;
          if
          :: !read -> cached = mine
          :: else
          fi
       fi;
       if
       :: !read -> mem++
       :: else
       fi;
       LEAVE(0);
       n++
    :: else -> break
    od;
    over = true
}

proctype Arm() {
    bool timed;
    ACQUIRE(lock);
    since = mem;
#ifndef published_late
    tracked = true;
#ifndef no_wait
    !call;
#endif
#endif
#ifndef stale_kept
    if
    :: summary ->
       summary = false;
       atomic { if :: entry & VALID -> entry = PROT | VALID :: else fi }
    :: else
    fi;
#endif
#ifdef published_late
    tracked = true;
    !call;
#endif
    RELEASE(lock);
#ifndef no_bump
    generation++;
#endif
#ifndef no_grace
    waits[0] = within;
    if
    :: waits[0] == 0
    :: timed = true; waits[0] = 0
    fi;
#endif
#ifndef timeout_clean
    if
    :: timed -> log = true
    :: else
    fi;
#endif
    atomic { image = mem; returned = true; unsure = timed }
}

active proctype Harvester() {
    byte before, n;
    bool epoch, last;
    run Arm();
    do
    :: (tracked && n < 1) || (returned && over) -> /* a slot that is not tracked has no harvest */
       atomic { last = returned && over; before = (returned -> mem : 0) };
       ACQUIRE(lock);
       if
       :: summary ->
          summary = false;
          atomic { if :: entry & SD -> epoch = true; entry = PROT | VALID :: else fi }
       :: else
       fi;
       atomic { epoch = epoch || log; log = false };
       if
       :: epoch -> generation++
       :: else
       fi;
       RELEASE(lock);
       if
       :: epoch -> GRACE(1)
       :: else
       fi;
       atomic {
           MUST_NOT(invented, epoch && returned && !unsure && mem == since);
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> returned && over
    od;
    MUST_NOT(lost, image != mem)
}
