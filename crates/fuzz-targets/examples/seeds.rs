//! Writes the generated seeds of all targets into `fuzz/corpus/TARGET`, and the words of their formats
//! into `fuzz/corpus/TARGET.dict`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in learned_dropout_fuzz_targets::ALL {
        let folder = corpus.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
        let words: String = (target.words)().iter().map(|word| quoted(word)).collect();
        // libFuzzer takes an empty dictionary for a damaged one.
        if !words.is_empty() {
            std::fs::write(corpus.join(format!("{}.dict", target.name)), words)?;
        }
    }
    Ok(())
}

/// A word as a line of libFuzzer's dictionaries.
fn quoted(word: &str) -> String {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"\n", word.bytes().map(escape).collect::<String>())
}
