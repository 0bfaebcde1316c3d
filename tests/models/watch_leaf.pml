/* MODEL rules 11, 16, 17, 19, 28, 29: page 0 of a leaf is armed beside faults that install, grant and split it, a split by hand, a harvest */
/* TWIN no_wait (untold): a fault that looked before the byte was there installs the leaf unmarked after the walk */
/* TWIN no_grace (untold): gmap_protect returns while stores by a right from before are under way */
/* TWIN install_unmarked (untold): a leaf is installed without a look at the bytes */
/* TWIN split_drops (untold): a split hands no markers down */
/* TWIN split_unwatched (untold): a split hands them down into a table that is not WATCHED */
/* TWIN link_unwatched (untold): a table is linked where nothing was mapped, without a look at the bytes */
/* TWIN leaf_granted (untold): a fault grants a marked leaf that is armed */
/* TWIN take_drops (untold): a harvest takes a leaf's marker although a byte stays armed */
/* TWIN take_silent (untold): a harvest takes a leaf and looks at no byte */
/* TWIN walk_by_lock (untold): the walk does not hold the harvest turn */
#include "common.inc"

#define MARK 16
#define LEAF 32
#define TABLE 64
#define WATCHED 128
#define CHANGE 2
#define WRITE 4
#define CHANGE_DUE 8
#define WRITE_DUE 16

/* A slot that does not track, of two pages; the table's entries while the segment has one. Page 0 is the one that is armed. LOCK is not
 * here (watch.pml): what needs it is one step. */
byte segment, page[2];
byte watch;
bool turn;
bool asksChange, asksWrite, armedChange, armedWrite, owed;

#define TOLD_CHANGE asksChange = false; armedChange = false; owed = false
#define TOLD_WRITE asksWrite = false; armedWrite = false
#define WEAKENS(e) if :: armedChange && !((e) & PROT) -> owed = true; mine = true :: else fi
#define TAKE_CHANGE if :: watch & CHANGE -> watch = (watch & ~CHANGE) | CHANGE_DUE :: else fi
#define MARKED(b) ((b) -> MARK : 0)
#define STOPS(b) (((b) & (WRITE | WRITE_DUE)) -> PROT : 0)

/* Its child is built unlinked; linked if the leaf is the same. */
inline split(s) {
    atomic {
        if
        :: segment == s ->
#ifdef split_drops
           page[0] = s & (VALID | PROT | SD);
#else
           page[0] = s & (VALID | PROT | SD | MARK);
#endif
           page[1] = page[0];
#if defined(split_unwatched) || defined(split_drops)
           segment = TABLE
#else
           segment = TABLE | ((s & MARK) -> WATCHED : 0)
#endif
        :: else
        fi
    }
}

proctype Writer(byte i; byte p; byte n; bool tables) {
    byte s, b;
    bool may, tells;
    do
    :: n ->
       ENTER(i);
       do
       :: may = ((segment & (TABLE | PROT | VALID)) == VALID || ((segment & TABLE) && (page[p] & (VALID | PROT)) == VALID));
          if
          :: may -> break /* inline */
          :: else
          fi;
          atomic { ENTER(i); CALL(i); s = segment };
          if
          :: !(s & (LEAF | TABLE)) -> /* nothing is mapped */
             b = watch;
             atomic {
                 if
                 :: segment == s && !tables ->
#ifdef install_unmarked
                    segment = LEAF | VALID | SD
#else
                    segment = LEAF | VALID | MARKED(b) | STOPS(b) | (STOPS(b) -> 0 : SD)
#endif
                 :: segment == s && tables ->
                    page[0] = 0; page[1] = 0;
#ifdef link_unwatched
                    segment = TABLE
#else
                    segment = TABLE | (b -> WATCHED : 0)
#endif
                 :: else
                 fi
             }
          :: (s & LEAF) && (s & PROT) ->
             b = ((s & MARK) -> watch : 0);
#ifndef leaf_granted
             if
             :: b & (WRITE | WRITE_DUE) -> split(s)
             :: else ->
#endif
                atomic { if :: segment == s -> segment = (s & ~PROT) | SD :: else fi }
#ifndef leaf_granted
             fi
#endif
          :: (s & LEAF) && !(s & PROT)
          :: s & TABLE ->
             atomic { /* under LOCK */
                 b = (p -> 0 : watch);
                 if
                 :: !(page[p] & VALID) -> page[p] = VALID | MARKED(b) | STOPS(b) | (STOPS(b) -> 0 : SD)
                 :: (page[p] & VALID) && (page[p] & PROT) && (b & WRITE) -> watch = (watch & ~WRITE) | WRITE_DUE; tells = true
                 :: (page[p] & VALID) && (page[p] & PROT) && !(b & (WRITE | WRITE_DUE)) -> page[p] = VALID | SD | MARKED(b)
                 :: else
                 fi
             }
          fi;
          atomic { s = 0; b = 0; RETURNED(i) };
          if
          :: tells ->
             LEAVE(i);
             atomic { TOLD_WRITE };
             atomic { watch = watch & ~WRITE_DUE; tells = false };
             ENTER(i)
          :: else
          fi
       od;
       MUST_NOT(untold, p == 0 && armedWrite); /* the store */
       atomic { LEAVE(i); n--; may = false }
    :: else -> break
    od
}

inline deliver() {
    atomic { if :: watch & CHANGE_DUE -> watch = watch & ~CHANGE_DUE; TOLD_CHANGE :: else fi };
    MUST_NOT(untold, mine && owed);
    mine = false
}

proctype Protector(byte kind) {
    byte s;
    bool mine;
    if
    :: kind == 0 -> goto end
    :: else
    fi;
    atomic { watch = watch | kind; asksChange = (kind & CHANGE) != 0; asksWrite = (kind & WRITE) != 0 };
#ifndef no_wait
    WAIT_FOR_CALLS;
#endif
#ifndef walk_by_lock
    ACQUIRE(turn);
#endif
    do
    :: s = segment;
       if
       :: s & LEAF ->
          atomic {
              if
              :: segment == s && watch -> segment = s | MARK | STOPS(watch); break
              :: segment == s && !watch -> break
              :: else
              fi
          }
       :: s & TABLE ->
          atomic {
              segment = segment | WATCHED;
              if
              :: (page[0] & VALID) && watch -> page[0] = page[0] | MARK | STOPS(watch)
              :: else
              fi;
              break
          }
       :: !(s & (LEAF | TABLE)) -> break
       fi
    od;
    s = 0;
#ifndef walk_by_lock
    RELEASE(turn);
#endif
#ifndef no_grace
    GRACE(1);
#endif
    deliver();
    atomic {
        if :: asksChange -> armedChange = true; asksChange = false :: else fi;
        if :: asksWrite -> armedWrite = true; asksWrite = false :: else fi
    };
end:
    skip
}

proctype Harvester(byte n) {
    byte s, b;
    bool mine, weaker;
    do
    :: n ->
       ACQUIRE(turn);
       s = segment;
       if
       :: (s & LEAF) && (s & SD) ->
          b = ((s & MARK) -> watch : 0);
          atomic {
              if
              :: segment == s ->
                 WEAKENS(s);
                 weaker = !(s & PROT);
#ifdef take_drops
                 segment = (s & ~(SD | MARK)) | PROT
#else
                 segment = (s & ~(SD | MARK)) | PROT | ((b & WRITE) -> MARK : 0)
#endif
              :: else -> s = segment
              fi
          }
       :: (s & LEAF) && !(s & SD)
       :: (s & TABLE) && !(s & WATCHED) -> skip
       :: (s & TABLE) && (s & WATCHED) -> skip
       :: !(s & (LEAF | TABLE))
       fi;
       if
       :: (s & TABLE) && !(s & WATCHED) -> /* without LOCK, markers unseen */
          atomic { if :: page[0] & SD -> WEAKENS(page[0]); page[0] = (page[0] & ~SD) | PROT :: else fi } /* unreached: where armed */
       :: (s & TABLE) && (s & WATCHED) ->
          atomic {
              if
              :: page[0] & SD ->
                 WEAKENS(page[0]);
                 weaker = !(page[0] & PROT);
                 page[0] = (page[0] & ~(SD | MARK)) | PROT | ((watch & WRITE) -> MARK : 0)
              :: else
              fi
          }
       :: else
       fi;
#ifndef take_silent
       if
       :: weaker -> atomic { TAKE_CHANGE; weaker = false }
       :: else
       fi;
#endif
       atomic { s = 0; b = 0; weaker = false };
       RELEASE(turn);
       GRACE(0);
       deliver();
       n--
    :: else -> break
    od
}

proctype Splitter(bool splits) {
    byte s;
    CALL(3);
    s = segment;
    if
    :: splits && (s & LEAF) -> split(s)
    :: else
    fi;
    RETURNED(3)
}

init {
    byte kind, second, stores, other, harvests;
    bool splits, tables;
    atomic {
        if
        :: kind = CHANGE; harvests = 1; stores = 1; splits = true; segment = LEAF | VALID | SD
        :: kind = CHANGE; harvests = 1; stores = 1; tables = true
        :: kind = CHANGE; harvests = 1; stores = 1
        :: kind = WRITE; stores = 1; splits = true; segment = LEAF | VALID | SD
        :: kind = WRITE; other = 1; stores = 1; segment = LEAF | VALID | PROT
        :: kind = WRITE; stores = 1
        :: kind = WRITE; stores = 1; tables = true
        :: kind = CHANGE | WRITE; stores = 1; harvests = 1; segment = LEAF | VALID | SD
        fi;
        run Writer(0, 0, stores, tables);
        run Writer(1, 1, other, tables);
        run Protector(kind);
        run Harvester(harvests);
        run Splitter(splits)
    }
}
