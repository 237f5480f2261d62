//! Runs a target on files: `replay TARGET FILE...`.

use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a target");
    let all = learned_dropout_fuzz_targets::ALL;
    let target = all
        .iter()
        .find(|target| target.name == name)
        .expect("a known target");
    for file in arguments {
        let bytes = std::fs::read(&file).expect("a readable file");
        let began = Instant::now();
        (target.run)(&bytes);
        println!("{file}: {:?}", began.elapsed());
    }
}
