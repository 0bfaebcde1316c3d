//! One of the two memories that are compared, and the copy that a migration would have made of it.
use crate::queue::{Queue, QUEUE_BYTES};
use crate::work::{self, Worker, MAX_THREADS};
use gmap_vm_memory::GmapBitmap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::mmap::NewBitmap;
use vm_memory::{
    Bytes, GuestAddress, GuestAddressSpace, GuestMemory, GuestMemoryAtomic, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MemoryRegionAddress, MmapRegion,
};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The two regions, and the one that comes and goes. Between them are holes; their sizes are no multiples of a page.
pub const REGIONS: [(GuestAddress, usize); 2] = [(GuestAddress(0), (6 << 20) + 0x1234), (GuestAddress(0x1000_0000), (3 << 20) + 0x5064)];
pub const PLUGGED: (GuestAddress, usize) = (GuestAddress(0x2000_0000), (1 << 20) + 0x3FF1);
pub const PAGE: usize = 4096;

/// What differs between the bitmaps: vm-memory's trait marks and asks, but does not take.
pub trait Take: Bitmap {
    fn take(&self) -> Outcome<Vec<u64>>;
}

impl Take for AtomicBitmap {
    fn take(&self) -> Outcome<Vec<u64>> {
        Ok(self.get_and_reset())
    }
}

impl Take for GmapBitmap {
    fn take(&self) -> Outcome<Vec<u64>> {
        Ok(self.get_and_reset()?)
    }
}

/// A region's dirty pages.
#[derive(PartialEq, Eq)]
pub struct Dirty {
    pub start: u64,
    pub bits: Vec<u64>,
}

impl Dirty {
    pub fn pages(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub fn has(&self, page: usize) -> bool {
        self.bits[page / 64] >> (page % 64) & 1 != 0
    }
}

pub struct Side<B: Bitmap + 'static> {
    memory: GuestMemoryAtomic<GuestMemoryMmap<B>>,
    queues: Vec<Queue>,
    copies: Vec<(u64, Vec<u8>)>,
}

impl<B: NewBitmap + Take + Send + Sync + 'static> Side<B> {
    pub fn new() -> Outcome<Self> {
        let memory = GuestMemoryMmap::from_ranges(&REGIONS)?;
        Ok(Side {
            memory: GuestMemoryAtomic::new(memory),
            queues: (0..MAX_THREADS).map(|i| Queue::at(i as u64 * QUEUE_BYTES)).collect(),
            copies: REGIONS.iter().map(|(start, size)| (start.0, vec![0; *size])).collect(),
        })
    }

    pub fn memory(&self) -> impl std::ops::Deref<Target = GuestMemoryMmap<B>> + Clone {
        self.memory.memory()
    }

    /// Adds a region while the memory is in use; answers it.
    pub fn plug(&mut self) -> Outcome<Arc<GuestRegionMmap<B>>> {
        let (start, size) = PLUGGED;
        let region = Arc::new(GuestRegionMmap::new(MmapRegion::new(size)?, start)?);
        let memory = self.memory().insert_region(region.clone())?;
        self.replace(memory)?;
        self.copies.push((start.0, vec![0; size]));
        Ok(region)
    }

    pub fn unplug(&mut self) -> Outcome<()> {
        let (start, size) = PLUGGED;
        let (memory, _region) = self.memory().remove_region(start, size as u64)?;
        self.replace(memory)?;
        self.copies.pop();
        Ok(())
    }

    fn replace(&self, memory: GuestMemoryMmap<B>) -> Outcome<()> {
        self.memory.lock().map_err(|_| "the lock of the guest's memory map is poisoned")?.replace(memory);
        Ok(())
    }

    /// One thread's work, and a digest of all that it read.
    pub fn work(&mut self, seed: u64, steps: usize) -> Outcome<u64> {
        let memory = self.memory();
        Ok(Worker::new(&*memory, seed).run(&*memory, &mut self.queues[0], steps)?)
    }

    /// Several threads' work; `beside` takes what is dirty all the while. Answers what was taken meanwhile.
    pub fn work_in_threads(&mut self, seed: u64, steps: usize, threads: usize, beside: bool) -> Outcome<Vec<Dirty>> {
        let memory = self.memory();
        let memory = &*memory;
        let (queues, copies) = (&mut self.queues, &mut self.copies);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| {
                let mut taken = take_all(memory, copies)?;
                while beside && !done.load(Ordering::Acquire) {
                    add(&mut taken, take_all(memory, copies)?);
                }
                Outcome::Ok(taken)
            });
            let workers: Vec<_> = queues[..threads]
                .iter_mut()
                .enumerate()
                .map(|(i, queue)| scope.spawn(move || Worker::new(memory, seed + i as u64).run(memory, queue, steps)))
                .collect();
            let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Release);
            let taken = taker.join();
            for result in results {
                result.map_err(|_| "a working thread panicked; the message is above")??;
            }
            taken.map_err(|_| "the taking thread panicked; the message is above")?
        })
    }

    pub fn dirty_at(&self, seed: u64, places: usize) -> Vec<bool> {
        work::dirty_at(&*self.memory(), seed, places)
    }

    /// Takes what is dirty, and copies it as a migration does.
    pub fn take(&mut self) -> Outcome<Vec<Dirty>> {
        let memory = self.memory();
        take_all(&*memory, &mut self.copies)
    }

    /// The first page that differs from its copy: somebody wrote it and nobody told.
    pub fn first_stale_page(&self) -> Outcome<Option<u64>> {
        let mut data = vec![0u8; PAGE];
        for (start, copy) in &self.copies {
            for (page, copied) in copy.chunks(PAGE).enumerate() {
                let at = start + (page * PAGE) as u64;
                let data = &mut data[..copied.len()];
                self.memory().read_slice(data, GuestAddress(at))?;
                if data != copied {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Makes this memory, and its copy, what the other's is: after threads that raced for the same bytes.
    pub fn become_equal_to<C: NewBitmap + Take + Send + Sync + 'static>(&mut self, other: &Side<C>) -> Outcome<()> {
        self.queues.clone_from(&other.queues);
        let memory = self.memory();
        for ((start, copy), (_, from)) in self.copies.iter_mut().zip(&other.copies) {
            let host = memory.get_host_address(GuestAddress(*start))?;
            // SAFETY: the copy has the region's size, and no other thread uses the memory. No bitmap is to see this write.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), host, from.len()) };
            copy.copy_from_slice(from);
        }
        Ok(())
    }
}

fn take_all<B: Take + 'static>(memory: &GuestMemoryMmap<B>, copies: &mut [(u64, Vec<u8>)]) -> Outcome<Vec<Dirty>> {
    let mut all = Vec::new();
    for (region, (start, copy)) in memory.iter().zip(copies) {
        let dirty = Dirty { start: *start, bits: region.bitmap().take()? };
        for (page, copied) in copy.chunks_mut(PAGE).enumerate().filter(|(page, _)| dirty.has(*page)) {
            region.read_slice(copied, MemoryRegionAddress((page * PAGE) as u64))?;
        }
        all.push(dirty);
    }
    Ok(all)
}

/// ORs one taking into another of the same regions.
pub fn add(to: &mut [Dirty], from: Vec<Dirty>) {
    for (to, from) in to.iter_mut().zip(from) {
        to.bits.iter_mut().zip(from.bits).for_each(|(to, from)| *to |= from);
    }
}
