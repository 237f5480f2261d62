//! Inputs that hold several files.

/// The parts of an input between zero bytes. Text files have none, so a fuzzer finds the parts easily.
pub(crate) fn split<const COUNT: usize>(bytes: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = bytes.splitn(COUNT, |&byte| byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The input with these parts.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&0)
}
