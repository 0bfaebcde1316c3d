use crate::abi;
use crate::error::{check, Error, Result};
use crate::space::Handles;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vm_memory::bitmap::{Bitmap, RefSlice, WithBitmapSlice};
use vm_memory::mmap::NewBitmap;

/// The dirty log of one region: a slot of a `Space`. Clones are the same log.
///
/// vm-memory makes a region's bitmap before the region has an address; `Space::track` joins the two.
#[derive(Clone, Debug, Default)]
pub struct GmapBitmap(Arc<Log>);

#[derive(Debug, Default)]
struct Log {
    pages: u64,
    /// The space's handle; 0: not tracked yet. Written last, so that who sees it sees the two below.
    space: AtomicU64,
    guest_addr: AtomicU64,
    slot: AtomicU32,
    owner: Mutex<Owner>,
}

#[derive(Debug, Default)]
struct Owner {
    space: Option<Arc<Handles>>,
    /// Something was marked before there was a slot.
    early: bool,
}

impl GmapBitmap {
    pub fn pages(&self) -> u64 {
        self.0.pages
    }

    /// The slot's number in the space, for calls of gmap.h.
    pub fn slot(&self) -> Result<u32> {
        match self.0.space.load(Ordering::Acquire) {
            0 => Err(Error::NotTracked),
            _ => Ok(self.0.slot.load(Ordering::Relaxed)),
        }
    }

    /// What `AtomicBitmap::get_and_reset` answers, in as many words. The engine may wait for vcpus to leave first.
    pub fn get_and_reset(&self) -> Result<Vec<u64>> {
        let slot = self.slot()?;
        let mut bits = vec![0u64; self.0.pages as usize / 64 + 1];
        // SAFETY: the bitmap has the words that are said, which are enough for the slot's pages.
        let status = unsafe { abi::gmap_dirty_harvest(self.space(), slot, 0, self.0.pages, 0, bits.as_mut_ptr(), bits.len(), null_mut()) };
        check("gmap_dirty_harvest", status)?;
        Ok(bits)
    }

    /// Calls `make` for a slot, told whether there were marks before it, and lets marks go there.
    pub(crate) fn attach(&self, space: &Arc<Handles>, guest_addr: u64, make: impl FnOnce(bool) -> Result<u32>) -> Result<()> {
        let mut owner = self.0.owner.lock().unwrap();
        if owner.space.is_some() {
            return Err(Error::Tracked { guest_addr });
        }
        self.0.slot.store(make(owner.early)?, Ordering::Relaxed);
        self.0.guest_addr.store(guest_addr, Ordering::Relaxed);
        owner.space = Some(space.clone());
        self.0.space.store(space.space(), Ordering::Release);
        Ok(())
    }

    fn space(&self) -> u64 {
        self.0.space.load(Ordering::Acquire)
    }

    /// True: kept for the slot to come. False: there is one by now.
    fn mark_early(&self) -> bool {
        let mut owner = self.0.owner.lock().unwrap();
        owner.early |= owner.space.is_none();
        owner.space.is_none()
    }
}

impl Log {
    fn of(pages: u64) -> Self {
        Log { pages, space: AtomicU64::new(0), guest_addr: AtomicU64::new(0), slot: AtomicU32::new(0), owner: Mutex::default() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(space) = self.owner.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).space.take() {
            let slot = self.slot.load(Ordering::Relaxed);
            // A refusal leaves a slot that nothing uses until the space ends.
            let _ = space.set_slot(slot, 0, 0, 0, 0);
        }
    }
}

impl<'a> WithBitmapSlice<'a> for GmapBitmap {
    type S = RefSlice<'a, Self>;
}

impl Bitmap for GmapBitmap {
    /// # Panics
    /// If the library refuses the mark: a page that is lost would be missing at the migration's destination.
    #[inline]
    fn mark_dirty(&self, offset: usize, len: usize) {
        // As AtomicBitmap: pages beyond the region's last are passed over.
        let bytes = (self.0.pages * abi::GMAP_PAGE_SIZE) as usize;
        if len == 0 || offset >= bytes {
            return;
        }
        let mut space = self.space();
        if space == 0 {
            if self.mark_early() {
                return;
            }
            space = self.space();
        }
        let guest_addr = self.0.guest_addr.load(Ordering::Relaxed) + offset as u64;
        // SAFETY: numbers only.
        let status = unsafe { abi::gmap_mark_dirty(space, guest_addr, len.min(bytes - offset) as u64) };
        if let Err(error) = check("gmap_mark_dirty", status) {
            panic!("{error}; the write at guest address {guest_addr:#x} would be lost");
        }
    }

    /// # Panics
    /// If the library refuses to tell.
    fn dirty_at(&self, offset: usize) -> bool {
        let page = offset as u64 / abi::GMAP_PAGE_SIZE;
        if page >= self.0.pages {
            return false;
        }
        let slot = match self.slot() {
            Ok(slot) => slot,
            Err(_) => return self.0.owner.lock().unwrap().early, // of a region that was written before it is tracked, all is dirty
        };
        let mut bit = 0u64;
        // SAFETY: one word, for one page.
        let status = unsafe { abi::gmap_dirty_get(self.space(), slot, page, 1, 0, &mut bit, null_mut()) };
        if let Err(error) = check("gmap_dirty_get", status) {
            panic!("{error}");
        }
        bit != 0
    }

    #[inline]
    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl NewBitmap for GmapBitmap {
    fn with_len(len: usize) -> Self {
        let pages = (len as u64 + abi::GMAP_PAGE_SIZE - 1) / abi::GMAP_PAGE_SIZE;
        GmapBitmap(Arc::new(Log::of(pages)))
    }
}

impl AsRef<GmapBitmap> for GmapBitmap {
    fn as_ref(&self) -> &GmapBitmap {
        self
    }
}
