//! What the same calls of vm-memory cost over each bitmap. The sides take turns within each repeat, so that a machine that is now
//! fast and now slow is so for all of them.
use crate::options::Options;
use crate::random::Random;
use crate::side::{Outcome, Take, PAGE};
use gmap_vm_memory::{GmapBitmap, Space};
use std::cell::Cell;
use std::time::Instant;
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::mmap::NewBitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

/// Writes go to the first pages of the guest, few enough that the lines written stay in the cache: it is the marks that are measured.
const WINDOW_PAGES: u64 = 1024;

/// Medians, in ns.
pub struct Cost {
    pub what: String,
    pub untracked: Option<f64>,
    pub atomic: f64,
    pub engine: f64,
}

impl Cost {
    pub fn ratio(&self) -> f64 {
        self.engine / self.atomic
    }
}

pub fn measure(options: &Options) -> Outcome<Vec<Cost>> {
    let bytes = options.gib << 30;
    let untracked = guest::<()>(bytes)?;
    let atomic = guest::<AtomicBitmap>(bytes)?;
    let engine = guest::<GmapBitmap>(bytes)?;
    let space = Space::new(bytes as u64 - 1)?;
    space.track(&engine)?;
    touch(&untracked)?;
    touch(&atomic)?;
    touch(&engine)?;

    let trace = Trace::new(options.seed, (bytes / PAGE) as u64);
    let mut costs = vec![
        in_turns(options, "write_obj of 8 bytes, the page is dirty", |side| match side {
            0 => write_objects(&untracked, &trace, nothing),
            1 => write_objects(&atomic, &trace, nothing),
            _ => write_objects(&engine, &trace, nothing),
        })?,
        in_turns(options, "write_obj of 8 bytes, the page is clean", |side| match side {
            0 => write_objects(&untracked, &trace, nothing),
            1 => write_objects(&atomic, &trace, || clean(&atomic)),
            _ => write_objects(&engine, &trace, || clean(&engine)),
        })?,
        in_turns(options, "write_slice of 4 KB", |side| match side {
            0 => write_pages(&untracked, &trace),
            1 => write_pages(&atomic, &trace),
            _ => write_pages(&engine, &trace),
        })?,
        without_untracked(options, "dirty_at", |side| match side {
            1 => ask(&atomic, &trace),
            _ => ask(&engine, &trace),
        })?,
    ];
    for (what, share) in [("get_and_reset, clean", 0.0), ("get_and_reset, 0.1 % dirty", 0.001), ("get_and_reset, 10 % dirty", 0.1)] {
        costs.push(without_untracked(options, what, |side| match side {
            1 => take(&atomic, &trace, share),
            _ => take(&engine, &trace, share),
        })?);
    }
    Ok(costs)
}

/// Random places, the same for all: 8-byte places in each page of the window once, and pages of the whole guest.
struct Trace {
    places: Vec<u64>,
    pages: Vec<u64>,
}

impl Trace {
    fn new(seed: u64, guest_pages: u64) -> Self {
        let mut random = Random::new(seed);
        let mut places: Vec<_> = (0..WINDOW_PAGES).map(|page| page * PAGE as u64 + random.below(512) * 8).collect();
        random.shuffle(&mut places);
        let mut pages: Vec<_> = (0..guest_pages).collect();
        random.shuffle(&mut pages);
        Trace { places, pages }
    }
}

fn guest<B: NewBitmap>(bytes: usize) -> Outcome<GuestMemoryMmap<B>> {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), bytes)]);
    memory.map_err(|error| format!("a guest of {} GiB could not be made ({error}); ask for less by --gib", bytes >> 30).into())
}

/// So that no page of the window is the kernel's zero page when the clock runs.
fn touch<B: Bitmap + 'static>(memory: &GuestMemoryMmap<B>) -> Outcome<()> {
    for page in 0..WINDOW_PAGES {
        memory.write_obj(page, GuestAddress(page * PAGE as u64))?;
    }
    Ok(())
}

fn region<B: Bitmap + 'static>(memory: &GuestMemoryMmap<B>) -> Outcome<&GuestRegionMmap<B>> {
    memory.find_region(GuestAddress(0)).ok_or_else(|| "the guest has no region at address 0".into())
}

fn clean<B: Take + 'static>(memory: &GuestMemoryMmap<B>) -> Outcome<()> {
    region(memory)?.bitmap().take().map(drop)
}

/// `before` is not measured; `each` is, for every place of the trace. Short, so that most passes are over before another process
/// gets the processor.
fn pass(trace: &Trace, before: impl Fn() -> Outcome<()>, each: impl Fn(u64) -> Outcome<()>) -> Outcome<f64> {
    before()?;
    let begun = Instant::now();
    for place in &trace.places {
        each(*place)?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / trace.places.len() as f64)
}

fn write_objects<B: Bitmap + 'static>(memory: &GuestMemoryMmap<B>, trace: &Trace, before: impl Fn() -> Outcome<()>) -> Outcome<f64> {
    pass(trace, before, |place| Ok(memory.write_obj(place, GuestAddress(place))?))
}

fn write_pages<B: Bitmap + 'static>(memory: &GuestMemoryMmap<B>, trace: &Trace) -> Outcome<f64> {
    let data = [0x5A; PAGE];
    pass(trace, nothing, |place| Ok(memory.write_slice(&data, GuestAddress(place & !(PAGE as u64 - 1)))?))
}

/// Of pages that were written just now.
fn ask<B: Bitmap + 'static>(memory: &GuestMemoryMmap<B>, trace: &Trace) -> Outcome<f64> {
    let bitmap = region(memory)?.bitmap();
    let dirty = Cell::new(0);
    let ns = pass(trace, nothing, |place| {
        dirty.set(dirty.get() + usize::from(bitmap.dirty_at(place as usize)));
        Ok(())
    })?;
    let asked = trace.places.len();
    if dirty.get() != asked {
        return Err(format!("{asked} times a page was asked about that is dirty, and {} times it was said to be", dirty.get()).into());
    }
    Ok(ns)
}

fn nothing() -> Outcome<()> {
    Ok(())
}

fn take<B: Take + 'static>(memory: &GuestMemoryMmap<B>, trace: &Trace, share: f64) -> Outcome<f64> {
    let bitmap = region(memory)?.bitmap();
    bitmap.take()?;
    let pages = &trace.pages[..(trace.pages.len() as f64 * share) as usize];
    for page in pages {
        bitmap.mark_dirty(*page as usize * PAGE, 1);
    }
    let begun = Instant::now();
    let taken = bitmap.take()?;
    let ns = begun.elapsed().as_nanos() as f64;
    let found: usize = taken.iter().map(|word| word.count_ones() as usize).sum();
    if found != pages.len() {
        return Err(format!("{} pages were marked and {found} taken", pages.len()).into());
    }
    Ok(ns)
}

/// Sides 0 to 2: no bitmap, AtomicBitmap, the engine. Each repeat begins with another one.
fn in_turns(options: &Options, what: &str, mut one: impl FnMut(usize) -> Outcome<f64>) -> Outcome<Cost> {
    let times = turns(options, &[0, 1, 2], &mut one)?;
    Ok(Cost { what: what.to_string(), untracked: Some(times[0]), atomic: times[1], engine: times[2] })
}

fn without_untracked(options: &Options, what: &str, mut one: impl FnMut(usize) -> Outcome<f64>) -> Outcome<Cost> {
    let times = turns(options, &[1, 2], &mut one)?;
    Ok(Cost { what: what.to_string(), untracked: None, atomic: times[0], engine: times[1] })
}

fn turns(options: &Options, sides: &[usize], one: &mut impl FnMut(usize) -> Outcome<f64>) -> Outcome<Vec<f64>> {
    let mut times = vec![Vec::new(); sides.len()];
    for repeat in 0..options.repeats {
        for turn in 0..sides.len() {
            let side = (repeat + turn) % sides.len();
            times[side].push(one(sides[side])?);
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
