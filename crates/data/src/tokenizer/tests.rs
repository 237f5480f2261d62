use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

/// Words on which an encoding takes minutes if its time grows with the square of their length.
pub(super) fn long_words() -> [String; 3] {
    let letters = "a".repeat(1 << 20);
    let chinese: String = (0..350_000_u32)
        .map(|at| char::from_u32(0x4E00 + at.wrapping_mul(2_654_435_761) % 5000).unwrap())
        .collect();
    let random: String = (0..500_000_u32)
        .map(|at| char::from_u32(0xC0 + (at.wrapping_mul(2_654_435_761) >> 20) % 23).unwrap())
        .collect();
    [letters, chinese, random]
}

/// Texts that tokenizers have been known to change.
const TEXTS: &[&str] = &[
    "",
    "Hello, world! I'll, we've, DON'T, it's 'tis.",
    "  two   spaces, a\ttab,\r\nlines\n\n\nand an end \n",
    "1234567890 3.14 ½ ٣٤٥ x² 2nd",
    "مرحبا بالعالم، كيف حالك؟",
    "你好，世界。中文分词測試　全形空格",
    "naïve café e\u{301} ﬁ ß Ⅷ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 👍🏽 ❤️",
    "nul \0 bell \u{7} escape \u{1b} delete \u{7f} next \u{85} no-break\u{a0}\u{feff}",
    "<|endoftext|> is text, and so is <0x41>, Ġ and �",
    "fn main() {\n    let x: Vec<u32> = vec![0; 1 << 20]; // --------\n}\n",
    "\u{2028}\u{2029}\u{200b}\u{10ffff}\u{e000}",
];

fn training_texts() -> Vec<String> {
    TEXTS.iter().map(|text| text.repeat(3)).collect()
}

static EVERY_KIND: LazyLock<[Tokenizer; 5]> = LazyLock::new(|| {
    [
        Tokenizer::gpt2(),
        Tokenizer::train(400, &training_texts()).unwrap(),
        Tokenizer::byte(),
        Tokenizer::characters(&"Hello wrd你,\n👍".chars().collect()),
        Tokenizer::from_contents(Path::new("old.json"), old_characters("Hel你👍").as_bytes())
            .unwrap(),
    ]
});

/// A `tokenizer.json` of these characters, which must ascend, as this program wrote them before they had
/// an unknown token.
pub(crate) fn old_characters(characters: &str) -> String {
    let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
    let own = characters.chars().map(String::from);
    let vocabulary: serde_json::Map<_, _> = bytes
        .chain(own)
        .zip(0..)
        .map(|(token, id): (String, u32)| (token, id.into()))
        .collect();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "unk_token": null, "byte_fallback": true, "fuse_unk": false,
            "ignore_merges": false, "vocab": vocabulary, "merges": [],
        },
    })
    .to_string()
}

/// What a text is after it was encoded and decoded.
fn kept(tokenizer: &Tokenizer, text: &str) -> String {
    let is_known = |character: char| {
        let ids = tokenizer.encode(character.encode_utf8(&mut [0; 4]));
        tokenizer.unknown().is_none_or(|unknown| ids != [unknown])
    };
    let kept = |character| match is_known(character) {
        true => character,
        false => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(kept).collect()
}

fn saved(tokenizer: &Tokenizer) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    tokenizer.save(&path).unwrap();
    (folder, path)
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-zA-Z' ,.0-9\\n\\t]{0,20}",
        prop::sample::select(TEXTS).prop_map(str::to_owned),
        prop::collection::vec(any::<char>(), 0..5).prop_map(|all| all.into_iter().collect()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

#[test]
fn gpt2_gives_the_ids_of_the_original() {
    // From OpenAI's own encoder.
    let tokenizer = Tokenizer::gpt2();
    assert_eq!(tokenizer.encode("Hello, world!"), [15496, 11, 995, 0]);
    assert_eq!(
        tokenizer.encode("<|endoftext|>"),
        [27, 91, 437, 1659, 5239, 91, 29]
    );
    assert_eq!(
        (tokenizer.vocabulary(), tokenizer.end_of_text()),
        (50_257, Some(50_256))
    );
    assert_eq!(tokenizer.token_bytes(220), Some(&b" "[..]));
    assert_eq!(tokenizer.token_bytes(50_256), Some(&b"<|endoftext|>"[..]));
    assert_eq!(tokenizer.token_bytes(50_257), None);
    assert_eq!(
        tokenizer.decode(&[15496, 50_257, u32::MAX, 995]),
        "Hello world"
    );
}

#[test]
fn a_small_encoding_is_trained_as_by_hand() {
    // Pieces `ab`, ` ab` twice, ` ac`: the pairs (a, b) and ( , a) occur three times each, and
    // the one of lower ids comes first; then ( , ab) occurs twice and ( , a) once.
    let tokenizer = Tokenizer::train(259, &["ab ab ab ac".into()]).unwrap();
    assert_eq!(tokenizer.kind(), TokenizerChoice::Bpe(259));
    assert_eq!(tokenizer.token_bytes(256), Some(&b"ab"[..]));
    assert_eq!(tokenizer.token_bytes(257), Some(&b" ab"[..]));
    assert_eq!(tokenizer.end_of_text(), Some(258));
    assert_eq!(tokenizer.encode("ab ab").as_slice(), [256, 257]);
}

#[test]
fn too_little_text_gives_fewer_tokens() {
    let tokenizer = Tokenizer::train(1000, &["abc".into()]).unwrap();
    assert_eq!(tokenizer.vocabulary(), 259);
    assert_eq!(tokenizer.end_of_text(), Some(258));
    assert_eq!(Tokenizer::train(257, &[]).unwrap().vocabulary(), 257);
    assert!(matches!(
        Tokenizer::train(256, &[]),
        Err(TokenizerError::Train { tokens: 256, .. })
    ));
}

#[test]
fn training_does_not_depend_on_threads() {
    // Long runs of few characters make pairs that can be merged in many ways.
    let texts: Vec<String> = (1..200_usize)
        .map(|row| {
            let run = |step: usize| ["-", "=", "ab", "a"][row * step % 4].repeat(row * step % 37);
            (1..8).map(run).collect::<Vec<_>>().join("b ")
        })
        .collect();
    let train = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| Tokenizer::train(700, &texts).unwrap().to_json())
    };
    let first = train(1);
    assert!((1..5).all(|threads| train(threads) == first));
}

#[test]
fn characters_not_seen_become_one_token() {
    let tokenizer = Tokenizer::characters(&['b', 'é', 'a'].into());
    assert_eq!(tokenizer.vocabulary(), 4);
    assert_eq!(
        (tokenizer.end_of_text(), tokenizer.unknown()),
        (None, Some(3))
    );
    // Neither neighbours nor the token's own name are joined.
    assert_eq!(tokenizer.encode("aébüü"), [0, 2, 1, 3, 3]);
    assert_eq!(tokenizer.encode("<unk>"), [3; 5]);
    assert_eq!(tokenizer.decode(&[0, 3, 2, 4]), "a\u{FFFD}é");
    assert_eq!(tokenizer.token_bytes(3), Some("\u{FFFD}".as_bytes()));
}

/// nanoGPT's `data/shakespeare_char/prepare.py` gives each character its place in `sorted(set(text))`.
#[test]
fn ids_are_those_of_nanogpt() {
    let text = "First Citizen:\nBefore we proceed any further, hear me speak.\n";
    let tokenizer = Tokenizer::characters(&text.chars().collect());
    // "\n", " ", ",", ".", ":", "B", "C", "F", and then the small letters of the text.
    let letters = [
        'a', 'c', 'd', 'e', 'f', 'h', 'i', 'k', 'm', 'n', 'o', 'p', 'r', 's', 't', 'u',
    ];
    let after = ['w', 'y', 'z'];
    assert_eq!(tokenizer.vocabulary(), 8 + letters.len() + after.len() + 1);
    assert_eq!(
        tokenizer.encode("First Citizen:\n"),
        [7, 14, 20, 21, 22, 1, 6, 14, 22, 14, 26, 11, 17, 4, 0]
    );
    assert_eq!(tokenizer.unknown(), Some(27));
}

#[test]
fn older_files_of_characters_keep_their_ids() {
    let contents = old_characters("abé");
    let tokenizer = Tokenizer::from_contents(Path::new("old.json"), contents.as_bytes()).unwrap();
    assert_eq!(tokenizer.kind(), TokenizerChoice::Character);
    assert_eq!((tokenizer.vocabulary(), tokenizer.unknown()), (259, None));
    assert_eq!(tokenizer.encode("aébü"), [256, 258, 257, 0xC3, 0xBC]);
    assert_eq!(tokenizer.decode(&[256, 0xC3, 0xBC, 0xC3]), "aü\u{FFFD}");
    let again: serde_json::Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    let before: serde_json::Value = serde_json::from_str(&contents).unwrap();
    assert_eq!(again["model"]["vocab"], before["model"]["vocab"]);
    assert_eq!(again["model"]["byte_fallback"], true);
}

#[test]
fn impossible_vocabularies_of_characters_are_refused() {
    let (_folder, path) = saved(&Tokenizer::characters(&['a', 'b'].into()));
    let whole: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (pointer, value, reason) in [
        (
            "/model/unk_token",
            "[UNK]".into(),
            "`unk_token` to be \"<unk>\"",
        ),
        ("/model/unk_token", serde_json::Value::Null, "not supported"),
        ("/model/fuse_unk", true.into(), "`fuse_unk` to be false"),
        (
            "/model/vocab",
            serde_json::json!({"a": 0, "<unk>": 1, "b": 2}),
            "<unk> as the last",
        ),
        (
            "/model/vocab",
            serde_json::json!({"b": 0, "a": 1, "<unk>": 2}),
            "in ascending order",
        ),
        (
            "/model/vocab",
            serde_json::json!({"a": 0, "bc": 1, "<unk>": 2}),
            "not one character",
        ),
        ("/model/vocab", serde_json::json!({}), "<unk> as the last"),
        ("/model/byte_fallback", true.into(), "<0x00> to <0xFF>"),
    ] {
        let mut file = whole.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&path, file.to_string()).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{pointer}: {error}");
    }
}

#[test]
fn every_kind_is_read_as_it_was_saved() {
    for tokenizer in &*EVERY_KIND {
        let (_folder, path) = saved(tokenizer);
        let read = Tokenizer::from_file(&path).unwrap();
        // A trained encoding with GPT-2's vocabulary would be GPT-2, with the fast encoder.
        assert_eq!(read.kind(), tokenizer.kind());
        assert_eq!(read.end_of_text(), tokenizer.end_of_text());
        assert_eq!(read.to_json(), tokenizer.to_json());
        for text in TEXTS {
            assert_eq!(read.encode(text), tokenizer.encode(text));
        }
    }
}

#[test]
fn older_files_of_gpt2_are_recognized() {
    // As they were written before merges became pairs, without the type of the model.
    let mut file: serde_json::Value = serde_json::from_str(&Tokenizer::gpt2().to_json()).unwrap();
    let model = file["model"].as_object_mut().unwrap();
    model.remove("type");
    for merge in model["merges"].as_array_mut().unwrap() {
        let line = format!(
            "{} {}",
            merge[0].as_str().unwrap(),
            merge[1].as_str().unwrap()
        );
        *merge = line.into();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    assert_eq!(
        Tokenizer::from_file(&path).unwrap().kind(),
        TokenizerChoice::Gpt2
    );
}

#[test]
fn the_first_merges_of_gpt2_are_those_of_its_file() {
    // The first lines of `merges.txt` of OpenAI's release.
    let expected = ["Ġ t", "Ġ a", "h e", "i n", "r e", "o n", "Ġt he"];
    let pairs = gpt2::byte_pairs();
    let written = |id: u32| byte_symbols::to_symbols(&pairs.tokens[id as usize]);
    let merges = pairs
        .merges
        .iter()
        .map(|&(left, right)| written(left) + " " + &written(right));
    assert_eq!(merges.take(7).collect::<Vec<_>>(), expected);
    assert_eq!(pairs.merges.len(), 50_000);
}

#[test]
fn damaged_files_give_errors_that_name_them() {
    let tokenizer = Tokenizer::train(280, &training_texts()).unwrap();
    let (_folder, path) = saved(&tokenizer);
    let whole = std::fs::read(&path).unwrap();
    let end = whole.trim_ascii_end().len();
    for length in (0..end).step_by(7).chain(end - 20..end) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
    let missing = Tokenizer::from_file(path.with_file_name("none.json"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.json"), "{missing}");
}

#[test]
fn impossible_vocabularies_are_refused() {
    let tokenizer = Tokenizer::train(280, &training_texts()).unwrap();
    let (_folder, path) = saved(&tokenizer);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut refused = |pointer: &str, value: serde_json::Value, reason: &str| {
        let before = std::mem::replace(file.pointer_mut(pointer).unwrap(), value);
        std::fs::write(&path, file.to_string()).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        *file.pointer_mut(pointer).unwrap() = before;
    };
    refused(
        "/model/vocab/a",
        4_000_000_000_u32.into(),
        "expected less than the number of tokens",
    );
    refused("/model/vocab/a", 0.into(), "have the same id");
    refused("/model/merges/0/0", "Ġnosuch".into(), "which is no token");
    refused("/model/merges/0/1", "".into(), "which is no token");
    refused("/model/merges/0", "nospace".into(), "with a space between");
    refused("/model/type", "WordPiece".into(), "not supported");
    refused(
        "/model/continuing_subword_prefix",
        "##".into(),
        "not supported",
    );
    refused(
        "/normalizer",
        serde_json::json!({ "type": "NFC" }),
        "not supported",
    );
    refused("/pre_tokenizer/type", "Metaspace".into(), "not supported");
    refused("/added_tokens/0/content", "<pad>".into(), "<pad>");
    refused("/added_tokens/0/id", 5.into(), "another");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_text_passes_through_every_kind(texts in prop::collection::vec(any_text(), 4)) {
        for tokenizer in &*EVERY_KIND {
            for text in &texts {
                let ids = tokenizer.encode(text);
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary()));
                prop_assert!(!ids.iter().any(|&id| Some(id) == tokenizer.end_of_text()));
                let text = &kept(tokenizer, text);
                prop_assert_eq!(&tokenizer.decode(&ids), text);
                let mut stream = TextStream::new(tokenizer);
                let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
                streamed.push_str(&stream.finish());
                prop_assert_eq!(&streamed, text);
            }
        }
    }

    #[test]
    fn flipped_bytes_give_an_error_or_a_tokenizer_that_works(
        kind in 1_usize..5,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (_folder, path) = saved(&EVERY_KIND[kind]);
        let mut bytes = std::fs::read(&path).unwrap();
        for (index, value) in flips {
            *index.get_mut(&mut bytes) = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        match Tokenizer::from_file(&path) {
            Err(error) => prop_assert!(error.to_string().contains("tokenizer.json")),
            Ok(read) => {
                for text in TEXTS {
                    prop_assert_eq!(read.decode(&read.encode(text)), kept(&read, text));
                }
            }
        }
    }
}

#[test]
fn the_tokenizers_crate_gives_the_same_ids() {
    for tokenizer in &*EVERY_KIND {
        let (_folder, path) = saved(tokenizer);
        let mut theirs = tokenizers::Tokenizer::from_file(&path).unwrap();
        assert_eq!(theirs.get_vocab_size(true), tokenizer.vocabulary());
        assert_eq!(theirs.token_to_id("<|endoftext|>"), tokenizer.end_of_text());
        theirs.set_encode_special_tokens(true);
        let check = |text: &str| {
            let expected = theirs.encode(text, false).unwrap();
            assert_eq!(tokenizer.encode(text), expected.get_ids(), "{text:?}");
            assert_eq!(tokenizer.decode(expected.get_ids()), kept(tokenizer, text));
            assert_eq!(
                theirs.decode(expected.get_ids(), false).unwrap(),
                kept(tokenizer, text)
            );
        };
        TEXTS.iter().for_each(|text| check(text));
        for word in ["a", "Hello", "abab", "你好世界", "--==", "ünü"] {
            check(&word.repeat(500));
        }
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..200 {
            check(&any_text().new_tree(&mut runner).unwrap().current());
        }
    }
}
