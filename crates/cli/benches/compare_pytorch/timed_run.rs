//! One run of a program, with a limit of time, and the memory that it took.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What a run gave.
pub struct Measured {
    pub tokens_per_second: f64,
    pub peak_memory_bytes: Option<u64>,
    pub cpu: Option<String>,
}

/// Runs a program to its end, or to the limit.
pub fn measure(mut command: Command, limit: Duration) -> Result<Measured, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let output = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let began = Instant::now();
    let mut peak_memory_bytes = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if began.elapsed() > limit {
            // It may just have ended by itself; either way it is waited for.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("over the limit of {} s", limit.as_secs()));
        }
        peak_memory_bytes = peak_memory(child.id()).or(peak_memory_bytes);
        std::thread::sleep(POLL);
    };
    let output = output.join().unwrap_or_default();
    if !status.success() {
        let errors = errors.join().unwrap_or_default();
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        return Err(format!("{status}: {}", last.unwrap_or("no message")));
    }
    let last = output.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).unwrap_or_default();
    let Some(tokens_per_second) = report["tokens_per_second"].as_f64() else {
        return Err(format!("no tokens_per_second in its last line: {last}"));
    };
    Ok(Measured {
        tokens_per_second,
        peak_memory_bytes: report["peak_memory_bytes"].as_u64().or(peak_memory_bytes),
        cpu: report["cpu"].as_str().map(Into::into),
    })
}

/// Reads all that a program writes, while it runs: a full pipe would stop it.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth having.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The most memory that a process has held so far, where the system tells it (Linux).
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
