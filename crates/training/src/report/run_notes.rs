//! What readers of a comparison should know about single runs.

use super::Section;

/// Runs that ended before their last step, and those whose configuration was changed on the way: one
/// sentence for each.
pub(super) fn run_notes(section: &Section) -> Vec<String> {
    let mut notes = Vec::new();
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
