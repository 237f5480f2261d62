//! The machine that the program runs on, and how much of it the program uses.

use kernels::level::{LEVEL_VARIABLE, Level};
use kernels::peak::matrix_product_flops;
use kernels::product::Precision;
use learned_dropout::device::DeviceName;
use training::metrics::EnvironmentMetrics;

use crate::arguments::Common;
use crate::failure::Failure;

/// Refuses a forced instruction-set level that does not exist or that this processor lacks.
pub fn check_level() -> Result<(), Failure> {
    let Some(wanted) = std::env::var_os(LEVEL_VARIABLE) else {
        return Ok(());
    };
    let level = wanted.to_str().and_then(Level::from_name);
    if level.is_some_and(|level| level <= Level::highest()) {
        return Ok(());
    }
    let names: Vec<&str> = Level::ALL
        .into_iter()
        .filter(|&level| level <= Level::highest())
        .map(Level::name)
        .collect();
    Err(Failure::Usage(format!(
        "{LEVEL_VARIABLE}={}: expected a level of this processor: {}; unset it for the highest",
        wanted.display(),
        names.join(", ")
    )))
}

/// The processor's name and the instruction-set level in use: `AMD EPYC, avx2`.
pub fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // Only Linux has the file. Elsewhere the architecture has to do.
    let name = value(&information, "model name").unwrap_or(std::env::consts::ARCH);
    format!("{name}, {}", Level::current().name())
}

/// The program, processor, device and threads, as runs record them.
pub fn environment(common: &Common) -> EnvironmentMetrics {
    EnvironmentMetrics {
        step: 0,
        program: concat!("ldrop ", env!("CARGO_PKG_VERSION")).into(),
        processor: processor(),
        device: common.device.to_string(),
        threads: common.threads(),
        data: None,
        time: None,
    }
}

/// The most memory that the process has held so far; none where the system does not report it, that
/// is, anywhere but on Linux.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = value(&status, "VmHWM")?.strip_suffix("kB")?;
    kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The processor's measured peak in operations per second; none for other devices.
pub fn peak_flops(common: &Common, precision: Precision) -> Option<f64> {
    (common.device == DeviceName::Cpu).then(|| matrix_product_flops(precision))
}

/// Finds the value of the first line `key : value` with this key.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text =
            "VmPeak:\t 9 kB\nmodel\t\t: 1\nmodel name\t: Some: Processor\nmodel name: other\n";
        assert_eq!(value(text, "model name"), Some("Some: Processor"));
        assert_eq!(value(text, "VmPeak"), Some("9 kB"));
        assert_eq!(value(text, "VmHWM"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_memory_covers_what_was_held() {
        let held = vec![1u8; 32 << 20];
        let peak = peak_memory_bytes().expect("Linux reports it");
        assert!(peak >= held.len() as u64 && peak < 1 << 40, "{peak}");
    }
}
