//! Text from a model: the tokens of a prompt, and generated tokens as text.

use std::ops::ControlFlow;

use data::{TextStream, Tokenizer};
use inference::{Engine, GenerateOptions, Generated, StopReason, generate};

use crate::failure::Failure;

/// The tokens of a prompt. An empty prompt becomes the end-of-text token, after which a document
/// begins, or a line break where the tokenizer has no such token.
pub fn prompt_ids(text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    let mut ids = tokenizer.encode(text);
    if ids.is_empty() {
        ids = tokenizer
            .end_of_text()
            .map_or_else(|| tokenizer.encode("\n"), |id| vec![id]);
    }
    if ids.is_empty() {
        return Err(Failure::work(
            "the tokenizer has no token to begin with; give a --prompt",
        ));
    }
    Ok(ids)
}

/// Generates text; `receive` gets it piece by piece, in whole characters.
pub fn stream_text(
    engine: &Engine,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    receive: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<Generated, Failure> {
    let mut stream = TextStream::new(tokenizer);
    let generated = generate(engine, prompt, options, &mut |id| receive(&stream.push(id)))?;
    if generated.stop != StopReason::Caller {
        let _ = receive(&stream.finish());
    }
    Ok(generated)
}
