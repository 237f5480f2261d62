//! Channels that are selected and put back in their place.

mod common;

use common::{at_every_level, on_any_threads, values};
use learned_dropout_kernels::channels::{place, select};

#[test]
fn rows_worked_by_hand() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(select(&x, 3, 1..3), [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(select(&x, 3, 0..1), [1.0, 4.0]);
    assert_eq!(place(&[7.0, 8.0], 3, 1..2), [0.0, 7.0, 0.0, 0.0, 8.0, 0.0]);
    assert_eq!(place(&[7.0, 8.0], 2, 0..2), [7.0, 8.0]);
    assert!(select(&[], 3, 1..2).is_empty());
}

/// More values than one task takes: 16,384.
#[test]
fn what_is_placed_can_be_selected_again() {
    for (tokens, channels, range) in [(900, 40, 3..38), (3, 20_000, 1..2)] {
        let x = values(tokens * channels, 1);
        at_every_level(|_| {
            let selected = on_any_threads(|| select(&x, channels, range.clone()));
            let placed = on_any_threads(|| place(&selected, channels, range.clone()));
            for (index, (placed, x)) in placed.iter().zip(&x).enumerate() {
                let inside = range.contains(&(index % channels));
                assert_eq!(*placed, if inside { *x } else { 0.0 });
            }
            assert_eq!(select(&placed, channels, range.clone()), selected);
        });
    }
}
