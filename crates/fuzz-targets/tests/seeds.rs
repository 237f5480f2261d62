//! Runs every fuzz target on its seeds and on the inputs that once were findings, without a fuzzer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use learned_dropout_fuzz_targets::{ALL, Target};

/// The memory that reading one small input may add to the process, in bytes, allocated or used. A page of
/// Parquet may have 256 MiB.
const MOST_MEMORY: u64 = 512 << 20;

/// The time that one small input may take. It is far more than any takes, and far less than one that grows
/// too fast with its input.
const LONGEST: Duration = Duration::from_secs(20);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The inputs in `fuzz/seeds/TARGET`, by name.
fn findings(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = repository().join("fuzz/seeds").join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The largest size that the address space of this process ever had, in bytes. Counts what is allocated,
/// even if it was never touched.
#[cfg(target_os = "linux")]
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

#[cfg(not(target_os = "linux"))]
fn most_memory() -> u64 {
    0
}

/// One test for all, so that only one input at a time takes memory.
#[test]
fn every_seed_holds_what_must_hold() {
    for target in ALL {
        let generated = (target.seeds)();
        assert_eq!(generated, (target.seeds)(), "{}: other seeds", target.name);
        let numbered = generated.into_iter().enumerate();
        let generated = numbered.map(|(number, seed)| (format!("seed {number}"), seed));
        let began = Instant::now();
        let mut inputs = 0;
        for (name, input) in generated.chain(findings(&target)) {
            println!("{}: {name}, {} bytes", target.name, input.len());
            let (before, began) = (most_memory(), Instant::now());
            (target.run)(&input);
            let more = most_memory() - before;
            assert!(more <= MOST_MEMORY, "{}: {name}: {more} bytes", target.name);
            let time = began.elapsed();
            assert!(time < LONGEST, "{}: {name}: {time:?}", target.name);
            inputs += 1;
        }
        println!("{}: {inputs} inputs, {:?}", target.name, began.elapsed());
    }
}

/// Bytes that are nothing are read by every target.
#[test]
fn no_bytes_and_all_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    for target in ALL {
        (target.run)(&[]);
        (target.run)(&all);
    }
}

/// The fuzzer has a program for each target and no other.
#[test]
fn the_fuzzer_runs_all_targets() {
    let names: BTreeSet<String> = ALL.iter().map(|target| target.name.into()).collect();
    assert_eq!(names.len(), ALL.len());
    let fuzz = repository().join("fuzz");
    let programs = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap();
    let programs: BTreeSet<String> = programs
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into()
        })
        .collect();
    assert_eq!(programs, names);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let declared: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .map(Into::into)
        .collect();
    assert_eq!(declared, names);
    let kept = std::fs::read_dir(fuzz.join("seeds"));
    for folder in kept.into_iter().flatten() {
        let name = folder.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            names.contains(&name),
            "fuzz/seeds/{name} is no target's folder"
        );
    }
}
