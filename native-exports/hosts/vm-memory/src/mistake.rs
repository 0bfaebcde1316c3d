//! The negative control: the engine's bitmap, with one mark of each round left out. It need not be noticed in the first: the page
//! may be marked again.
use crate::side::{Outcome, Take};
use gmap_vm_memory::GmapBitmap;
use std::sync::atomic::{AtomicU64, Ordering};
use vm_memory::bitmap::{Bitmap, RefSlice, WithBitmapSlice};
use vm_memory::mmap::NewBitmap;

/// Marks to the one that is left out, itself included. A static: vm-memory makes bitmaps from nothing but a length.
static UNTIL_LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// From now on: the mark of this number; 0: none.
pub fn leave_out(number: u64) {
    UNTIL_LEFT_OUT.store(number, Ordering::Relaxed);
}

#[derive(Debug, Default)]
pub struct Forgetful(GmapBitmap);

impl<'a> WithBitmapSlice<'a> for Forgetful {
    type S = RefSlice<'a, Self>;
}

impl Bitmap for Forgetful {
    fn mark_dirty(&self, offset: usize, len: usize) {
        let before = UNTIL_LEFT_OUT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before != Ok(1) {
            self.0.mark_dirty(offset, len);
        }
    }

    fn dirty_at(&self, offset: usize) -> bool {
        self.0.dirty_at(offset)
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl NewBitmap for Forgetful {
    fn with_len(len: usize) -> Self {
        Forgetful(GmapBitmap::with_len(len))
    }
}

impl AsRef<GmapBitmap> for Forgetful {
    fn as_ref(&self) -> &GmapBitmap {
        &self.0
    }
}

impl Take for Forgetful {
    fn take(&self) -> Outcome<Vec<u64>> {
        self.0.take()
    }
}
