//! The arguments of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use data::TokenizerOrigin;
use data::sources::{FileFormat, OnError, Shard, Source};

/// Arguments of `data`.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// The command.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The commands of `data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Turn text into token files for training
    #[command(after_help = "Examples:
  ldrop data prepare enwiki-pages-articles.xml.bz2 --out data/wikipedia
  ldrop data prepare books/ notes.txt.gz --out data/books --tokenizer bpe:4096
  ldrop data prepare cargo --out data/rust --tokenizer bpe:8192 --max-text 100M
  ldrop data prepare hf:wikimedia/wikipedia:20231101.simple --out data/simple
  ldrop data prepare train.txt --validation-source valid.txt --out data/own
  ldrop data prepare other.txt --out data/other --tokenizer runs/books
  ldrop data prepare text/ --out shards/1 --tokenizer data/books --shard 1/8

The text is divided by position: by default the last tenth is for validation.")]
    Prepare(PrepareArguments),
    /// Join shards of `data prepare --shard`, or token files of datatrove, to one data folder
    #[command(after_help = "Examples:
  ldrop data merge shards/* --out data/text
  ldrop data merge tokens/*.ds --tokenizer gpt2 --out data/text

Shards give the same bytes as one machine that prepares all files with their tokenizer.")]
    Merge(MergeArguments),
}

/// Arguments of `data prepare`.
#[derive(Debug, Args)]
pub struct PrepareArguments {
    /// Files or folders (text, JSON lines, JSON, Parquet, Wikipedia dumps, each also .gz, .bz2 or .zst), `cargo`, `modular-addition:P`, or `hf:OWNER/NAME[:CONFIG]`
    #[arg(required_unless_present = "validation_sources", value_name = "SOURCE")]
    pub sources: Vec<Source>,
    /// The data folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// gpt2, bpe:N (trained on the training part), byte, char, or an existing tokenizer: a `tokenizer.json`, or a data, run or model folder
    #[arg(long, value_name = "KIND|PATH", default_value = "gpt2")]
    pub tokenizer: TokenizerOrigin,
    /// Share of the text, at its end, that becomes the validation part
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share, allow_negative_numbers = true)]
    pub validation: f64,
    /// An own text for the validation part, which can be a file, a folder or a dataset as SOURCE can; all of SOURCE is then for training. Without SOURCE the folder is for evaluations only. Can be given several times
    #[arg(
        long = "validation-source",
        value_name = "FILE",
        conflicts_with = "validation"
    )]
    pub validation_sources: Vec<Source>,
    /// Prepare the I-th of N parts of the files, with a tokenizer that needs no training; `ldrop data merge` joins the parts and divides them
    #[arg(long, value_name = "I/N", conflicts_with_all = ["max_text", "validation", "validation_sources"])]
    pub shard: Option<Shard>,
    /// Put no end-of-text token between documents
    #[arg(long)]
    pub no_end_of_text: bool,
    /// How to read files; the default goes by their names and contents, and stops where these differ
    #[arg(long, value_enum, default_value = "auto")]
    pub format: SourceFormat,
    /// Name of the column (Parquet) or key (JSON) that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// What to do about a record of JSON or Parquet that cannot be read
    #[arg(long, value_enum, value_name = "ACTION", default_value = "stop")]
    pub on_error: ErrorAction,
    /// Where a wiki's text gives several language variants, take this one, for example zh-tw or sr-el
    /// [default: the first one of the wiki's language]
    #[arg(
        long,
        value_name = "CODE",
        default_value = "",
        hide_default_value = true
    )]
    pub language_variant: String,
    /// Stop after this many bytes of text of SOURCE, for example 500k, 30M or 2G
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub max_text: Option<u64>,
}

/// Formats of files that hold text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceFormat {
    /// As name and content say
    Auto,
    /// Plain text in UTF-8, also source code and markup
    Text,
    /// One JSON object on each line
    #[value(name = "jsonl", aliases = ["json-lines", "ndjson"])]
    JsonLines,
    /// A JSON array of objects, or objects one after another
    Json,
    /// Parquet
    Parquet,
    /// A dump of MediaWiki (XML)
    #[value(alias = "mediawiki")]
    Wikipedia,
}

impl From<SourceFormat> for FileFormat {
    fn from(format: SourceFormat) -> Self {
        match format {
            SourceFormat::Auto => Self::Auto,
            SourceFormat::Text => Self::Text,
            SourceFormat::JsonLines => Self::JsonLines,
            SourceFormat::Json => Self::Json,
            SourceFormat::Parquet => Self::Parquet,
            SourceFormat::Wikipedia => Self::Wikipedia,
        }
    }
}

/// What can be done about a record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErrorAction {
    /// Stop; no data folder is made
    Stop,
    /// Leave it out; the first ten are named
    Skip,
}

impl From<ErrorAction> for OnError {
    fn from(action: ErrorAction) -> Self {
        match action {
            ErrorAction::Stop => Self::Stop,
            ErrorAction::Skip => Self::Skip,
        }
    }
}

/// Arguments of `data merge`.
#[derive(Debug, Args)]
pub struct MergeArguments {
    /// All shards of a text, in any order, or files of datatrove (NAME.ds, with NAME.ds.index beside each), in this order
    #[arg(required = true, value_name = "SHARD")]
    pub parts: Vec<PathBuf>,
    /// The data folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The tokenizer of datatrove's tokens: gpt2, byte, a `tokenizer.json`, or a data, run or model folder
    #[arg(long, value_name = "KIND|PATH")]
    pub tokenizer: Option<TokenizerOrigin>,
    /// Share of the text, at its end, that becomes the validation part
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share, allow_negative_numbers = true)]
    pub validation: f64,
}

/// Reads a number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((end, 'k' | 'K')) => (&text[..end], 1_000),
        Some((end, 'm' | 'M')) => (&text[..end], 1_000_000),
        Some((end, 'g' | 'G')) => (&text[..end], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number such as 500k, 30M or 2G")?;
    number.checked_mul(factor).ok_or_else(|| "too large".into())
}

/// Reads a share for validation.
fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..1.0).contains(share))
        .ok_or_else(|| "expected a number of at least 0 and below 1".into())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use data::sources::{FileFormat, OnError};

    use super::{ErrorAction, SourceFormat, bytes, share};

    /// Shards store these names, and messages give them.
    #[test]
    fn choices_are_named_as_they_are_typed() {
        for format in SourceFormat::value_variants() {
            let typed = format.to_possible_value().expect("it can be typed");
            assert_eq!(FileFormat::from(*format).to_string(), typed.get_name());
        }
        for action in ErrorAction::value_variants() {
            let typed = action.to_possible_value().expect("it can be typed");
            assert_eq!(OnError::from(*action).to_string(), typed.get_name());
        }
    }

    #[test]
    fn shares_for_validation() {
        assert_eq!(share("0"), Ok(0.0));
        assert_eq!(share("0.25"), Ok(0.25));
        for text in ["1", "-1", "-0.1", "1.5", "nan", "inf", "abc", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_of_text() {
        assert_eq!(bytes("12"), Ok(12));
        assert_eq!(bytes("30M"), Ok(30_000_000));
        assert_eq!(bytes("500k"), Ok(500_000));
        assert!(bytes("").is_err() && bytes("M").is_err() && bytes("-1").is_err());
        assert!(bytes("99999999999999999999").is_err() && bytes("99999999999G").is_err());
    }
}
