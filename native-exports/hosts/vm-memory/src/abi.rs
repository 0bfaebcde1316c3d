//! What of gmap.h is used here. The header is the manual.
#![allow(non_camel_case_types)]

use std::mem::size_of;
use std::os::raw::{c_char, c_void};

pub type gmap_status = i32;

pub const GMAP_PAGE_SIZE: u64 = 4096;
pub const GMAP_ACCESS_WRITE: u32 = 0x2;
pub const GMAP_SLOT_LOG_DIRTY: u32 = 0x2;
pub const GMAP_SLOT_INITIALLY_DIRTY: u32 = 0x4;

#[repr(C)]
pub struct gmap_space_config {
    pub struct_size: u32,
    pub flags: u32,
    pub limit: u64,
    pub table_format: u32,
    pub split_policy: u32,
    pub huge: u32,
    pub dirty_scope: u32,
    pub tracking: u32,
    pub max_shadows: u32,
    pub shadow_bytes: u64,
}

#[repr(C)]
pub struct gmap_slot {
    pub struct_size: u32,
    pub flags: u32,
    pub id: u32,
    pub reserved: u32,
    pub guest_addr: u64,
    pub size: u64,
    pub host_addr: u64,
    pub final_bitmap: *mut u64,
    pub final_words: u64,
}

#[repr(C)]
pub struct gmap_vcpu_config {
    pub struct_size: u32,
    pub flags: u32,
    pub inline_version: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct gmap_fault_result {
    pub struct_size: u32,
    pub flags: u32,
    pub host_addr: u64,
    pub leaf_size: u64,
    pub rights: u32,
    pub reason: u32,
    pub depth: u32,
    pub reserved: u32,
    pub table_addr: u64,
}

// The layouts of the header, for x86-64.
const _: [(); 48] = [(); size_of::<gmap_space_config>()];
const _: [(); 56] = [(); size_of::<gmap_slot>()];
const _: [(); 16] = [(); size_of::<gmap_vcpu_config>()];
const _: [(); 48] = [(); size_of::<gmap_fault_result>()];

#[link(name = "gmapnative")]
extern "C" {
    pub fn gmap_strerror(status: gmap_status) -> *const c_char;
    pub fn gmap_runtime_init() -> gmap_status;
    pub fn gmap_engine_create(config: *const c_void, engine: *mut u64) -> gmap_status;
    pub fn gmap_engine_destroy(engine: u64) -> gmap_status;
    pub fn gmap_space_create(engine: u64, config: *const gmap_space_config, space: *mut u64) -> gmap_status;
    pub fn gmap_space_destroy(space: u64) -> gmap_status;
    pub fn gmap_slot_set(space: u64, slot: *const gmap_slot) -> gmap_status;
    pub fn gmap_vcpu_open(space: u64, config: *const gmap_vcpu_config, vcpu: *mut u64, view: *mut *mut c_void) -> gmap_status;
    pub fn gmap_vcpu_close(vcpu: u64) -> gmap_status;
    pub fn gmap_fault(vcpu: u64, guest_addr: u64, access: u32, result: *mut gmap_fault_result) -> gmap_status;
    pub fn gmap_mark_dirty(space: u64, guest_addr: u64, size: u64) -> gmap_status;
    pub fn gmap_dirty_get(
        space: u64, slot: u32, first_page: u64, n: u64, flags: u32, bitmap: *mut u64, dirty_pages: *mut u64,
    ) -> gmap_status;
    pub fn gmap_dirty_harvest(
        space: u64, slot: u32, first_page: u64, n: u64, flags: u32, bitmap: *mut u64, words: usize, dirty_pages: *mut u64,
    ) -> gmap_status;
}
