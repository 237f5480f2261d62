//! What `eval` reads: a data folder, or a text that is prepared for the evaluation alone.

use std::path::Path;

use data::sources::Source;
use data::{
    DataError, DataFolder, EvaluationData, Split, Tokenizer, Tokens, prepare_for_evaluation,
};
use model::TransformerConfig;
use training::stored_model::StoredModel;

use crate::arguments::{Common, EvalArguments, SplitName};
use crate::commands::data::left_out_lines;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{Stages, print_message};

/// What an evaluation reads.
pub enum Evaluated {
    /// A part of a data folder, and the tokenizer that made it.
    Part {
        folder: Box<DataFolder>,
        split: Split,
        tokenizer: Box<Tokenizer>,
    },
    /// A text; its temporary files are removed when this is dropped.
    Text(Box<EvaluationData>),
}

impl Evaluated {
    /// Finds what the arguments name, and prepares it if it is a text. The model's configuration is `config`.
    pub fn find(
        arguments: &EvalArguments,
        stored: &StoredModel,
        config: &TransformerConfig,
        common: &Common,
    ) -> Result<Self, Failure> {
        let part = |folder: DataFolder, split| -> Result<Self, Failure> {
            Ok(Self::Part {
                tokenizer: Box::new(stored.tokenizer_for(config, &folder)?),
                folder: Box::new(folder),
                split,
            })
        };
        let split = match arguments.split {
            Some(SplitName::Train) => Split::Train,
            Some(SplitName::Validation) | None => Split::Validation,
        };
        let Some(path) = &arguments.data else {
            return match stored.training_data()? {
                Some(folder) => part(folder, split),
                None => Err(Failure::Usage(format!(
                    "{}: the model is not part of a run that names its training data; give --data",
                    arguments.model.display()
                ))),
            };
        };
        let Some(source) = text(path)? else {
            return part(DataFolder::open(path)?, split);
        };
        if arguments.split.is_some() {
            return Err(Failure::Usage(format!(
                "--split: {} is a text, which has no parts; leave the option out",
                path.display()
            )));
        }
        prepare(path, source, (stored, config), common).map(|text| Self::Text(Box::new(text)))
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        match self {
            Self::Part { folder, .. } => folder,
            Self::Text(text) => text.folder(),
        }
    }

    /// The tokenizer that made the tokens: the model's.
    pub fn tokenizer(&self) -> &Tokenizer {
        match self {
            Self::Part { tokenizer, .. } => tokenizer,
            Self::Text(text) => text.tokenizer(),
        }
    }

    /// The tokens to predict.
    pub fn tokens(&self) -> &Tokens {
        match self {
            Self::Part { folder, split, .. } => folder.split(*split),
            Self::Text(text) => text.folder().split(Split::Validation),
        }
    }

    /// The data folder whose training part says what inputs are small: its own, or that of the model's run.
    pub fn calibration(&self, stored: &StoredModel) -> Result<Option<DataFolder>, Failure> {
        match self {
            Self::Part { folder, .. } if !folder.split(Split::Train).is_empty() => Ok(None),
            // A text, or a folder for evaluations only.
            _ => stored.training_data()?.map(Some).ok_or_else(|| {
                Failure::Usage(
                    "--threshold-sparsity is calibrated on training text: give --data a data folder \
                     that has some, or take a model of a run that names its training data"
                        .into(),
                )
            }),
        }
    }
}

/// The text that a path stands for; none if it is a data folder or leads nowhere.
fn text(path: &Path) -> Result<Option<Source>, Failure> {
    if data::folder::is_data_folder(path) {
        return Ok(None);
    }
    let source = match path.to_str() {
        Some(typed) => typed.parse().map_err(DataError::from)?,
        None => Source::Path(path.into()),
    };
    let is_there = !matches!(&source, Source::Path(path) if !path.exists());
    Ok(is_there.then_some(source))
}

fn prepare(
    path: &Path,
    source: Source,
    (stored, config): (&StoredModel, &TransformerConfig),
    common: &Common,
) -> Result<EvaluationData, Failure> {
    let tokenizer = stored.required_tokenizer()?;
    if tokenizer.vocabulary() > config.vocabulary {
        return Err(Failure::work(format!(
            "{}: the tokenizer in this folder has {} tokens, the model knows {}; put the model's own \
             `tokenizer.json` there",
            stored.folder().display(),
            tokenizer.vocabulary(),
            config.vocabulary
        )));
    }
    stop::give_up_on_signals()?;
    let stages = Stages::new(common.quiet);
    let text = prepare_for_evaluation(vec![source], tokenizer, common.threads(), &stages)?;
    // The text is another one than was named, so --quiet does not hide it.
    for line in left_out_lines(&text.prepared().left_out) {
        print_message(&line);
    }
    let tokens = text.folder().split(Split::Validation).len();
    if tokens < 2 {
        return Err(Failure::work(format!(
            "{}: the text has {tokens} tokens; an evaluation needs at least 2",
            path.display()
        )));
    }
    Ok(text)
}
