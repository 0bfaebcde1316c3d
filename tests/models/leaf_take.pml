/* MODEL rules 11, 12, 16: a harvest takes a dirty leaf and loses it to a split by hand, another one is in its grace; a writer */
/* TWIN children_left (lost): who loses the leaf has cleared the summary, leaves the children, and counts no move into the epoch */
#include "common.inc"

/* One page. The leaf is P = 0, soft-dirty, with its summary bits, as a collapse of a dirty table leaves it. gmap_split takes no lock of
 * the slot. The taker of a leaf: pour, clear the summary, compare-and-swap. When that fails because there is a table now, the summary
 * is set again (no other harvest of the slot can look: its lock is held) and the children are taken as any table's entries. */
bool table, leafArmed;   /* the segment: a leaf, clean or not, or a table */
byte page;               /* the entry of the page in the table */
bool summary = true;
bool epoch = true, gate;
byte moves;
byte mem = 1, image, ended;
byte handed;

active proctype Split() {
    atomic {
        if
        :: !table && !leafArmed -> page = SD; table = true
        :: !table && leafArmed -> page = PROT; table = true
        :: else
        fi
    };
    ended++
}

active proctype Writer() {
    byte n = 2;
    do
    :: n ->
       ENTER(0);
       atomic {
           if
           :: table -> page = SD
           :: !table && !leafArmed -> skip
           :: else -> page = SD; table = true /* a fault splits the clean leaf; split.pml */
           fi
       };
       if
       :: summary
       :: !summary -> summary = true
       fi;
       mem++;
       LEAVE(0);
       n--
    :: else -> break
    od;
    ended++
}

inline take_table() {
    if
    :: table && summary ->
       summary = false;
       if
       :: page & SD -> epoch = true; found = true; page = PROT
       :: else
       fi
    :: else
    fi
}

proctype Harvester(byte h; bool waiting) {
    byte before, n, m;
    bool last, any, found, lostLeaf;
    do
    :: n < 1 || ended == 2 ->
       atomic { last = (ended == 2); before = mem };
       if
       :: waiting -> atomic { any = true; before = 1; last = false } /* took the page before; its grace began before the writer came */
       :: else ->
       ACQUIRE(gate);
       if
       :: summary ->
          if
          :: !table && !leafArmed ->
             epoch = true;
             summary = false;
             atomic { if :: !table -> leafArmed = true; found = true :: else -> lostLeaf = true fi };
             if
             :: lostLeaf ->
#ifndef children_left
                summary = true;
#endif
                take_table()
             :: else
             fi
          :: else -> take_table()
          fi
       :: else
       fi;
       atomic { if :: found -> moves++ :: else fi; any = epoch; m = moves };
       RELEASE(gate)
       fi;
       do
       :: any ->
          if
          :: waiting -> waiting = false
          :: else -> GRACE(h)
          fi;
          ACQUIRE(gate);
          if
          :: moves == m -> atomic { if :: epoch -> handed++; epoch = false :: else -> any = false fi }; RELEASE(gate); break
          :: else -> m = moves; RELEASE(gate)
          fi
       :: else -> break
       od;
       atomic {
           if :: any -> image = mem; handed-- :: else fi;
           MUST_NOT(lost, image < before && handed == 0);
           any = 0; found = 0; lostLeaf = 0; before = 0; m = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> ended == 2
    od;
    MUST_NOT(lost, image != mem && handed == 0)
}

init {
    atomic {
        run Harvester(0, true);
        run Harvester(1, false)
    }
}
