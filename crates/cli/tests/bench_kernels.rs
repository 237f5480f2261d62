//! `ldrop bench kernels` measures every kernel beside the machine's peaks.

mod support;

use serde_json::Value;
use support::{failure, json, run};

const TINY: [&str; 14] = [
    "bench",
    "kernels",
    "--width",
    "16",
    "--heads",
    "2",
    "--tokens",
    "24",
    "--time",
    "8",
    "--vocabulary",
    "50",
    "--parameters",
    "1000",
];

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn every_kernel_is_measured() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    for precision in ["f32", "bf16"] {
        let report = json(folder, &[&TINY[..], &["--precision", precision]].concat());
        assert_eq!(report["precision"], precision);
        assert_eq!(report["threads"], 2);
        assert!(report["cpu"].as_str().expect("a name").contains(", "));
        let kernels = report["kernels"].as_array().expect("a list");
        let named = |name: &str| kernels.iter().find(|kernel| kernel["name"] == name);
        // Amounts of work by hand: 24 tokens of 16 channels.
        let products = [
            ("linear forward", 2 * 24 * 16 * 48),
            ("linear backward", 2 * 2 * 24 * 16 * 48),
            ("feed-forward forward", 2 * 2 * 24 * 16 * 64),
            ("feed-forward backward", 4 * 2 * 24 * 16 * 64),
            // Two experts for each token.
            ("experts forward", 2 * 2 * 2 * 24 * 16 * 16),
            ("experts backward", 4 * 2 * 2 * 24 * 16 * 16),
            // Per sequence of 8 tokens 36 pairs at and below the diagonal.
            ("attention forward", 2 * 2 * 3 * 36 * 16),
            ("attention backward", 4 * 2 * 3 * 36 * 16),
            ("projection forward", 2 * 24 * 16 * 16),
            ("projection backward", 2 * 2 * 24 * 16 * 16),
            // Each token keeps one of two heads of 8 channels.
            ("attention forward, 50% kept", 2 * 2 * 3 * 36 * 8),
            ("attention backward, 50% kept", 4 * 2 * 3 * 36 * 8),
            ("projection forward, 50% kept", 2 * 24 * 8 * 16),
            ("projection backward, 50% kept", 2 * 2 * 24 * 8 * 16),
            ("attention forward, 25% kept", 2 * 2 * 3 * 36 * 8),
            ("attention backward, 25% kept", 4 * 2 * 3 * 36 * 8),
            ("projection forward, 25% kept", 2 * 24 * 8 * 16),
            ("projection backward, 25% kept", 2 * 2 * 24 * 8 * 16),
            ("cross-entropy", 2 * 24 * 16 * 50),
            ("cross-entropy, gradients", 3 * 2 * 24 * 16 * 50),
            // Of 64 hidden units, each token keeps one group of 32.
            ("prefill, 25% kept", 2 * 2 * 24 * 16 * 32),
            ("grouped forward, 25% kept", 2 * 2 * 24 * 16 * 32),
            ("grouped backward, 25% kept", 4 * 2 * 24 * 16 * 32),
            ("prefill, 10% kept", 2 * 2 * 24 * 16 * 32),
            ("grouped forward, 10% kept", 2 * 2 * 24 * 16 * 32),
            ("grouped backward, 10% kept", 4 * 2 * 24 * 16 * 32),
        ];
        let passes = [
            ("layer norm forward", 4 * 2 * 24 * 16),
            ("layer norm backward", 4 * 3 * 24 * 16),
            ("mask product forward", 4 * 3 * 24 * 16),
            ("mask product backward", 4 * 5 * 24 * 16),
            ("group product forward", 4 * 2 * 24 * 16),
            ("group product backward", 4 * 3 * 24 * 16),
            ("mask mean forward", 4 * 24 * 16),
            ("mask mean backward", 4 * 2 * 24 * 16),
            ("mask statistics", 4 * 24 * 16),
            ("gate forward", 4 * 2 * 24 * 16),
            ("gate backward", 4 * 3 * 24 * 16),
            ("mask of 4 cosines forward", 4 * 2 * 24 * 16),
            ("mask of 4 cosines backward", 4 * 3 * 24 * 16),
            ("GELU forward", 4 * 2 * 24 * 64),
            ("GELU backward", 4 * 3 * 24 * 64),
            ("ReLU forward", 4 * 2 * 24 * 64),
            ("ReLU backward", 4 * 3 * 24 * 64),
            ("embedding gather", 4 * 2 * 24 * 16),
            ("embedding scatter", 4 * 3 * 24 * 16),
            ("AdamW", 28_000),
            ("sum of squares", 4_000),
        ];
        // Layers of 2 · 64 rows of 16 weights, or half of it, until there are 4,000.
        let reads = [
            ("decode f32", 4 * 4096),
            ("decode bf16", 2 * 4096),
            ("decode f16", 2 * 4096),
            ("decode f32, 25% kept", 4 * 2048),
            ("decode bf16, 25% kept", 2 * 2048),
            ("decode f16, 25% kept", 2 * 2048),
            // Of a layer of 64 units, 16 are not 0: 80 of its rows, twice.
            ("decode f32, ReLU", 4 * 2560),
            ("decode bf16, ReLU", 2 * 2560),
            ("decode f16, ReLU", 2 * 2560),
            ("decode linear f32", 4 * 4096),
            ("decode linear bf16", 2 * 4096),
            ("decode linear f16", 2 * 4096),
        ];
        assert_eq!(kernels.len(), products.len() + passes.len() + reads.len());
        for (rate, peak, works) in [
            ("gflops", "peak_gflops", &products[..]),
            ("gbytes_per_second", "memory_gbytes_per_second", &passes[..]),
            ("gbytes_per_second", "read_gbytes_per_second", &reads[..]),
        ] {
            let peak = number(&report[peak]);
            for &(name, amount) in works {
                let kernel = named(name).expect(name);
                let speed = number(&kernel[rate]);
                let expected = f64::from(amount) / number(&kernel["seconds"]) / 1e9;
                assert!((speed / expected - 1.0).abs() < 1e-9, "{kernel}");
                let ratio = number(&kernel["ratio"]);
                assert!((ratio * peak / speed - 1.0).abs() < 1e-9, "{kernel}");
            }
        }
    }
    let table = run(folder, &TINY).stdout;
    let table = String::from_utf8(table).expect("text");
    assert!(
        table.contains("\nAdamW ") && table.contains(" GFLOP/s"),
        "{table}"
    );
}

#[test]
fn impossible_shapes_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    for (options, part) in [
        (["--heads", "5"], "divisor of --width, 144"),
        (["--time", "999"], "divisor of --tokens, 2000"),
        (["--vocabulary", "100000000"], "lower --tokens"),
        (["--width", "0"], "--width"),
        (["--device", "cuda"], "runs on the CPU only"),
    ] {
        let (code, message) = failure(folder, &[&["bench", "kernels"], &options[..]].concat());
        assert!(code == 2 && message.contains(part), "{message}");
    }
}
