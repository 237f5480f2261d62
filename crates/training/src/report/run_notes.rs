//! What readers of a comparison should know about single runs.

use super::Section;
use super::measured_on::{Difference, Measured, MeasuredOn};

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
    let mut parts: Vec<(MeasuredOn, Vec<&str>)> = Vec::new();
    for (arm, run) in section.runs() {
        let on = MeasuredOn::of(run, Measured::Validation)?;
        match parts
            .iter_mut()
            .find(|(of, _)| of.difference(&on).is_none())
        {
            Some((_, labels)) if labels.contains(&arm.label.as_str()) => {}
            Some((_, labels)) => labels.push(&arm.label),
            None => parts.push((on, vec![&arm.label])),
        }
    }
    let (first, _) = parts.first()?;
    let differs = |(on, _): &(MeasuredOn, _)| first.difference(on) == Some(Difference::Text);
    let has_texts = parts.iter().any(differs);
    let shown = |(on, labels): &(MeasuredOn, Vec<&str>)| {
        let folder = match has_texts {
            true => format!(" in {}", on.named.display()),
            false => String::new(),
        };
        format!("{}{folder}: {}", on.part, labels.join(", "))
    };
    let shown: Vec<String> = parts.iter().map(shown).collect();
    (parts.len() > 1).then(|| {
        format!(
            "The losses were not all measured alike, so they differ by more than the models. Evaluations read {}.",
            shown.join("; ")
        )
    })
}
