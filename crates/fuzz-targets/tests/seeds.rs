//! Runs every fuzz target on its seeds and on the inputs that once were findings, without a fuzzer.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use learned_dropout_fuzz_targets::{ALL, Target};

/// The memory that reading one small input may add to the process, in bytes, allocated or used: what the
/// fuzzer allows for one allocation. A page of Parquet may have 256 MiB.
const MOST_MEMORY: u64 = 320 << 20;

/// The time that one small input may take. It is far more than any takes, and far less than one that grows
/// too fast with its input.
const LONGEST: Duration = Duration::from_secs(20);

/// What the process of an input prints behind its memory.
const MEASURED: &str = " bytes of memory";
/// The variable with the name of the target that a process is to run on its standard input.
const TARGET: &str = "FUZZ_TARGET";

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

/// Each input has a process of its own: the most memory of a process never falls, so it would hide that of
/// all later inputs that take less.
#[test]
fn every_seed_holds_what_must_hold() {
    for target in ALL {
        let generated = (target.seeds)();
        assert_eq!(generated, (target.seeds)(), "{}: other seeds", target.name);
        let numbered = generated.into_iter().enumerate();
        let generated = numbered.map(|(number, seed)| (format!("seed {number}"), seed));
        let nothing = [
            ("no bytes".into(), Vec::new()),
            ("all bytes".into(), (0..=255).collect()),
        ];
        for (name, input) in generated.chain(findings(&target)).chain(nothing) {
            let output = run(target.name, &input);
            // Without the measurement no target has run: a filter that matches no test ends with success.
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && printed.contains(MEASURED),
                "{}: {name}, {} bytes: {}\n{}{}",
                target.name,
                input.len(),
                output.status,
                printed,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// Runs [`one_input`] in a process of its own.
fn run(target: &str, input: &[u8]) -> Output {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["one_input", "--exact", "--nocapture"])
        .env(TARGET, target)
        // Else each new thread reserves 64 MiB or more for its small allocations.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all of it before it writes anything long.
    process.stdin.take().unwrap().write_all(input).unwrap();
    process.wait_with_output().unwrap()
}

/// Reads standard input with one target, and measures memory and time. Does nothing unless the test above
/// calls it.
#[test]
fn one_input() {
    let Ok(name) = std::env::var(TARGET) else {
        return;
    };
    let target = ALL.iter().find(|target| target.name == name).unwrap();
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    let (before, began) = (most_memory(), Instant::now());
    (target.run)(&input);
    let time = began.elapsed();
    let more = most_memory() - before;
    println!("{more}{MEASURED}, {time:?}");
    assert!(more <= MOST_MEMORY, "{more} bytes of memory");
    assert!(time < LONGEST, "{time:?}");
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
