//! rust-vmm's vm-memory over libgmapnative: equal to AtomicBitmap, and at which cost.
#![deny(unsafe_op_in_unsafe_fn)]

mod compare;
mod costs;
mod mistake;
mod options;
mod queue;
mod random;
mod report;
mod side;
mod vcpu;
mod work;

use gmap_vm_memory::GmapBitmap;
use options::{Asked, Options};
use side::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("gmap-vm-memory: {wrong}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("gmap-vm-memory: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether both sides were equal throughout.
fn run(options: &Options) -> Outcome<bool> {
    compare::early_mark_makes_all_dirty()?;
    compare::region_inside_a_page_is_refused()?;
    let comparison = match options.leave_out {
        None => compare::compare::<GmapBitmap>(options)?,
        Some(_) => compare::compare::<mistake::Forgetful>(options)?,
    };
    report::print_comparison(options, &comparison);
    let equal = comparison.differences.is_empty();
    if let (Some(number), true) = (options.leave_out, equal) {
        let way_out = "a round has fewer marks, or all of them were of pages that were marked again; give a smaller number, or more rounds";
        return Err(format!("mark {number} of each round was left out and nothing differs: {way_out}").into());
    }
    let costs = if options.costs && equal { costs::measure(options)? } else { Vec::new() };
    if !costs.is_empty() {
        report::print_costs(options, &costs);
    }
    if options.json {
        report::print_json(options, &comparison, &costs);
    }
    Ok(equal)
}
