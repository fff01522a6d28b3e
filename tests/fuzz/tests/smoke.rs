//! Every target: its corpus, its seeds, and a few seconds of changes at random.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use tandem_fuzz::{Mutator, TARGETS};

/// For each target; more with `FUZZ_SECONDS=600 cargo test --release -p tandem-fuzz`.
const SECONDS: u64 = 4;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn smoke(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(SECONDS);
    let mut inputs = corpus(name);
    assert!(!inputs.is_empty(), "a committed corpus");
    inputs.extend((target.seeds)());
    let run = |input: &[u8]| {
        if let Err(panic) = std::panic::catch_unwind(|| (target.run)(input)) {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{name} failed on {hex}: {:?}", panic.downcast_ref::<String>());
        }
    };
    inputs.iter().for_each(|input| run(input));
    let mut mutator = Mutator::new(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut count = 0_u64;
    while Instant::now() < end {
        run(&mutator.next(&inputs));
        count += 1;
    }
    assert!(count > 10, "only {count} runs in {seconds} s");
}

#[test]
fn isakmp_withstands_its_corpus_and_changes_of_it() {
    smoke("isakmp");
}

#[test]
fn session_withstands_its_corpus_and_changes_of_it() {
    smoke("session");
}

#[test]
fn esp_withstands_its_corpus_and_changes_of_it() {
    smoke("esp");
}

#[test]
fn tun_withstands_its_corpus_and_changes_of_it() {
    smoke("tun");
}

#[test]
fn config_withstands_its_corpus_and_changes_of_it() {
    smoke("config");
}
