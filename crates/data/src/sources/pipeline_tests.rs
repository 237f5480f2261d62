use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

/// The result of `work`, none if it panics. It must end within a minute, of which it takes milliseconds.
fn outcome<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = channel();
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
        // Whoever no longer waits has failed.
        let _ = sender.send(outcome);
    });
    result
        .recv_timeout(Duration::from_secs(60))
        .expect("the work ends")
}

/// Reads `count` inputs. Gives the texts; a text that something continues ends in `+`.
fn texts(
    threads: usize,
    limit: Option<u64>,
    count: usize,
    read: &Read<'_>,
) -> (Vec<String>, Vec<SourceRecord>, LeftOut) {
    let mut texts = Vec::new();
    let mut sink = |document: Document| {
        let end = if document.continues { "+" } else { "" };
        texts.push(document.text + end);
        Ok::<(), SourceError>(())
    };
    let mut pipeline = Pipeline::new(threads, limit, &mut sink);
    pipeline.read(count, read).expect("nothing fails");
    let (records, left_out) = pipeline.finish();
    (texts, records, left_out)
}

#[test]
fn a_conversion_that_panics_ends_the_reading() {
    for threads in [1, 2] {
        let outcome = outcome(move || {
            texts(threads, None, 1, &|_, producer| {
                producer.record("a", |_, emit| {
                    // More than the queues hold.
                    for _ in 0..1_000 {
                        emit(RawDocument::Deferred {
                            bytes: BATCH_BYTES,
                            convert: Box::new(|_| panic!("meant: a conversion")),
                        })?;
                    }
                    Ok(())
                })
            })
        });
        assert_eq!(outcome, None, "{threads} threads");
    }
}

#[test]
fn a_reader_that_panics_ends_the_reading() {
    for threads in [1, 2] {
        let outcome = outcome(move || {
            texts(threads, None, 5, &|input, producer| {
                assert!(input < 1, "meant: a reader");
                producer.record("a", |_, _| Ok(()))
            })
        });
        assert_eq!(outcome, None, "{threads} threads");
    }
}

/// Emits pieces of text; those that end in `+` continue.
fn emit_pieces(pieces: &[&str], emit: &mut Emit<'_>) -> Result<(), Halt> {
    for piece in pieces {
        let text = piece.trim_end_matches('+');
        emit(RawDocument::Text {
            text: text.to_owned(),
            continues: text != *piece,
        })?;
    }
    Ok(())
}

#[test]
fn a_limit_counts_and_ends_what_it_cuts() {
    for (limit, pieces, expected, documents) in [
        // Within a document, at a piece's end, and within a character of two bytes.
        (3, &["one two"][..], &["one"][..], 1),
        (3, &["one", "two"], &["one"], 1),
        (3, &["one+", "two"], &["one"], 1),
        (4, &["one+", "éa"], &["one+", ""], 1),
        (4, &["one+", "éa+", "b", "c"], &["one+", ""], 1),
        // Nothing is left of a document.
        (1, &["éa"], &[], 0),
        (1, &["éa+", "b"], &[], 0),
        (4, &["one", "éa"], &["one"], 1),
        (0, &["one"], &[], 0),
        // Nothing but white space is left.
        (4, &["one", "  two"], &["one"], 1),
        (100, &["one+", "", " ", "two"], &["one+", "", "two"], 2),
    ] {
        let (found, records, _) = texts(1, Some(limit), 1, &|_, producer| {
            producer.record("a", |_, emit| emit_pieces(pieces, emit))
        });
        assert_eq!(found, expected, "{limit} bytes of {pieces:?}");
        assert_eq!(records[0].documents, documents, "{limit} of {pieces:?}");
    }
}

#[test]
fn blank_documents_are_left_out_on_one_thread_too() {
    let pieces = ["one+", "", " ", "\n", "two"];
    let mut found = Vec::new();
    let left_out = run_here(|_, emit| emit_pieces(&pieces, emit), &mut |document| {
        found.push(document.text);
        ControlFlow::Continue(())
    });
    assert_eq!(found, ["one", "", "two"]);
    let left_out = left_out.map(|left_out| left_out.counts());
    assert_eq!(left_out.expect("good")[&Reason::NoText], 2);
}
