//! Inputs that hold several files.

use xxhash_rust::xxh3::xxh3_128;

/// The parts of an input between zero bytes. Text files have none, so a fuzzer finds the parts easily.
pub(crate) fn split<const COUNT: usize>(bytes: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = bytes.splitn(COUNT, |&byte| byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The input with these parts.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&0)
}

/// A description in which the hash of each file replaces `HASH-OF-NAME`.
pub(crate) fn with_hashes(description: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(description) else {
        return description.to_vec();
    };
    let replace = |text: String, (name, contents): &(&str, &[u8])| {
        let hash = format!("{:032x}", xxh3_128(contents));
        text.replace(&format!("HASH-OF-{name}"), &hash)
    };
    files.iter().fold(text.to_owned(), replace).into_bytes()
}
