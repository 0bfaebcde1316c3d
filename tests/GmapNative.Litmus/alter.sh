#!/bin/sh
# alter.sh NAME HEADER: prints gmap_inline.h with one deliberate mistake, a twin of the litmus tests. An alteration that
# does not find its line is an error: then the header has changed, and the twin has to follow.
set -eu

name=$1 text=$(cat "$2")

# becomes LINE REPLACEMENT: the only line that contains LINE becomes REPLACEMENT (both plain text).
becomes() {
    found=$(printf '%s\n' "$text" | grep -cF -- "$1" || true)
    if [ "$found" != 1 ]; then
        printf 'alter.sh: %s: %s lines of the header contain: %s\n' "$name" "$found" "$1" >&2
        exit 1
    fi
    text=$(printf '%s\n' "$text" |
        line=$1 new=$2 awk 'index($0, ENVIRON["line"]) { print ENVIRON["new"]; next } { print }')
}

# above LINE TEXT: the text comes before the only line that contains LINE.
above() {
    whole=$(printf '%s\n' "$text" | grep -F -- "$1" || true)
    becomes "$1" "$2
$whole"
}

enter='GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside | 1u) + 2u);'
leave='GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside + 1u) & ~(uint64_t)1);'
generation='  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view)); /* it says'
summary='GMAP_ATOMIC_OR32(word, bit);'
grant='  } while (!GMAP_ATOMIC_CAS(page, &entry,'
granted='(entry & ~GMAP_PAGE_PROTECT) | GMAP_PAGE_DIRTY | GMAP_PAGE_SOFT_DIRTY | GMAP_PAGE_YOUNG'
store_end='gmap_next_pages_(view, guest_addr, last, GMAP_ACCESS_WRITE, at) : 0;'

case $name in
second-writer-no-summary)
    becomes 'break; /* another writer was first */' '    if (!(entry & (GMAP_PAGE_INVALID | GMAP_PAGE_PROTECT))) {
      *host = (uintptr_t)((entry & GMAP_PAGE_FRAME) | (guest_addr & ~GMAP_PAGE_FRAME));
      return 0;
    }'
    ;;
no-summary)
    becomes "$summary" '    (void)word;'
    ;;
store-before-grant) # the host gets the pointer to a clean page; the grant comes when the section ends
    above '/* One page, for writing: the entry grants' "static __thread uint64_t *gmap_late_page_, *gmap_late_segment_,
                          gmap_late_addr_;
static inline void gmap_late_(void) {
  uint64_t entry;
  if (!gmap_late_page_) return;
  entry = GMAP_ATOMIC_LOAD(gmap_late_page_);
  GMAP_INLINE_YIELD(4);
  while (entry & GMAP_PAGE_PROTECT && !GMAP_ATOMIC_CAS(gmap_late_page_, &entry, $granted)) continue;
  gmap_summary_(gmap_late_segment_, gmap_late_addr_);
  gmap_late_page_ = NULL;
}"
    above "$grant" "    gmap_late_();
    gmap_late_page_ = page, gmap_late_segment_ = segment, gmap_late_addr_ = guest_addr;
    *host = (uintptr_t)((entry & GMAP_PAGE_FRAME) | (guest_addr & ~GMAP_PAGE_FRAME));
    return 0;"
    above '/* Begins a section. On a view' 'static inline void gmap_late_(void);'
    above "$leave" '  gmap_late_();'
    ;;
leave-before-store) # the host's own gmap_leave then finds an even word, and leaves it so
    above "$store_end" "  $leave"
    ;;
cache-generation-read-again)
    becomes 'entry->load_generation = view->generation; /* the entered one' '  GMAP_INLINE_YIELD(4);
  entry->load_generation = gmap_generation_(view);'
    ;;
crossing-grants-first)
    becomes "$store_end" \
        '  return gmap_crosses_(guest_addr, size) ? gmap_next_pages_(view, guest_addr, last, GMAP_ACCESS_READ, at) : 0;'
    ;;
enter-stays-even)
    becomes "$enter" '  GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside | 1u) + 1u);'
    ;;
enter-after-generation) # what a compiler may make of enter without its fence
    becomes "$generation" '@'
    becomes "$enter" "$generation */
  GMAP_INLINE_YIELD(4);"
    becomes '@' "  $enter"
    ;;
cache-ignores-generation)
    becomes 'GMAP_EXPECT(entry->store_generation == view->generation, 1)' '      entry->store_generation != 0) {'
    ;;
again-keeps-right) # a hit of before the poll is used after it
    becomes 'GMAP_EXPECT(entry->store_generation == gmap_polled_(view), 1)' \
        '      entry->store_generation == view->generation && gmap_again(view) >= 0) {'
    ;;
again-after-walk) # the poll between the walk and its store
    becomes '  if (status == 0) gmap_cache_fill_(view, entry, guest_addr, GMAP_ACCESS_WRITE, *host);' \
        '  GMAP_INLINE_YIELD(4);
  (void)gmap_again(view);
  if (status == 0) gmap_cache_fill_(view, entry, guest_addr, GMAP_ACCESS_WRITE, *host);'
    ;;
plain-summary) # not atomic: only ThreadSanitizer looks for it
    becomes "$summary" '    *word |= bit;'
    ;;
*)
    printf 'alter.sh: no twin is called %s\n' "$name" >&2
    exit 1
    ;;
esac
printf '%s\n' "$text"
