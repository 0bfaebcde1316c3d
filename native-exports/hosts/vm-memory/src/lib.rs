//! A `Bitmap` for rust-vmm's vm-memory whose bits are the dirty log of libgmapnative: what devices write through vm-memory and what
//! vcpus write through the engine come in one harvest.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
mod bitmap;
mod error;
mod space;

pub use bitmap::GmapBitmap;
pub use error::{check, Error, Result};
pub use space::Space;
