//! Pictures in a real browser: that nothing covers a name, and nothing is cut off.

use std::path::Path;

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{Report, Theme};

use crate::browser::{self, Browser};
use crate::page_checks::{nothing_went_wrong, number, pictures, text};
use crate::pictures::{report, strips};

/// Pairs of texts that overlap by more than a pixel, and texts that reach out of the picture.
pub const BAD_TEXTS: &str = "(() => { const texts = [...document.querySelectorAll('text')]; \
    const box = text => text.getBoundingClientRect(); \
    const width = document.documentElement.getBoundingClientRect(); const bad = []; \
    texts.forEach((a, i) => { const p = box(a); \
    if (p.left < width.left || p.right > width.right || p.top < width.top || p.bottom > width.bottom) \
    bad.push(`outside: ${a.textContent}`); \
    texts.slice(i + 1).forEach(b => { const q = box(b); \
    const across = Math.min(p.right, q.right) - Math.max(p.left, q.left); \
    const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top); \
    if (across > 1 && down > 4) bad.push(`${a.textContent} | ${b.textContent}`); }); }); \
    return bad.join('; '); })()";

#[test]
fn names_are_readable() {
    let Some(name) = browser::wanted() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let results = results.canonicalize().expect("the results");
    let published = |study: &str, kind| {
        let report = Report::read(&[results.join(study)]).expect("a study");
        report.picture(Some(kind), Theme::Auto).expect("a picture")
    };
    let flops = ChartKind::LossAgainstFlops;
    let shown = [
        (
            "small",
            report()
                .picture(Some(flops), Theme::Auto)
                .expect("a picture"),
        ),
        (
            "small-lines",
            report().picture(None, Theme::Auto).expect("a picture"),
        ),
        ("strips", strips(Theme::Auto)),
        ("sparsity", published("sparsity", flops)),
        (
            "speed",
            published("sparsity", ChartKind::LossAgainstDecodeSpeed),
        ),
        (
            "schedule",
            published("penalty-schedule", ChartKind::ValidationLoss),
        ),
        (
            "longer",
            published("longer-runs", ChartKind::ValidationLoss),
        ),
    ];
    let mut browser = Browser::start(name, &folder.path().join("profile"));
    for (name, picture) in shown {
        let file = folder.path().join(format!("{name}.svg"));
        std::fs::write(&file, picture).expect("written");
        browser.events.clear();
        browser.open(&file, 1000, 700);
        assert!(number(&mut browser, "document.querySelectorAll('text').length") > 3);
        assert_eq!(text(&mut browser, BAD_TEXTS), "", "{name}");
        if let Some(pictures) = pictures() {
            browser.picture(&pictures.join(format!("picture-{name}.png")));
        }
        nothing_went_wrong(&browser, &file);
    }
}
