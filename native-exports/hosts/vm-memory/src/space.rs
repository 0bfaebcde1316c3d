use crate::abi::{self, gmap_slot, gmap_space_config};
use crate::error::{check, Error, Result};
use crate::GmapBitmap;
use std::mem::size_of;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use vm_memory::bitmap::Bitmap;
use vm_memory::{Address, GuestMemory, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};

/// An engine with one space: the guest whose regions it tracks. It ends with the last region that it tracks.
#[derive(Clone, Debug)]
pub struct Space(Arc<Handles>);

#[derive(Debug)]
pub(crate) struct Handles {
    engine: u64,
    space: u64,
    next_slot: AtomicU32,
}

impl Space {
    /// A space for guest addresses up to `limit`, in the default configuration.
    pub fn new(limit: u64) -> Result<Self> {
        let mut handles = Handles { engine: 0, space: 0, next_slot: AtomicU32::new(0) };
        let config = gmap_space_config {
            struct_size: size_of::<gmap_space_config>() as u32,
            flags: 0,
            limit,
            table_format: 0,
            split_policy: 0,
            huge: 0,
            dirty_scope: 0,
            tracking: 0,
            max_shadows: 0,
            shadow_bytes: 0,
        };
        // SAFETY: all pointers are to locals that outlive the calls; NULL is all defaults. What was made before a failure is taken
        // down by Handles::drop.
        unsafe {
            check("gmap_runtime_init", abi::gmap_runtime_init())?;
            check("gmap_engine_create", abi::gmap_engine_create(null(), &mut handles.engine))?;
            check("gmap_space_create", abi::gmap_space_create(handles.engine, &config, &mut handles.space))?;
        }
        Ok(Space(Arc::new(handles)))
    }

    /// For calls of gmap.h that are not wrapped here: `gmap_vcpu_open`, consumers, snapshots.
    pub fn handle(&self) -> u64 {
        self.0.space
    }

    /// Makes each region of `memory` a slot that logs. All of it is clean afterwards, but a region that was written before: of that
    /// every page is dirty. A region that is added later is tracked by `track_region`. After an error the regions before the one that it
    /// is about are tracked. Not to be called by a thread that is inside a section of a view.
    pub fn track<B>(&self, memory: &GuestMemoryMmap<B>) -> Result<()>
    where
        B: Bitmap + AsRef<GmapBitmap> + 'static,
    {
        memory.iter().try_for_each(|region| self.track_region(region))
    }

    pub fn track_region<R>(&self, region: &R) -> Result<()>
    where
        R: GuestMemoryRegion,
        R::B: AsRef<GmapBitmap>,
    {
        let guest_addr = region.start_addr().raw_value();
        if guest_addr % abi::GMAP_PAGE_SIZE != 0 {
            return Err(Error::Unaligned { guest_addr });
        }
        let host_addr = region.get_host_address(MemoryRegionAddress(0)).map_err(|_| Error::NoHostAddress { guest_addr })? as u64;
        let bitmap = region.bitmap().as_ref();
        bitmap.attach(&self.0, guest_addr, |early| {
            let id = self.0.next_slot.fetch_add(1, Ordering::Relaxed);
            let initially = if early { abi::GMAP_SLOT_INITIALLY_DIRTY } else { 0 };
            // The kernel has mapped whole pages, too: the last one may be used in part.
            self.0.set_slot(id, abi::GMAP_SLOT_LOG_DIRTY | initially, guest_addr, bitmap.pages() * abi::GMAP_PAGE_SIZE, host_addr)?;
            Ok(id)
        })
    }
}

impl Handles {
    pub(crate) fn space(&self) -> u64 {
        self.space
    }

    /// `size` 0 deletes the slot.
    pub(crate) fn set_slot(&self, id: u32, flags: u32, guest_addr: u64, size: u64, host_addr: u64) -> Result<()> {
        let slot = gmap_slot {
            struct_size: size_of::<gmap_slot>() as u32,
            flags,
            id,
            reserved: 0,
            guest_addr,
            size,
            host_addr,
            final_bitmap: null_mut(),
            final_words: 0,
        };
        // SAFETY: `slot` outlives the call. The region's mapping lives as long as the slot but for the moment in which both are
        // dropped, and nothing reads a slot's memory but vcpus and calls that name it.
        check("gmap_slot_set", unsafe { abi::gmap_slot_set(self.space, &slot) })
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: handles only. They fail where the host left something of its own open in the space, which then stays, as it asked.
        unsafe {
            if self.space != 0 {
                abi::gmap_space_destroy(self.space);
            }
            if self.engine != 0 {
                abi::gmap_engine_destroy(self.engine);
            }
        }
    }
}
