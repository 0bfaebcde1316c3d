use crate::compare::Comparison;
use crate::costs::Cost;
use crate::options::Options;

const MOST_LINES: usize = 5;

pub fn print_comparison(options: &Options, done: &Comparison) {
    println!(
        "{} rounds of random work, {} of them by {} threads ({} harvested meanwhile); a region came {} times; {} stores of a vcpu; \
         {} dirty pages",
        done.rounds, done.rounds_in_threads, options.threads, done.rounds_beside, done.plugged, done.vcpu_stores, done.pages
    );
    if done.differences.is_empty() {
        println!("equal: AtomicBitmap and the engine had the same dirty pages after every round");
        return;
    }
    for line in done.differences.iter().take(MOST_LINES) {
        println!("DIFFERENT: {line}");
    }
    if done.differences.len() > MOST_LINES {
        println!("           and {} more", done.differences.len() - MOST_LINES);
    }
    println!("the same again: --seed {} --rounds {} --steps {} --threads {}", options.seed, done.rounds, options.steps, options.threads);
}

pub fn print_costs(options: &Options, costs: &[Cost]) {
    println!();
    let title = format!("a guest of {} GiB, medians of {}", options.gib, options.repeats);
    println!("{title:<44}{:>12}{:>15}{:>13}{:>8}", "no bitmap", "AtomicBitmap", "the engine", "ratio");
    for cost in costs {
        let plain = cost.untracked.map_or("-".to_string(), time);
        println!("{:<44}{:>12}{:>15}{:>13}{:>8.2}", cost.what, plain, time(cost.atomic), time(cost.engine), cost.ratio());
    }
}

pub fn print_json(options: &Options, done: &Comparison, costs: &[Cost]) {
    let rows: Vec<_> = costs
        .iter()
        .map(|cost| {
            let plain = cost.untracked.map_or("null".to_string(), |ns| format!("{ns:.2}"));
            format!(
                "{{\"what\":\"{}\",\"no_bitmap_ns\":{plain},\"atomic_bitmap_ns\":{:.2},\"engine_ns\":{:.2},\"ratio\":{:.3}}}",
                cost.what,
                cost.atomic,
                cost.engine,
                cost.ratio()
            )
        })
        .collect();
    println!(
        "{{\"seed\":{},\"rounds\":{},\"rounds_in_threads\":{},\"rounds_beside_a_harvest\":{},\"regions_plugged\":{},\"vcpu_stores\":{},\"dirty_pages\":{},\
         \"differences\":{},\"guest_gib\":{},\"repeats\":{},\"costs\":[{}]}}",
        options.seed,
        done.rounds,
        done.rounds_in_threads,
        done.rounds_beside,
        done.plugged,
        done.vcpu_stores,
        done.pages,
        done.differences.len(),
        options.gib,
        options.repeats,
        rows.join(",")
    );
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}
