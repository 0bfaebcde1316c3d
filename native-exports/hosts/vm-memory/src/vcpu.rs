use gmap_vm_memory::abi::{self, gmap_fault_result, gmap_vcpu_config};
use gmap_vm_memory::{check, Result, Space};
use std::mem::size_of;
use std::ptr::null_mut;

/// A vcpu of the calling thread that asks the engine for every store. One that is to be fast uses gmap_inline.h.
pub struct Vcpu(u64);

impl Vcpu {
    pub fn open(space: &Space) -> Result<Self> {
        let config = gmap_vcpu_config { struct_size: size_of::<gmap_vcpu_config>() as u32, flags: 0, inline_version: 0, reserved: 0 };
        let mut vcpu = 0;
        // SAFETY: pointers to locals; without a view no section is left open.
        check("gmap_vcpu_open", unsafe { abi::gmap_vcpu_open(space.handle(), &config, &mut vcpu, null_mut()) })?;
        Ok(Vcpu(vcpu))
    }

    /// Only while nobody harvests or unmaps: no section holds them up.
    pub fn store(&self, guest_addr: u64, value: u64) -> Result<()> {
        let mut result = gmap_fault_result { struct_size: size_of::<gmap_fault_result>() as u32, ..Default::default() };
        // SAFETY: the result is a local. On success it names memory of a tracked region, and 8 aligned bytes are in one page.
        unsafe {
            check("gmap_fault", abi::gmap_fault(self.0, guest_addr & !7, abi::GMAP_ACCESS_WRITE, &mut result))?;
            (result.host_addr as *mut u64).write_volatile(value);
        }
        Ok(())
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        // SAFETY: a handle of our own.
        unsafe { abi::gmap_vcpu_close(self.0) };
    }
}
