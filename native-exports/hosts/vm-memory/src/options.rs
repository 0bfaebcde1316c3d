use crate::work::MAX_THREADS;
use std::str::FromStr;

pub const USAGE: &str = "\
usage: gmap-vm-memory [OPTIONS]

Guest memory code written for vm-memory runs over AtomicBitmap and over the engine: the same random work, the same dirty pages
after every round, and what each costs. Status 0: equal; 1: a difference, or a failure; 2: a bad option.

  --rounds N     rounds to compare (400); each fourth is of several threads, each eighth is harvested meanwhile
  --steps N      of a thread in a round (100)
  --threads N    in rounds of several threads (3)
  --seed N       of the random work (2026)
  --leave-out N  negative control: the engine is not told of mark N of each round; that must be found, and ends with status 1
  --gib N        size of the guest whose costs are measured (4)
  --repeats N    of each measurement (101); the medians are printed
  --no-costs     compare only
  --json         one object, as the last line
  --help         this text
";

pub struct Options {
    pub rounds: u64,
    pub steps: usize,
    pub threads: usize,
    pub seed: u64,
    pub leave_out: Option<u64>,
    pub gib: usize,
    pub repeats: usize,
    pub costs: bool,
    pub json: bool,
}

pub enum Asked {
    Run(Options),
    Help,
}

pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options =
        Options { rounds: 400, steps: 100, threads: 3, seed: 2026, leave_out: None, gib: 4, repeats: 101, costs: true, json: false };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => options.rounds = number(&argument, arguments.next(), 1, 1_000_000)?,
            "--steps" => options.steps = number(&argument, arguments.next(), 1, 1_000_000)?,
            "--threads" => options.threads = number(&argument, arguments.next(), 1, MAX_THREADS)?,
            "--seed" => options.seed = number(&argument, arguments.next(), 0, u64::MAX)?,
            "--leave-out" => options.leave_out = Some(number(&argument, arguments.next(), 1, u64::MAX)?),
            "--gib" => options.gib = number(&argument, arguments.next(), 1, 1024)?,
            "--repeats" => options.repeats = number(&argument, arguments.next(), 1, 10_000)?,
            "--no-costs" => options.costs = false,
            "--json" => options.json = true,
            "--help" | "-h" => return Ok(Asked::Help),
            _ => return Err(format!("{argument}: no such option; --help lists them")),
        }
    }
    Ok(Asked::Run(options))
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(option: &str, text: Option<String>, least: T, most: T) -> Result<T, String> {
    let wanted = || format!("{option} wants a number from {least} to {most}");
    match text.as_deref().and_then(|text| text.parse().ok()) {
        Some(value) if value >= least && value <= most => Ok(value),
        _ => Err(wanted()),
    }
}
