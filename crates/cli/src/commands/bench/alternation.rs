//! Times rounds of several engines in alternation, so that a machine that becomes slower or faster meanwhile
//! does so for all of them.

use std::time::Instant;

use inference::{Engine, MaskStatistics};

use super::engines::Engines;
use crate::failure::Failure;
use crate::terminal::progress_bar;

/// The rounds of a model.
pub struct Timed {
    /// Seconds of each round of the dense engine.
    pub dense: Vec<f64>,
    /// Those of the sparse one; none where there is nothing to leave out.
    pub sparse: Option<Vec<f64>>,
    /// Statistics of the sparse engine's masks.
    pub masks: Option<MaskStatistics>,
}

/// Lets an engine of the model with this index read; gives the statistics of its masks.
pub type Read<'a> = dyn Fn(usize, &Engine) -> Result<Option<MaskStatistics>, Failure> + 'a;

/// Times rounds of all models, after a first round that does not count. `read` is timed.
///
/// In every round each model has its turn, first dense and then sparse. Every second round goes backwards, so
/// that what changes steadily, such as the temperature of the processor, adds as much to one as to another.
pub fn alternate(
    models: &[Engines],
    rounds: u32,
    quiet: bool,
    read: &Read<'_>,
) -> Result<Vec<Timed>, Failure> {
    let turns: Vec<Turn<'_>> = models.iter().enumerate().flat_map(turns_of).collect();
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); turns.len()];
    let mut masks: Vec<Option<MaskStatistics>> = vec![None; models.len()];
    let bar = progress_bar(
        Some((u64::from(rounds) + 1) * turns.len() as u64),
        "{wide_bar} {pos}/{len} measurements",
        quiet,
    );
    for round in 0..=rounds {
        for place in order(turns.len(), round) {
            let turn = &turns[place];
            let began = Instant::now();
            let of_masks = read(turn.model, turn.engine)?;
            let took = began.elapsed().as_secs_f64().max(1e-9);
            if round > 0 {
                seconds[place].push(took);
            }
            if turn.is_sparse {
                masks[turn.model] = of_masks;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let mut timed: Vec<Timed> = Vec::with_capacity(models.len());
    for (turn, seconds) in turns.iter().zip(seconds) {
        if turn.is_sparse {
            timed[turn.model].sparse = Some(seconds);
        } else {
            timed.push(Timed {
                sparse: None,
                dense: seconds,
                masks: masks[turn.model].take(),
            });
        }
    }
    Ok(timed)
}

/// An engine and whose it is.
struct Turn<'a> {
    model: usize,
    engine: &'a Engine,
    is_sparse: bool,
}

fn turns_of((model, engines): (usize, &Engines)) -> impl Iterator<Item = Turn<'_>> {
    let dense = Some((&engines.dense, false));
    let sparse = engines.sparse.as_ref().map(|engine| (engine, true));
    let turn = move |(engine, is_sparse)| Turn {
        model,
        engine,
        is_sparse,
    };
    dense.into_iter().chain(sparse).map(turn)
}

/// The order of the turns in a round.
fn order(turns: usize, round: u32) -> impl Iterator<Item = usize> {
    let backwards = round % 2 == 1;
    (0..turns).map(move |place| if backwards { turns - 1 - place } else { place })
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_second_round_goes_backwards() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [2, 1, 0], [0, 1, 2]]);
    }
}
