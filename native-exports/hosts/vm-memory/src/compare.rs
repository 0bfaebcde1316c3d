//! The same random work over AtomicBitmap and over the engine, and what each says is dirty after every round.
use crate::mistake;
use crate::options::Options;
use crate::random::Random;
use crate::side::{add, Dirty, Outcome, Side, Take, REGIONS};
use crate::vcpu::Vcpu;
use crate::work::FREE_FROM;
use gmap_vm_memory::{GmapBitmap, Space};
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::mmap::NewBitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap, GuestMemoryRegion};

const LIMIT: u64 = (1 << 31) - 1;
/// How often: work in threads, with somebody who takes beside them, a region that comes or goes, all copies looked at.
const THREADS_EVERY: u64 = 4;
const BESIDE_EVERY: u64 = 8;
const PLUG_EVERY: u64 = 32;
const LOOK_EVERY: u64 = 16;
const PLACES: usize = 64;
const VCPU_STORES: usize = 10;

#[derive(Default)]
pub struct Comparison {
    pub rounds: u64,
    pub rounds_in_threads: u64,
    pub rounds_beside: u64,
    pub pages: u64,
    pub vcpu_stores: u64,
    pub plugged: u64,
    /// What differed in the first round that did, a line each; empty: nothing ever.
    pub differences: Vec<String>,
}

pub fn compare<B>(options: &Options) -> Outcome<Comparison>
where
    B: NewBitmap + Take + AsRef<GmapBitmap> + Send + Sync + 'static,
{
    let mut reference = Side::<AtomicBitmap>::new()?;
    let mut ours = Side::<B>::new()?;
    let space = Space::new(LIMIT)?;
    space.track(&*ours.memory())?;
    let vcpu = Vcpu::open(&space)?;

    let mut done = Comparison::default();
    let mut random = Random::new(options.seed);
    let mut plugged = false;
    while done.rounds < options.rounds && done.differences.is_empty() {
        let round = done.rounds;
        if round % PLUG_EVERY == PLUG_EVERY - 1 {
            plugged = !plugged;
            if plugged {
                reference.plug()?;
                space.track_region(&*ours.plug()?)?;
                done.plugged += 1;
            } else {
                reference.unplug()?;
                ours.unplug()?;
            }
        }
        mistake::leave_out(options.leave_out.unwrap_or(0)); // each round anew: what was left out may have been marked twice
        compare_round(&mut reference, &mut ours, &vcpu, options, random.next(), &mut done)?;
        done.rounds += 1;
    }
    Ok(done)
}

fn compare_round<B>(
    reference: &mut Side<AtomicBitmap>, ours: &mut Side<B>, vcpu: &Vcpu, options: &Options, seed: u64, done: &mut Comparison,
) -> Outcome<()>
where
    B: NewBitmap + Take + Send + Sync + 'static,
{
    let round = done.rounds;
    let in_threads = options.threads > 1 && round % THREADS_EVERY == THREADS_EVERY - 1;
    let (expected, actual);
    if in_threads {
        let beside = round % BESIDE_EVERY == BESIDE_EVERY - 1;
        expected = in_threads_and_rest(reference, seed, options, beside)?;
        actual = in_threads_and_rest(ours, seed, options, beside)?;
        done.rounds_in_threads += 1;
        done.rounds_beside += u64::from(beside);
    } else {
        done.vcpu_stores += store_as_a_vcpu(reference, vcpu, seed)?;
        if reference.work(seed, options.steps)? != ours.work(seed, options.steps)? {
            done.differences.push(format!("round {round}: what was read from the two memories differs"));
        }
        if reference.dirty_at(seed, PLACES) != ours.dirty_at(seed, PLACES) {
            done.differences.push(format!("round {round}: dirty_at answers differently before the pages are taken"));
        }
        expected = reference.take()?;
        actual = ours.take()?;
    }
    done.pages += expected.iter().map(Dirty::pages).sum::<u64>();
    list_differences(round, &expected, &actual, &mut done.differences);
    if round % LOOK_EVERY == LOOK_EVERY - 1 || round + 1 == options.rounds {
        if let Some(at) = ours.first_stale_page()? {
            done.differences.push(format!("round {round}: the page at {at:#x} was written and never reported"));
        }
    }
    if in_threads {
        ours.become_equal_to(reference)?;
    }
    Ok(())
}

/// A vcpu of the engine stores past vm-memory; to AtomicBitmap the same is a write of the VMM. Both are to be in the next taking.
fn store_as_a_vcpu(reference: &Side<AtomicBitmap>, vcpu: &Vcpu, seed: u64) -> Outcome<u64> {
    let mut random = Random::new(!seed);
    for _ in 0..VCPU_STORES {
        let (start, size) = REGIONS[random.below(REGIONS.len() as u64) as usize];
        let at = (start.0 + FREE_FROM + random.below(size as u64 - FREE_FROM - 8)) & !7;
        let value = random.next();
        reference.memory().write_obj(value, GuestAddress(at))?;
        vcpu.store(at, value)?;
    }
    Ok(VCPU_STORES as u64)
}

fn in_threads_and_rest<B>(side: &mut Side<B>, seed: u64, options: &Options, beside: bool) -> Outcome<Vec<Dirty>>
where
    B: NewBitmap + Take + Send + Sync + 'static,
{
    let mut taken = side.work_in_threads(seed, options.steps, options.threads, beside)?;
    add(&mut taken, side.take()?);
    Ok(taken)
}

fn list_differences(round: u64, expected: &[Dirty], actual: &[Dirty], differences: &mut Vec<String>) {
    if expected.len() != actual.len() {
        differences.push(format!("round {round}: {} regions of AtomicBitmap, {} of the engine", expected.len(), actual.len()));
    }
    for (expected, actual) in expected.iter().zip(actual).filter(|(expected, actual)| expected != actual) {
        if expected.bits.len() != actual.bits.len() {
            differences.push(format!("round {round}: the region at {:#x} has bitmaps of two lengths", expected.start));
            continue;
        }
        for page in (0..expected.bits.len() * 64).filter(|page| expected.has(*page) != actual.has(*page)) {
            let at = expected.start + page as u64 * 4096;
            let (yes, no) = if expected.has(page) { ("AtomicBitmap", "the engine") } else { ("the engine", "AtomicBitmap") };
            differences.push(format!("round {round}: the page at {at:#x} is dirty to {yes}, clean to {no}"));
        }
    }
}

/// Of a region that is written before it is tracked every page is dirty, then it goes on as another.
pub fn early_mark_makes_all_dirty() -> Outcome<()> {
    let memory = GuestMemoryMmap::<GmapBitmap>::from_ranges(&[(GuestAddress(0), 100 << 12)])?;
    memory.write_obj(1u8, GuestAddress(0x5000))?;
    Space::new(LIMIT)?.track(&memory)?;
    memory.write_obj(1u8, GuestAddress(0x7000))?;
    let region = memory.find_region(GuestAddress(0)).ok_or("the region is gone")?;
    let mut taken = [region.bitmap().get_and_reset()?, region.bitmap().get_and_reset()?];
    memory.write_obj(1u8, GuestAddress(0x3000))?;
    taken[1] = region.bitmap().get_and_reset()?.iter().zip(&taken[1]).map(|(a, b)| a | b).collect();
    if taken != [vec![!0, (1 << 36) - 1], vec![1 << 3, 0]] {
        return Err(format!("a region that was written before it was tracked was reported as {taken:x?}, not as dirty once").into());
    }
    Ok(())
}

/// vm-memory counts pages from a region's start, a slot from a page's.
pub fn region_inside_a_page_is_refused() -> Outcome<()> {
    let memory = GuestMemoryMmap::<GmapBitmap>::from_ranges(&[(GuestAddress(0x800), 0x2000)])?;
    match Space::new(LIMIT)?.track(&memory) {
        Err(gmap_vm_memory::Error::Unaligned { guest_addr: 0x800 }) => Ok(()),
        other => Err(format!("a region at 0x800 was to be refused, and was answered with {other:?}").into()),
    }
}
