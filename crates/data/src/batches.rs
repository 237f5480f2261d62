//! Batches: windows of tokens as inputs, and the same windows one token later as targets.

use crate::error::DataError;
use crate::folder::Tokens;

/// The most tokens of one batch: a limit far above real batches.
const LARGEST_BATCH: usize = 1 << 32;

/// `batch` windows of `context` tokens, each with the tokens that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Shape `[batch, context]`, row after row.
    pub inputs: Vec<u32>,
    /// Shape `[batch, context]`: for each input the token after it.
    pub targets: Vec<u32>,
    /// The number of windows.
    pub batch: usize,
    /// The length of each window.
    pub context: usize,
}

/// Draws `batch` windows at uniformly random offsets.
///
/// `uniform` is called once per window, in order, for a whole number in `[0, bound)`. The bound is the
/// number of possible offsets, `tokens.len() - context`.
///
/// # Errors
/// `batch` or `context` is zero or far too large, the data has fewer than `context + 1` tokens, or an
/// id is damaged.
pub fn sample(
    tokens: &Tokens,
    batch: usize,
    context: usize,
    uniform: &mut dyn FnMut(u64) -> u64,
) -> Result<Batch, DataError> {
    check_size("batch", batch, 1)?;
    check_size("context", context, batch)?;
    let needed = context + 1;
    let offsets = tokens.len().saturating_sub(context);
    if offsets == 0 {
        return Err(DataError::TooShort {
            path: tokens.path().into(),
            tokens: tokens.len(),
            needed,
        });
    }
    let mut drawn = Batch {
        inputs: Vec::with_capacity(batch * context),
        targets: Vec::with_capacity(batch * context),
        batch,
        context,
    };
    let mut window = vec![0; needed];
    for _ in 0..batch {
        let offset = uniform(offsets as u64) as usize;
        tokens.window(offset, &mut window)?;
        drawn.inputs.extend_from_slice(&window[..context]);
        drawn.targets.extend_from_slice(&window[1..]);
    }
    Ok(drawn)
}

fn check_size(name: &'static str, size: usize, rows: usize) -> Result<(), DataError> {
    if size > 0
        && size
            .checked_mul(rows)
            .is_some_and(|all| all <= LARGEST_BATCH)
    {
        return Ok(());
    }
    Err(DataError::Value {
        name,
        found: size.to_string(),
        expected: "at least 1, and at most 4294967296 tokens in a batch",
    })
}

/// A window of a full pass over the tokens. See [`windows`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// At most `context` tokens.
    pub inputs: Vec<u32>,
    /// For each input the token after it.
    pub targets: Vec<u32>,
}

/// Iterator over windows that do not overlap, from the first token to the last. See [`windows`].
#[derive(Debug)]
pub struct Windows<'a> {
    tokens: &'a Tokens,
    context: usize,
    position: usize,
}

/// Windows of `context` tokens in which every token but the first is a target exactly once; the last
/// window may be shorter.
///
/// # Errors
/// `context` is zero, or there are fewer than two tokens.
pub fn windows(tokens: &Tokens, context: usize) -> Result<Windows<'_>, DataError> {
    check_size("context", context, 1)?;
    if tokens.len() < 2 {
        return Err(DataError::TooShort {
            path: tokens.path().into(),
            tokens: tokens.len(),
            needed: 2,
        });
    }
    Ok(Windows {
        tokens,
        context,
        position: 0,
    })
}

impl Iterator for Windows<'_> {
    type Item = Result<Window, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let targets_left = self.tokens.len() - 1 - self.position;
        let length = targets_left.min(self.context);
        if length == 0 {
            return None;
        }
        let mut inputs = vec![0; length + 1];
        if let Err(error) = self.tokens.window(self.position, &mut inputs) {
            self.position = self.tokens.len() - 1;
            return Some(Err(error));
        }
        self.position += length;
        let targets = inputs[1..].to_vec();
        inputs.pop();
        Some(Ok(Window { inputs, targets }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.tokens.len() - 1 - self.position).div_ceil(self.context);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Windows<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{DataFolder, Split, TRAIN_FILE, VALIDATION_FILE};

    /// The numbers below `count` as a training part.
    fn counting(count: u16) -> (tempfile::TempDir, DataFolder) {
        let folder = tempfile::tempdir().unwrap();
        let ids: Vec<u8> = (0..count).flat_map(u16::to_le_bytes).collect();
        std::fs::write(folder.path().join(TRAIN_FILE), ids).unwrap();
        std::fs::write(folder.path().join(VALIDATION_FILE), []).unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        (folder, data)
    }

    #[test]
    fn windows_are_where_the_numbers_say() {
        let (_folder, data) = counting(10);
        let mut offsets = [6, 0].into_iter();
        let mut bounds = Vec::new();
        let mut uniform = |bound| {
            bounds.push(bound);
            offsets.next().unwrap()
        };
        let batch = sample(data.split(Split::Train), 2, 3, &mut uniform).unwrap();
        assert_eq!(batch.inputs, [6, 7, 8, 0, 1, 2]);
        assert_eq!(batch.targets, [7, 8, 9, 1, 2, 3]);
        assert_eq!((batch.batch, batch.context), (2, 3));
        // The last offset is 6: its last target is the last token.
        assert_eq!(bounds, [7, 7]);
    }

    #[test]
    fn too_little_data_is_an_error() {
        let (_folder, data) = counting(4);
        let mut zero = |_| 0;
        let train = data.split(Split::Train);
        assert_eq!(sample(train, 1, 3, &mut zero).unwrap().targets, [1, 2, 3]);
        let error = sample(train, 1, 4, &mut zero).unwrap_err().to_string();
        assert!(error.contains("has 4 tokens, but 5 are needed"), "{error}");
        // Of a training part that is too short, validation text becomes no more.
        assert!(
            error.contains("smaller validation share, or a shorter context"),
            "{error}"
        );
        let empty = data.split(Split::Validation);
        assert!(matches!(
            sample(empty, 1, 1, &mut zero),
            Err(DataError::TooShort { .. })
        ));
        let error = sample(empty, 1, 4, &mut zero).unwrap_err().to_string();
        assert!(error.contains("larger validation share"), "{error}");
        let error = windows(empty, 1).unwrap_err();
        assert!(matches!(error, DataError::TooShort { .. }));
        assert!(!error.to_string().contains("context"), "{error}");
        for (batch, context) in [(0, 1), (1, 0), (usize::MAX, 2), (2, usize::MAX)] {
            let error = sample(train, batch, context, &mut zero);
            assert!(matches!(error, Err(DataError::Value { .. })));
        }
        // A number beyond the bound is an error too.
        assert!(sample(train, 1, 2, &mut |bound| bound).is_err());
    }

    #[test]
    fn a_full_pass_has_every_target_once() {
        let (_folder, data) = counting(12);
        let train = data.split(Split::Train);
        for context in 1..14 {
            let pass = windows(train, context).unwrap();
            assert_eq!(pass.len(), 11_usize.div_ceil(context));
            let pass: Vec<Window> = pass.map(Result::unwrap).collect();
            let targets: Vec<u32> = pass
                .iter()
                .flat_map(|window| window.targets.clone())
                .collect();
            let inputs: Vec<u32> = pass
                .iter()
                .flat_map(|window| window.inputs.clone())
                .collect();
            assert_eq!(targets, (1..12).collect::<Vec<_>>());
            assert_eq!(inputs, (0..11).collect::<Vec<_>>());
            assert!(
                pass[..pass.len() - 1]
                    .iter()
                    .all(|window| window.inputs.len() == context)
            );
        }
        assert!(windows(train, 0).is_err());
    }
}
