use std::fs;

use proptest::prelude::*;

use super::*;
use crate::tokenizer::TokenizerChoice;

/// A folder as `prepare` makes it, of byte tokens.
fn prepared(folder: &Path, train: &[u8], validation: &[u8]) -> Meta {
    let tokenizer = Tokenizer::byte();
    let write = |name: &str, text: &[u8]| {
        let bytes: Vec<u8> = text.iter().flat_map(|&byte| [byte, 0]).collect();
        fs::write(folder.join(name), &bytes).unwrap();
        Part {
            tokens: text.len() as u64,
            text_bytes: Some(text.len() as u64),
            hash: Some(hexadecimal(xxh3_128(&bytes))),
        }
    };
    let meta = Meta {
        format: FORMAT,
        program: "test".into(),
        token_type: TokenType::U16,
        tokenizer: TokenizerChoice::Byte,
        tokenizer_hash: Some(hexadecimal(xxh3_128(tokenizer.to_json().as_bytes()))),
        vocabulary: 256,
        end_of_text: None,
        separated: false,
        documents: 1,
        train: write(TRAIN_FILE, train),
        validation: write(VALIDATION_FILE, validation),
        sources: Vec::new(),
        validation_sources: Vec::new(),
        left_out: std::collections::BTreeMap::new(),
    };
    tokenizer.save(folder.join(TOKENIZER_FILE)).unwrap();
    fs::write(folder.join(META_FILE), meta.to_json()).unwrap();
    meta
}

fn error_of(folder: &Path) -> String {
    DataFolder::open(folder).unwrap_err().to_string()
}

#[test]
fn a_prepared_folder_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let meta = prepared(folder.path(), b"training text", b"");
    let data = DataFolder::open(folder.path()).unwrap();
    assert_eq!(data.meta(), &meta);
    let train = data.split(Split::Train);
    let mut ids = [0; 4];
    train.window(9, &mut ids).unwrap();
    assert_eq!(ids, [b't', b'e', b'x', b't'].map(u32::from));
    assert_eq!((train.len(), data.split(Split::Validation).len()), (13, 0));
    assert!(data.split(Split::Validation).is_empty());
    assert!(matches!(
        train.window(10, &mut ids),
        Err(DataError::TooShort {
            tokens: 13,
            needed: 14,
            ..
        })
    ));
    assert!(train.window(usize::MAX, &mut ids).is_err());
    train.window(13, &mut []).unwrap();
    assert_eq!(data.tokenizer().unwrap().kind(), TokenizerChoice::Byte);
    data.verify().unwrap();
}

#[test]
fn fingerprints_tell_data_apart() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fingerprint = |folder: &Path, train: &[u8]| {
        prepared(folder, train, b"validation");
        DataFolder::open(folder).unwrap().fingerprint()
    };
    // Long enough that a fingerprint looks at blocks.
    let long = vec![b'x'; 600_000];
    let mut other = long.clone();
    *other.last_mut().unwrap() = b'y';
    let of_long = fingerprint(first.path(), &long);
    assert_eq!(of_long, fingerprint(second.path(), &long));
    assert_ne!(of_long, fingerprint(second.path(), &other));
    assert_ne!(of_long, fingerprint(second.path(), &long[1..]));
    let long_data = DataFolder::open(first.path()).unwrap();
    fs::remove_file(second.path().join(TRAIN_FILE)).unwrap();
    prepared(second.path(), &other, b"validation");
    let other_data = DataFolder::open(second.path()).unwrap();
    let part = |data: &DataFolder| data.split(Split::Train).fingerprint();
    assert_ne!(part(&long_data), part(&other_data));
}

#[test]
fn folders_of_nanogpt_open_as_gpt2() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<u8> = [15496_u16, 11, 995]
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    fs::write(folder.path().join(TRAIN_FILE), &ids).unwrap();
    assert!(error_of(folder.path()).contains("val.bin"));
    fs::write(folder.path().join(VALIDATION_FILE), &ids[..2]).unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    assert_eq!(
        (data.meta().train.tokens, data.meta().validation.tokens),
        (3, 1)
    );
    let mut read = [0; 3];
    data.split(Split::Train).window(0, &mut read).unwrap();
    assert_eq!(data.tokenizer().unwrap().decode(&read), "Hello, world");

    fs::write(folder.path().join(VALIDATION_FILE), [0xFF; 2]).unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let error = data
        .split(Split::Validation)
        .window(0, &mut read[..1])
        .unwrap_err()
        .to_string();
    assert!(error.contains("val.bin") && error.contains("50257") && error.contains("65535"));
    assert!(data.verify().is_err());

    fs::write(folder.path().join(VALIDATION_FILE), [0; 3]).unwrap();
    assert!(error_of(folder.path()).contains("val.bin is damaged"));
    fs::write(folder.path().join("meta.pkl"), "").unwrap();
    assert!(error_of(folder.path()).contains("meta.pkl"));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for file in [TRAIN_FILE, VALIDATION_FILE, TOKENIZER_FILE] {
        prepared(folder.path(), b"text", b"more");
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = error_of(folder.path());
        assert!(
            error.contains(file) && error.contains("ldrop data prepare"),
            "{error}"
        );
    }
    let error = error_of(&folder.path().join("nowhere"));
    assert!(
        error.contains("nowhere: there is no such file or folder; "),
        "{error}"
    );
}

#[test]
fn a_text_is_answered_with_the_command_that_prepares_it() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("my books.txt.gz");
    fs::write(&text, "text").unwrap();
    let command = format!(
        "is a file, not a data folder; make one with `ldrop data prepare '{}' --out 'data/my books'`",
        text.display()
    );
    assert!(error_of(&text).contains(&command), "{}", error_of(&text));
    let error = error_of(root.path());
    let name = root.path().display();
    assert!(
        error.contains(&format!("ldrop data prepare {name} --out data/")),
        "{error}"
    );
    fs::write(root.path().join("config.json"), "{}").unwrap();
    fs::write(root.path().join("model.safetensors"), "").unwrap();
    let error = error_of(root.path());
    assert!(
        error.contains("it is a model folder, not a data folder"),
        "{error}"
    );
}

/// What is hashed is what is used, so a folder whose tokenizer changes after it was opened is refused.
#[test]
fn a_tokenizer_that_changes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path(), b"text", b"more");
    let data = DataFolder::open(folder.path()).unwrap();
    let other = Tokenizer::characters(&"abc".chars().collect());
    other.save(folder.path().join(TOKENIZER_FILE)).unwrap();
    let error = data.tokenizer().unwrap_err().to_string();
    assert!(
        error.contains("tokenizer.json is damaged: expected hash"),
        "{error}"
    );
    assert!(error.contains("as `meta.json` says"), "{error}");
}

/// Reading `/dev/zero` would never end.
#[cfg(unix)]
#[test]
fn a_tokenizer_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path(), b"text", b"more");
    let path = folder.path().join(TOKENIZER_FILE);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let error = error_of(folder.path());
    assert!(
        error.contains("tokenizer.json") && error.contains("it has more than 268435456 bytes"),
        "{error}"
    );
}

#[test]
fn token_files_of_another_length_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path(), b"training", b"validation");
    for file in [TRAIN_FILE, VALIDATION_FILE] {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).chain([whole.len() + 1, whole.len() + 2]) {
            let mut changed = whole.clone();
            changed.resize(length, 0);
            fs::write(&path, changed).unwrap();
            let error = error_of(folder.path());
            assert!(
                error.contains(file) && error.contains(&format!("{length} bytes")),
                "{error}"
            );
        }
        fs::write(&path, whole).unwrap();
    }
    DataFolder::open(folder.path()).unwrap();
}

#[test]
fn impossible_descriptions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path(), b"training", b"validation");
    let path = folder.path().join(META_FILE);
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut refused = |key: &str, value: serde_json::Value, reason: &str| {
        let before = std::mem::replace(file.pointer_mut(key).unwrap(), value);
        fs::write(&path, file.to_string()).unwrap();
        let error = error_of(folder.path());
        assert!(error.contains(reason), "{error}");
        *file.pointer_mut(key).unwrap() = before;
    };
    refused(
        "/format",
        2.into(),
        "meta.json cannot be read: it has format version 2",
    );
    refused("/vocabulary", 0.into(), "meta.json is damaged");
    refused(
        "/vocabulary",
        70_000.into(),
        "`token_type` that holds every id",
    );
    refused("/vocabulary", u64::MAX.into(), "meta.json is damaged");
    refused(
        "/end_of_text",
        256.into(),
        "`end_of_text` below `vocabulary`",
    );
    refused("/train/tokens", u64::MAX.into(), "train.bin is damaged");
    refused("/validation/tokens", 9.into(), "val.bin is damaged");
    refused("/train/hash", "00".into(), "train.bin is damaged");
    refused("/tokenizer_hash", "00".into(), "tokenizer.json is damaged");
    refused(
        "/tokenizer",
        "bpe:many".into(),
        "no tokenizer is called `bpe:many`",
    );
    refused("/token_type", "u8".into(), "meta.json is damaged");
    refused("/documents", (-1).into(), "meta.json is damaged");

    file["vocabulary"] = 300.into();
    fs::write(&path, file.to_string()).unwrap();
    let error = DataFolder::open(folder.path())
        .unwrap()
        .tokenizer()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("300 tokens"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bytes_are_found(
        file in prop::sample::select(&[TRAIN_FILE, VALIDATION_FILE, META_FILE, TOKENIZER_FILE][..]),
        index in any::<prop::sample::Index>(),
        value in any::<u8>(),
        length in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path(), b"training", b"validation");
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        if truncate {
            changed.truncate(length.index(whole.len()));
        } else {
            *index.get_mut(&mut changed) = value;
        }
        fs::write(&path, &changed).unwrap();
        match DataFolder::open(folder.path()).and_then(|data| data.tokenizer()) {
            Err(error) => {
                let message = error.to_string();
                // A number of `meta.json` may be what another file disagrees with.
                let named = message.contains(file) || (file == META_FILE && changed != whole);
                prop_assert!(named, "{}", message);
            }
            // White space, or a count or name that nothing can be compared with.
            Ok(_) => prop_assert!(changed == whole || file == META_FILE),
        }
    }
}
