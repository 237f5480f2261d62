//! Quotes for italic and bold.

/// Removes runs of quotes as MediaWiki reads them: two for italic, three for bold, five for both.
/// Of four, and of a run that leaves both kinds open on the line, one is an apostrophe.
pub(super) fn remove(line: &str) -> String {
    let runs = quote_runs(line);
    let italic = runs
        .iter()
        .filter(|run| matches!(run.length, 2 | 5..))
        .count();
    let bold = runs
        .iter()
        .filter(|run| matches!(run.length, 3 | 4 | 5..))
        .count();
    let apostrophe = if italic % 2 == 1 && bold % 2 == 1 {
        unbalanced(line, &runs)
    } else {
        None
    };
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    for (number, run) in runs.iter().enumerate() {
        out.push_str(&line[from..run.at]);
        let kept = match run.length {
            4 => 1,
            length if length > 5 => length - 5,
            _ => usize::from(apostrophe == Some(number)),
        };
        out.extend(std::iter::repeat_n('\'', kept.min(1)));
        from = run.at + run.length;
    }
    out.push_str(&line[from..]);
    out
}

struct Run {
    at: usize,
    length: usize,
}

fn quote_runs(line: &str) -> Vec<Run> {
    let bytes = line.as_bytes();
    let mut runs = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..]
            .iter()
            .take_while(|&&byte| byte == b'\'')
            .count();
        if length >= 2 {
            runs.push(Run { at, length });
        }
        at += length.max(1);
    }
    runs
}

/// The bold run that is an apostrophe and an italic run: the first one after a one-letter word, else
/// after a longer word, else after a space.
fn unbalanced(line: &str, runs: &[Run]) -> Option<usize> {
    let rank = |run: &Run| {
        let mut before = line[..run.at].chars().rev();
        match (before.next(), before.next()) {
            (Some(' ') | None, _) => 2,
            (_, Some(' ')) => 0,
            _ => 1,
        }
    };
    (0..runs.len())
        .filter(|&number| runs[number].length == 3)
        .min_by_key(|&number| rank(&runs[number]))
}
