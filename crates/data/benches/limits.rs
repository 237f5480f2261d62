//! What the slowest steps of `ldrop data prepare` reach alone, in MB of text per second.
//!
//! ```text
//! cargo bench -p learned-dropout-data --bench limits -- THREADS FILE...
//! ```
//!
//! Of a file that ends in .bz2 it decodes the contents on one thread. Other files it divides at blank lines,
//! as documents that are prepared are short, and encodes these with GPT-2's tokenizer on all threads.

use std::io::Read;
use std::time::Instant;

use learned_dropout_data::Tokenizer;
use rayon::prelude::*;

const ROUNDS: usize = 3;

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    let Some(threads) = threads else {
        // `cargo test --benches` gives no arguments.
        return;
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .expect("threads start");
    for path in arguments {
        let bytes = std::fs::read(&path).expect("the file can be read");
        if path.ends_with(".bz2") {
            report(&format!("{path}: bzip2, one thread"), || {
                let mut decoder = bzip2::read::MultiBzDecoder::new(bytes.as_slice());
                let mut decoded = Vec::new();
                decoder.read_to_end(&mut decoded).expect("a whole file");
                decoded.len()
            });
        } else {
            let text = String::from_utf8(bytes).expect("a file of UTF-8 text");
            let tokenizer = Tokenizer::gpt2();
            let documents: Vec<&str> = text.split("\n\n").collect();
            report(&format!("{path}: gpt2, {threads} threads"), || {
                let tokens = |document: &&str| tokenizer.encode(document).len();
                let tokens: usize = documents.par_iter().map(tokens).sum();
                assert!(tokens <= text.len());
                text.len()
            });
        }
    }
}

/// Prints the speeds of some rounds; `work` returns its bytes of text.
fn report(name: &str, work: impl Fn() -> usize) {
    let speed = || {
        let begin = Instant::now();
        work() as f64 / 1e6 / begin.elapsed().as_secs_f64()
    };
    let speeds: Vec<String> = (0..ROUNDS).map(|_| format!("{:.1}", speed())).collect();
    println!("{name}: {} MB/s", speeds.join(", "));
}
