//! The folder of an experiment that was never run: its numbers are chosen, so that what a report
//! makes of them can be worked out by hand.

use std::path::Path;

use serde_json::{Value, json};

/// Steps at which the runs were evaluated.
const EVALUATED: [u64; 4] = [10, 20, 30, 40];

/// An arm: name, label, whether it has masks, and the last validation losses of seeds 1 and 2.
struct Arm {
    name: &'static str,
    label: &'static str,
    masked: bool,
    losses: [f64; 2],
}

const ARMS: [Arm; 3] = [
    Arm {
        name: "learned",
        label: "Learned <dropout> & more",
        masked: true,
        losses: [3.0, 3.2],
    },
    Arm {
        name: "baseline",
        label: "Baseline",
        masked: false,
        losses: [3.3, 3.3],
    },
    Arm {
        name: "broken",
        label: "Broken",
        masked: true,
        losses: [9.0, 9.0],
    },
];

/// Writes the folder: three arms of two seeds. Of the third arm one run has failed and one has
/// not begun.
pub fn write(folder: &Path) {
    let arms: Vec<Value> = ARMS
        .iter()
        .map(|arm| match arm.name {
            "learned" => json!({
                "name": arm.name, "label": arm.label,
                "published": {"train": 2.9, "validation": 3.4, "kept": 0.62},
            }),
            _ => json!({"name": arm.name, "label": arm.label}),
        })
        .collect();
    let outline = json!({
        "title": "A study", "description": "First </script> paragraph.\n\nSecond one.",
        "file": "study file.toml", "seeds": [1, 2], "arms": arms,
        "a key of a later version": 1,
    });
    std::fs::write(folder.join("experiment.json"), outline.to_string()).expect("written");
    for arm in &ARMS {
        for seed in [1, 2] {
            if (arm.name, seed) != ("broken", 2) {
                write_run(folder, arm, seed);
            }
        }
    }
    let failure = folder.join("runs/broken/seed-1/failure.txt");
    std::fs::write(failure, "step 11: the loss is NaN, <not> a number\n").expect("written");
}

fn write_run(folder: &Path, arm: &Arm, seed: usize) {
    let run = folder
        .join("runs")
        .join(arm.name)
        .join(format!("seed-{seed}"));
    std::fs::create_dir_all(&run).expect("made");
    let masks = if arm.masked {
        "[model.learned_dropout]\n"
    } else {
        ""
    };
    let config = format!(
        "seed = {seed}\ndata.path = 'data'\n[model]\nvocabulary = 10\ncontext = 4\nwidth = 2\n\
         heads = 1\nlayers = 2\n{masks}[train]\nsteps = 40\nbatch = 5\nprecision = 'f32'\n"
    );
    std::fs::write(run.join("config.toml"), config).expect("written");
    let steps = if arm.name == "broken" { 10 } else { 40 };
    let mut lines = vec![json!({
        "kind": "environment", "step": 0, "program": "ldrop 9", "processor": "A processor",
        "device": "cpu", "threads": 2,
    })];
    for step in 1..=steps {
        // Half of the tokens at 100 a second, half at 300: 800 tokens in 4 s + 4/3 s = 150 a second.
        let speed = if step <= 20 { 100.0 } else { 300.0 };
        lines.push(json!({
            "kind": "step", "step": step, "tokens": step * 20, "loss": 4.0 - step as f64 / 50.0,
            "tokens_per_second": speed, "learning_rate": 1e-3 * step as f64 / 40.0,
            "gradient_norm": 0.5, "of a later version": {"x": 1},
        }));
        if EVALUATED.contains(&step) {
            lines.push(evaluation(arm, seed, step));
        }
    }
    lines.push(json!({"kind": "sample", "step": steps, "text": "Once <upon>\na time"}));
    lines.push(json!({"kind": "of a later version", "step": 1}));
    let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.push_str("{\"kind\":\"step\",\"st");
    std::fs::write(run.join("metrics.jsonl"), text).expect("written");
}

/// Losses fall by 0.1 from one evaluation to the next; the share of ones does so too.
fn evaluation(arm: &Arm, seed: usize, step: u64) -> Value {
    let left = (40 - step) as f64 / 100.0;
    let validation = arm.losses[seed - 1] + left;
    let kept = 0.25 * seed as f64 + left;
    let mask = arm
        .masked
        .then(|| json!({"kept": kept, "layers": [{"kept": kept + 0.05}, {"kept": kept - 0.05}]}));
    json!({
        "kind": "evaluation", "step": step, "train_loss": validation - 0.5,
        "validation_loss": validation, "best": true, "mask": mask,
    })
}
