use crate::abi;
use std::ffi::CStr;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub enum Error {
    /// A call of the library failed.
    Call { call: &'static str, status: abi::gmap_status },
    /// A region begins inside a page: its pages would not be the slot's.
    Unaligned { guest_addr: u64 },
    /// A region without memory in this process.
    NoHostAddress { guest_addr: u64 },
    /// `Space::track` comes first.
    NotTracked,
    /// `Space::track` was called for a region that belongs to a space already.
    Tracked { guest_addr: u64 },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Call { call, status } => {
                // SAFETY: the text is static and never NULL.
                let text = unsafe { CStr::from_ptr(abi::gmap_strerror(*status)) };
                write!(f, "{call}: {}", text.to_string_lossy())
            }
            Error::Unaligned { guest_addr } => {
                write!(f, "the region at {guest_addr:#x} begins inside a page; let it begin at a multiple of 4096")
            }
            Error::NoHostAddress { guest_addr } => {
                write!(f, "the region at {guest_addr:#x} has no memory in this process; track regions that are mapped")
            }
            Error::NotTracked => write!(f, "the region belongs to no space yet; call Space::track for its memory first"),
            Error::Tracked { guest_addr } => {
                write!(f, "the region at {guest_addr:#x} is tracked already; call Space::track once for each region")
            }
        }
    }
}

impl std::error::Error for Error {}

/// 0, or which call failed and how.
pub fn check(call: &'static str, status: abi::gmap_status) -> Result<()> {
    match status {
        0 => Ok(()),
        status => Err(Error::Call { call, status }),
    }
}
