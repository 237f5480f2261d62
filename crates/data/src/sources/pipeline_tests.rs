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
