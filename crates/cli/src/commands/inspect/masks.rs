//! The analysis of a model's masks for a text: which tokens keep which values.

use std::path::Path;

use data::{DataFolder, Split, TextStream, Tokenizer, windows};
use inference::{Engine, MaskValues};
use model::files::write_atomically;
use training::masks::{MaskAnalysis, MaskStudy, MaskWindow, Overlap, StudiedToken};
use training::report::{mask_page, token_strips};
use training::stored_model::StoredModel;

use crate::arguments::InspectArguments;
use crate::failure::Failure;
use crate::terminal::{print, print_message, progress_bar, thousands};

/// The first tokens of a text, at most `limit`, in windows as long as the context.
pub fn text_windows<'a>(ids: &'a [u32], engine: &Engine, limit: u64) -> Vec<&'a [u32]> {
    let count = usize::try_from(limit).unwrap_or(usize::MAX).min(ids.len());
    ids[..count].chunks(engine.config().context).collect()
}

/// The first tokens of a data folder's validation part, at most --max-tokens, in windows as long as
/// the context; and the tokenizer of the data.
pub fn data_windows(
    arguments: &InspectArguments,
    engine: &Engine,
    folder: &DataFolder,
) -> Result<(Vec<Vec<u32>>, Tokenizer), Failure> {
    let config = engine.config();
    let tokenizer = StoredModel::find(&arguments.model)?.tokenizer_for(config, folder)?;
    let mut left = arguments.max_tokens as usize;
    let mut all = Vec::new();
    for window in windows(folder.split(Split::Validation), config.context)? {
        let mut ids = window?.inputs;
        ids.truncate(left);
        left -= ids.len();
        all.push(ids);
        if left == 0 {
            break;
        }
    }
    Ok((all, tokenizer))
}

/// Computes the masks of windows. Each window begins with an empty context.
pub fn study(
    engine: &Engine,
    windows: &[&[u32]],
    tokenizer: Option<&Tokenizer>,
    quiet: bool,
) -> Result<MaskStudy, Failure> {
    let mut study = MaskStudy::default();
    let bar = progress_bar(
        Some(windows.iter().map(|ids| ids.len() as u64).sum()),
        "{wide_bar} {pos}/{len} tokens, {per_sec}, {eta} left",
        quiet,
    );
    for ids in windows {
        let masks: Vec<MaskWindow> = engine
            .mask_values(ids)?
            .into_iter()
            .map(mask_window)
            .collect();
        study.add(studied_tokens(ids, tokenizer), &masks);
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();
    Ok(study)
}

fn mask_window(mask: MaskValues) -> MaskWindow {
    MaskWindow {
        site: mask.site,
        layer: mask.layer,
        width: mask.width,
        values: mask.values,
        kept_from: mask.kept_from,
    }
}

fn studied_tokens(ids: &[u32], tokenizer: Option<&Tokenizer>) -> Vec<StudiedToken> {
    let mut stream = tokenizer.map(TextStream::new);
    let mut text = |id: u32| {
        stream
            .as_mut()
            .map_or(String::new(), |stream| stream.push(id))
    };
    ids.iter()
        .map(|&id| StudiedToken { id, text: text(id) })
        .collect()
}

/// Writes the page and the picture of a study, where they are wanted.
pub fn write_files(
    study: &MaskStudy,
    source: &str,
    arguments: &InspectArguments,
) -> Result<(), Failure> {
    let model = arguments.model.display();
    if let Some(path) = &arguments.html {
        let page = mask_page(study, &model.to_string(), source);
        write_file(path, page, arguments)?;
    }
    if let Some(path) = &arguments.svg {
        let title = format!("What the masks of {model} keep, token by token");
        let picture = token_strips(study, arguments.theme, &title);
        write_file(path, picture, arguments)?;
    }
    Ok(())
}

fn write_file(
    path: &Path,
    text: Option<String>,
    arguments: &InspectArguments,
) -> Result<(), Failure> {
    let text = text.ok_or_else(|| no_masks_failure(arguments))?;
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
    print_message(&format!("wrote {}", path.display()));
    Ok(())
}

/// The failure of analysing the masks of a model without masks.
pub fn no_masks_failure(arguments: &InspectArguments) -> Failure {
    Failure::Usage(format!(
        "{}: the model has no learned masks to analyse; the table `[model.learned_dropout]` in a \
         run's configuration adds them",
        arguments.model.display()
    ))
}

/// Prints the results of a study.
pub fn print_analysis(found: &MaskAnalysis) -> Result<(), Failure> {
    let percent =
        |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.2}%", share * 100.0));
    print(&format!(
        "masks of {} tokens:",
        thousands(found.tokens as u64)
    ))?;
    for (name, share) in [
        ("kept", found.kept),
        ("always kept", found.always_kept),
        ("never kept", found.never_kept),
    ] {
        print(&format!("  {name:20} {:>8}", percent(Some(share))))?;
    }
    let Overlap {
        any,
        neighbours,
        same_token,
        chance,
    } = found.overlap;
    for (name, share) in [
        ("overlap of two tokens", any),
        ("by chance", chance),
        ("of neighbours", neighbours),
        ("of the same token", same_token),
    ] {
        print(&format!("  {name:20} {:>8}", percent(share)))?;
    }
    print("kept by kind of token:")?;
    for class in &found.classes {
        print(&format!(
            "  {:20} {:>8} of {} tokens",
            class.class.name(),
            percent(Some(class.kept)),
            thousands(class.tokens as u64)
        ))?;
    }
    Ok(())
}
