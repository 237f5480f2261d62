//! What readers of a comparison should know about single runs.

use super::Section;
use crate::config::EvaluatedPart;

/// Losses that were not measured alike, runs that ended before their last step, and those whose configuration
/// was changed on the way: one sentence for each.
pub(super) fn run_notes(section: &Section) -> Vec<String> {
    let mut notes: Vec<String> = parts_note(section).into_iter().collect();
    for (arm, run) in section.runs() {
        let name = format!("{}, seed {}", arm.label, run.config.seed);
        notes.extend(run.early_end().map(|end| format!("{name}: {end}.")));
        notes.extend(run.changes.iter().map(|change| {
            let step = change.step;
            format!("{name}: changed after step {step}: {change}.")
        }));
    }
    notes
}

/// Which arms were evaluated on what, if that is not the same for all of them.
fn parts_note(section: &Section) -> Option<String> {
    let mut parts: Vec<(EvaluatedPart, Vec<&str>)> = Vec::new();
    for (arm, run) in section.runs() {
        let (part, label) = (EvaluatedPart::of(&run.config), arm.label.as_str());
        match parts.iter_mut().find(|(of, _)| *of == part) {
            Some((_, labels)) if labels.contains(&label) => {}
            Some((_, labels)) => labels.push(label),
            None => parts.push((part, vec![label])),
        }
    }
    let shown =
        |(part, labels): &(EvaluatedPart, Vec<&str>)| format!("{part}: {}", labels.join(", "));
    let shown: Vec<String> = parts.iter().map(shown).collect();
    (parts.len() > 1).then(|| {
        format!(
            "The losses were not all measured alike, so they differ by more than the models. Evaluations read {}.",
            shown.join("; ")
        )
    })
}
