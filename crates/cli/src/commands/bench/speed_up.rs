//! The lines of a report that compare a sparse with a dense model.

use crate::failure::Failure;
use crate::terminal::print;

/// Prints how much faster a model is that leaves out what its masks drop: the ratio, and the deviation of
/// the rounds' own ratios if it is known.
pub fn print_speed_up(
    (speed_up, deviation): (f64, Option<f64>),
    ideal: f64,
    kept: f64,
) -> Result<(), Failure> {
    let deviation = deviation.map_or(String::new(), |of| format!(" ± {of:.2}"));
    print(&format!(
        "speed-up      {speed_up:.2}{deviation}, ideal {ideal:.2}\n\
         kept          {:.1}% of the mask values",
        kept * 100.0
    ))
}
