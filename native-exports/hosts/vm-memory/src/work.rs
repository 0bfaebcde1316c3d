//! Guest memory code as a VMM has it: against vm-memory's traits, whatever the memory's bitmap is.
use crate::queue::{Queue, QUEUE_BYTES};
use crate::random::Random;
use std::sync::atomic::Ordering;
use vm_memory::bitmap::Bitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryRegion, GuestMemoryResult, VolatileMemory};

/// Threads have a queue each, side by side from address 0 on; all else is written behind them.
pub const MAX_THREADS: usize = 16;
pub const FREE_FROM: u64 = MAX_THREADS as u64 * QUEUE_BYTES;
const MOST_BYTES: u64 = 3 * 4096;

/// One thread's work: a number of random steps, the same for the same seed.
pub struct Worker {
    random: Random,
    regions: Vec<(u64, u64)>,
    buffer: Vec<u8>,
    /// Of all that was read and answered.
    digest: u64,
}

impl Worker {
    pub fn new<M: GuestMemory>(memory: &M, seed: u64) -> Self {
        let regions = memory.iter().map(|r| (r.start_addr().0, r.len())).collect();
        Worker { random: Random::new(seed), regions, buffer: vec![0; MOST_BYTES as usize], digest: seed }
    }

    pub fn run<M: GuestMemory>(mut self, memory: &M, queue: &mut Queue, steps: usize) -> GuestMemoryResult<u64> {
        for _ in 0..steps {
            self.step(memory, queue)?;
        }
        Ok(self.digest)
    }

    fn step<M: GuestMemory>(&mut self, memory: &M, queue: &mut Queue) -> GuestMemoryResult<()> {
        let value = self.random.next();
        match self.random.below(16) {
            0..=3 => self.write_value(memory, value),
            4..=5 => self.write_bytes(memory, value),
            6..=7 => self.read_bytes(memory),
            8 => self.copy_inside(memory),
            9..=10 => self.store_atomically(memory, value),
            11..=12 => self.write_through_slices(memory, value)?,
            13 => self.read_in_from_a_file(memory, value),
            _ => self.serve_a_queue(memory, queue, value)?,
        }
        Ok(())
    }

    fn write_value<M: GuestMemory>(&mut self, memory: &M, value: u64) {
        let address = self.somewhere();
        let result = match value % 4 {
            0 => memory.write_obj(value as u8, address),
            1 => memory.write_obj(value as u16, address),
            2 => memory.write_obj(value as u32, address),
            _ => memory.write_obj(value, address),
        };
        self.digest_of(u64::from(result.is_ok())); // it fails where the value would end in the hole
    }

    fn write_bytes<M: GuestMemory>(&mut self, memory: &M, value: u64) {
        let (address, length) = (self.somewhere(), self.some_length());
        self.buffer[..length].fill(value as u8);
        let result = memory.write_slice(&self.buffer[..length], address);
        self.digest_of(u64::from(result.is_ok()));
    }

    fn read_bytes<M: GuestMemory>(&mut self, memory: &M) {
        let (address, length) = (self.somewhere(), self.some_length());
        let read = memory.read(&mut self.buffer[..length], address).unwrap_or(0);
        let sum = self.buffer[..read].iter().fold(0u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
        self.digest_of(sum);
    }

    fn copy_inside<M: GuestMemory>(&mut self, memory: &M) {
        let (from, to, length) = (self.somewhere(), self.somewhere(), self.some_length());
        let copied = match (memory.get_slice(from, length), memory.get_slice(to, length)) {
            (Ok(source), Ok(target)) => {
                source.copy_to_volatile_slice(target);
                length
            }
            _ => 0, // one of them would end in the hole
        };
        self.digest_of(copied as u64);
    }

    fn store_atomically<M: GuestMemory>(&mut self, memory: &M, value: u64) {
        let address = GuestAddress(self.somewhere().0 & !7);
        let result = if value % 2 == 0 {
            memory.store(value, address, Ordering::Release)
        } else {
            memory.store(value as u32, address, Ordering::Relaxed)
        };
        let loaded: u32 = memory.load(address, Ordering::Acquire).unwrap_or(0);
        self.digest_of(u64::from(loaded) << 1 | u64::from(result.is_ok()));
    }

    /// A device that keeps slices of its buffers: slices of slices, references, arrays.
    fn write_through_slices<M: GuestMemory>(&mut self, memory: &M, value: u64) -> GuestMemoryResult<()> {
        let address = self.somewhere();
        let slice = match memory.get_slice(address, MOST_BYTES as usize) {
            Ok(slice) => slice,
            Err(_) => return Ok(()), // too near to the hole
        };
        let part = slice.subslice(self.random.below(4096) as usize, 8192 - 16)?;
        let at = self.random.below(4096) as usize;
        part.offset(at)?.write_slice(&value.to_le_bytes(), self.random.below(3000) as usize)?;
        part.get_ref::<u64>(self.random.below(8000) as usize)?.store(value);
        part.get_array_ref::<u32>(at, 64)?.copy_from(&[value as u32; 64]);
        part.get_array_ref::<u16>(at, 700)?.store(self.random.below(700) as usize, value as u16);
        let (left, right) = part.split_at(at)?;
        right.copy_to_volatile_slice(left);
        Ok(())
    }

    fn read_in_from_a_file<M: GuestMemory>(&mut self, memory: &M, value: u64) {
        let (address, length) = (self.somewhere(), self.some_length());
        self.buffer[..length].fill(value as u8);
        let mut file = &self.buffer[..length];
        let read = memory.read_from(address, &mut file, length).unwrap_or(0);
        self.digest_of(read as u64);
    }

    fn serve_a_queue<M: GuestMemory>(&mut self, memory: &M, queue: &mut Queue, value: u64) -> GuestMemoryResult<()> {
        let buffers: Vec<_> = (0..1 + value % 5).map(|_| (self.somewhere(), self.some_length() as u32)).collect();
        queue.offer(memory, &buffers)?;
        let written = queue.serve(memory, value as u8)?;
        self.digest_of(written);
        Ok(())
    }

    /// An address in one of the regions; often beside the border of a page, now and then just before a region's end.
    fn somewhere(&mut self) -> GuestAddress {
        let (start, length) = self.regions[self.random.below(self.regions.len() as u64) as usize];
        let from = start.max(FREE_FROM);
        let end = start + length;
        let address = from + self.random.below(end - from);
        GuestAddress(match self.random.below(16) {
            0 => end - 1 - self.random.below(64),
            1..=4 => (address | 4095).saturating_sub(self.random.below(8)).min(end - 1),
            _ => address,
        })
    }

    fn some_length(&mut self) -> usize {
        1 + match self.random.below(4) {
            0 => self.random.below(MOST_BYTES),
            1 => self.random.below(16),
            _ => self.random.below(1024),
        } as usize
    }

    fn digest_of(&mut self, value: u64) {
        self.digest = (self.digest.rotate_left(7) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Whether some random places are dirty, asked through slices as a device model would.
pub fn dirty_at<M: GuestMemory>(memory: &M, seed: u64, places: usize) -> Vec<bool> {
    let mut worker = Worker::new(memory, seed);
    (0..places).filter_map(|_| memory.get_slice(worker.somewhere(), 1).ok().map(|slice| slice.bitmap().dirty_at(0))).collect()
}
