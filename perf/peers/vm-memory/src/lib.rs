//! rust-vmm's vm-memory behind C functions, so that it runs in the process of the measurements, in turn with the engine.
//! One bitmap at a time; called by one thread.
use std::sync::Mutex;
use std::{ptr, slice};
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

static BITMAP: Mutex<Option<AtomicBitmap>> = Mutex::new(None);
static MEMORY: Mutex<Option<GuestMemoryMmap<AtomicBitmap>>> = Mutex::new(None);

#[no_mangle]
pub extern "C" fn vm_bitmap_open(bytes: u64) {
    *BITMAP.lock().unwrap() = Some(AtomicBitmap::new(bytes as usize, 4096));
}

#[no_mangle]
pub extern "C" fn vm_bitmap_close() {
    *BITMAP.lock().unwrap() = None;
}

/// # Safety
/// `pattern` has `words` words.
#[no_mangle]
pub unsafe extern "C" fn vm_bitmap_load(pattern: *const u64, words: u64) {
    let guard = BITMAP.lock().unwrap();
    let bitmap = guard.as_ref().unwrap();
    for (word, bits) in slice::from_raw_parts(pattern, words as usize).iter().enumerate() {
        let mut left = *bits;
        while left != 0 {
            bitmap.mark_dirty((word * 64 + left.trailing_zeros() as usize) * 4096, 1);
            left &= left - 1;
        }
    }
}

#[no_mangle]
pub extern "C" fn vm_bitmap_take() -> u64 {
    let guard = BITMAP.lock().unwrap();
    let taken = guard.as_ref().unwrap().get_and_reset();
    // SAFETY: a reference to a word. A word that is looked at keeps the compiler from doing without the answer's memory.
    unsafe { ptr::read_volatile(&taken[0]) };
    taken.len() as u64
}

/// # Safety
/// `addresses` has `n` words, below the bitmap's end.
#[no_mangle]
pub unsafe extern "C" fn vm_mark(addresses: *const u64, n: usize) {
    let guard = BITMAP.lock().unwrap();
    let bitmap = guard.as_ref().unwrap();
    for address in slice::from_raw_parts(addresses, n) {
        bitmap.mark_dirty(*address as usize, 4096);
    }
}

/// # Safety
/// `addresses` has `n` words, multiples of 8 below 256 MiB.
#[no_mangle]
pub unsafe extern "C" fn vm_stores(addresses: *const u64, n: usize) {
    let mut guard = MEMORY.lock().unwrap();
    let memory = guard.get_or_insert_with(|| {
        let ranges: Vec<_> = (0..4).map(|i| (GuestAddress(i << 26), 64 << 20)).collect();
        GuestMemoryMmap::from_ranges(&ranges).unwrap()
    });
    for address in slice::from_raw_parts(addresses, n) {
        memory.write_obj(*address, GuestAddress(*address)).unwrap();
    }
}
