//! Tokens per second of decoding and of reading a prompt, for a model of the seed's size with
//! random weights, beside the time that reading its weights from memory takes alone.
//!
//! `cargo run --release -p learned-dropout-inference --example speed [THREADS]`

use std::time::Instant;

use kernels::random::{Philox, unit};
use learned_dropout::weights::{HostTensor, Weights, layout};
use learned_dropout::{MaskConfig, TransformerConfig};
use learned_dropout_inference::{Engine, EngineError, Session};

fn main() -> Result<(), EngineError> {
    let threads = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    let config = TransformerConfig {
        vocabulary: 50257,
        context: 200,
        width: 144,
        heads: 9,
        layers: 26,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: Some(MaskConfig::default()),
    };
    let mut weights = Weights::new();
    for (stream, spec) in layout(&config).enumerate() {
        let noise = Philox::new(1, stream as u64);
        let values = (0..spec.shape.iter().product::<usize>() as u64)
            .map(|i| 0.1 * (unit(noise.number(i)) - 0.5))
            .collect();
        weights.insert(
            spec.name,
            HostTensor {
                shape: spec.shape,
                values,
            },
        );
    }
    let bytes = 4 * config.parameters_without_positions();
    let bandwidth = read_bandwidth(bytes);
    let engine = Engine::new(config, weights, threads)?;
    let ids: Vec<u32> = (0..200).map(|i| i * 251 % 50257).collect();

    let mut prefill = Vec::new();
    let mut decode = Vec::new();
    for _ in 0..7 {
        let mut session = Session::new(&engine)?;
        let start = Instant::now();
        session.prefill(&ids)?;
        prefill.push(start.elapsed().as_secs_f64());

        let mut session = Session::new(&engine)?;
        let start = Instant::now();
        for &id in &ids {
            session.decode(id)?;
        }
        decode.push(start.elapsed().as_secs_f64());
    }
    let (prefill, decode) = (median(prefill), median(decode));
    let per_token = decode / 200.0;
    println!("threads                  {}", engine.threads());
    println!("prefill, 200 tokens      {:.0} tokens/s", 200.0 / prefill);
    println!("decode, positions 0-199  {:.0} tokens/s", 200.0 / decode);
    println!("weights read per token   {:.1} MB", bytes as f64 / 1e6);
    println!(
        "weights read at          {:.1} GB/s",
        bytes as f64 / per_token / 1e9
    );
    println!("memory read alone, one thread {:.1} GB/s", bandwidth / 1e9);
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Bytes per second at which one thread adds up as many bytes as the weights have.
fn read_bandwidth(bytes: usize) -> f64 {
    let words = vec![1u64; bytes / 8];
    let seconds = (0..9).map(|_| {
        let start = Instant::now();
        std::hint::black_box(std::hint::black_box(&words).iter().sum::<u64>());
        start.elapsed().as_secs_f64()
    });
    bytes as f64 / median(seconds.collect())
}
