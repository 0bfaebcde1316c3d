//! A split virtqueue, driver and device, written against vm-memory's traits only.
use std::sync::atomic::Ordering;
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemory, GuestMemoryResult};

const SIZE: u16 = 64;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// From the index of a ring to its first element.
const RING: u64 = 4;

const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// What a queue takes of guest memory.
pub const QUEUE_BYTES: u64 = 0x3000;

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct UsedElement {
    id: u32,
    len: u32,
}

// SAFETY: integers without padding between them; every pattern of bits is a value.
unsafe impl ByteValued for Descriptor {}
// SAFETY: as above.
unsafe impl ByteValued for UsedElement {}

/// The driver's and the device's place in one queue.
#[derive(Clone)]
pub struct Queue {
    base: u64,
    free: u16,
    available: u16,
    used: u16,
}

impl Queue {
    pub fn at(base: u64) -> Self {
        Queue { base, free: 0, available: 0, used: 0 }
    }

    /// The driver: one chain of buffers, at most `SIZE`, that the device is to fill.
    pub fn offer<M: GuestMemory>(&mut self, memory: &M, buffers: &[(GuestAddress, u32)]) -> GuestMemoryResult<()> {
        let head = self.free % SIZE;
        for (i, (addr, len)) in buffers.iter().enumerate() {
            let last = i + 1 == buffers.len();
            let index = self.free % SIZE;
            self.free = self.free.wrapping_add(1);
            let flags = WRITE | if last { 0 } else { NEXT };
            let descriptor = Descriptor { addr: addr.0, len: *len, flags, next: self.free % SIZE };
            memory.write_obj(descriptor, self.descriptor(index))?;
        }
        memory.write_obj(head, GuestAddress(self.base + AVAILABLE + RING + u64::from(self.available % SIZE) * 2))?;
        self.available = self.available.wrapping_add(1);
        memory.store(self.available, GuestAddress(self.base + AVAILABLE + 2), Ordering::Release)
    }

    /// The device: fills what was offered, and says so. Answers how many bytes it wrote.
    pub fn serve<M: GuestMemory>(&mut self, memory: &M, fill: u8) -> GuestMemoryResult<u64> {
        let offered: u16 = memory.load(GuestAddress(self.base + AVAILABLE + 2), Ordering::Acquire)?;
        let mut total = 0;
        while self.used != offered {
            let at = u64::from(self.used % SIZE);
            let head: u16 = memory.read_obj(GuestAddress(self.base + AVAILABLE + RING + at * 2))?;
            let written = self.fill_chain(memory, head, fill)?;
            let element = UsedElement { id: u32::from(head), len: written };
            memory.write_obj(element, GuestAddress(self.base + USED + RING + at * 8))?;
            self.used = self.used.wrapping_add(1);
            memory.store(self.used, GuestAddress(self.base + USED + 2), Ordering::Release)?;
            total += u64::from(written);
        }
        Ok(total)
    }

    fn fill_chain<M: GuestMemory>(&self, memory: &M, head: u16, fill: u8) -> GuestMemoryResult<u32> {
        let (mut index, mut written) = (head, 0);
        for _ in 0..SIZE {
            let descriptor: Descriptor = memory.read_obj(self.descriptor(index))?;
            let data = vec![fill; descriptor.len as usize];
            // A buffer may run into the hole behind a region: what is there before is written.
            written += memory.write(&data, GuestAddress(descriptor.addr))? as u32;
            if descriptor.flags & NEXT == 0 {
                break;
            }
            index = descriptor.next % SIZE;
        }
        Ok(written)
    }

    fn descriptor(&self, index: u16) -> GuestAddress {
        GuestAddress(self.base + u64::from(index) * 16)
    }
}
