//! A pipeline of one reading thread, several converting workers and one consumer, in order and with
//! bounded memory.
//!
//! The reader fills batches. Each batch goes to the workers, and a placeholder for its result goes into
//! a queue in reading order, from which the consumer takes results. So the order of documents does not
//! depend on the number of workers, and the reader waits for a slow consumer.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::input_stream::{Meter, SharedMeter};
use super::left_out::{LeftOut, Reason};
use super::wikitext::{self, Article, Site};
use super::{Document, SourceError, SourceRecord};

/// Bytes of text in a batch: so many that passing it on costs little compared with converting it.
const BATCH_BYTES: usize = 256 * 1024;

/// Batches in flight for each worker: one that it converts and one that waits.
const BATCHES_PER_WORKER: usize = 2;

/// Stack size of a worker. Rendering nested lists recurses; this is far more than their bounded depth
/// needs.
const WORKER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// The output of a format's reader.
pub(super) enum RawDocument {
    /// Finished text.
    Text { text: String, continues: bool },
    /// A page that a worker turns into text.
    WikipediaPage {
        site: Arc<Site>,
        title: String,
        wikitext: String,
    },
    /// Something that does not become text; `example` names it, or is empty.
    LeftOut { reason: Reason, example: String },
}

/// Why a reader stops early.
pub(super) enum Halt {
    /// The source has an error.
    Failed(SourceError),
    /// The consumer has stopped.
    Closed,
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

/// Receives the documents of one source.
pub(super) type Emit<'a> = dyn FnMut(RawDocument) -> Result<(), Halt> + 'a;

struct Job {
    batch: Vec<RawDocument>,
    result: SyncSender<Converted>,
}

/// The result of a batch.
#[derive(Default)]
struct Converted {
    documents: Vec<Document>,
    left_out: LeftOut,
}

enum Message {
    Begin {
        name: String,
    },
    Batch {
        converted: Receiver<Converted>,
        bytes: u64,
        hash: u64,
    },
    Finish {
        bytes: u64,
        hash: u64,
    },
    /// Something outside of all records that does not become text.
    LeftOut {
        reason: Reason,
        example: String,
    },
    Failed(SourceError),
}

/// The reader's end of the pipeline.
pub(super) struct Producer {
    ordered: SyncSender<Message>,
    work: SyncSender<Job>,
    batch: Vec<RawDocument>,
    batch_bytes: usize,
}

impl Producer {
    /// Reads one record: `read` emits its documents and keeps the meter up to date.
    pub(super) fn record(
        &mut self,
        name: &str,
        read: impl FnOnce(&SharedMeter, &mut Emit<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let meter: SharedMeter = Rc::new(RefCell::new(Meter::default()));
        self.send(Message::Begin {
            name: name.to_owned(),
        })?;
        let outcome = read(&meter, &mut |document| {
            self.batch_bytes += match &document {
                RawDocument::Text { text, .. } => text.len(),
                RawDocument::WikipediaPage { wikitext, .. } => wikitext.len(),
                RawDocument::LeftOut { example, .. } => example.len(),
            };
            self.batch.push(document);
            if self.batch_bytes >= BATCH_BYTES {
                self.flush(&meter)
            } else {
                Ok(())
            }
        });
        if matches!(outcome, Err(Halt::Closed)) {
            return outcome;
        }
        // Documents before an error are delivered before it.
        self.flush(&meter)?;
        outcome?;
        let meter = meter.borrow();
        self.send(Message::Finish {
            bytes: meter.bytes,
            hash: meter.hash(),
        })
    }

    /// Counts something that is in no record: a file that is not read.
    pub(super) fn left_out(&mut self, reason: Reason, example: String) -> Result<(), Halt> {
        self.send(Message::LeftOut { reason, example })
    }

    fn flush(&mut self, meter: &SharedMeter) -> Result<(), Halt> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let (result, converted) = sync_channel(1);
        let (bytes, hash) = {
            let meter = meter.borrow();
            (meter.bytes, meter.hash())
        };
        self.send(Message::Batch {
            converted,
            bytes,
            hash,
        })?;
        self.work
            .send(Job { batch, result })
            .map_err(|_| Halt::Closed)
    }

    fn send(&self, message: Message) -> Result<(), Halt> {
        self.ordered.send(message).map_err(|_| Halt::Closed)
    }
}

/// Runs `produce` on its own thread, converts on `threads` workers, and calls `sink` on this thread.
pub(super) fn run<E: From<SourceError>>(
    threads: usize,
    max_text_bytes: Option<u64>,
    produce: impl FnOnce(&mut Producer) -> Result<(), Halt> + Send,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut), E> {
    let threads = threads.max(1);
    let (ordered_sender, ordered) = sync_channel(BATCHES_PER_WORKER * threads);
    let (work_sender, work) = sync_channel::<Job>(BATCHES_PER_WORKER * threads);
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        // The workers must not outlive the reader, so they borrow the queue that this frame owns.
        for _ in 0..threads {
            std::thread::Builder::new()
                .name("convert".to_owned())
                .stack_size(WORKER_STACK_BYTES)
                .spawn_scoped(scope, || convert(&work))
                .map_err(thread_error)?;
        }
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn_scoped(scope, move || {
                let mut producer = Producer {
                    ordered: ordered_sender,
                    work: work_sender,
                    batch: Vec::new(),
                    batch_bytes: 0,
                };
                if let Err(Halt::Failed(error)) = produce(&mut producer) {
                    // A consumer that has stopped does not receive the error.
                    let _ = producer.send(Message::Failed(error));
                }
            })
            .map_err(thread_error)?;
        consume(ordered, max_text_bytes, sink)
    })
}

/// Converts what `read` emits on this thread, one after the other, and calls `sink`, which may end it.
pub(super) fn run_here(
    read: impl FnOnce(&SharedMeter, &mut Emit<'_>) -> Result<(), Halt>,
    sink: &mut dyn FnMut(Document) -> ControlFlow<()>,
) -> Result<LeftOut, SourceError> {
    let mut left_out = LeftOut::default();
    let mut inside = false;
    let outcome = read(&SharedMeter::default(), &mut |raw| {
        let Some(document) = to_document(raw, &mut left_out) else {
            return Ok(());
        };
        if !inside && is_blank(&document) {
            left_out.add(Reason::NoText, "");
            return Ok(());
        }
        inside = document.continues;
        match sink(document) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Halt::Closed),
        }
    });
    match outcome {
        Ok(()) | Err(Halt::Closed) => Ok(left_out),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Whether there is no text in a document that nothing continues.
fn is_blank(document: &Document) -> bool {
    !document.continues && document.text.trim().is_empty()
}

fn thread_error(reason: std::io::Error) -> SourceError {
    SourceError::Read {
        path: "a new thread".into(),
        reason,
    }
}

fn convert(work: &Mutex<Receiver<Job>>) {
    loop {
        // Poisoned means that another worker panicked; the scope reports that.
        let Ok(queue) = work.lock() else { return };
        let Ok(job) = queue.recv() else { return };
        drop(queue);
        let mut converted = Converted::default();
        for raw in job.batch {
            let document = to_document(raw, &mut converted.left_out);
            converted.documents.extend(document);
        }
        // A consumer that has stopped does not receive the result.
        let _ = job.result.send(converted);
    }
}

fn to_document(raw: RawDocument, left_out: &mut LeftOut) -> Option<Document> {
    match raw {
        RawDocument::Text { text, continues } => Some(Document { text, continues }),
        RawDocument::WikipediaPage {
            site,
            title,
            wikitext,
        } => match wikitext::article(&site, &title, &wikitext) {
            Ok(Article {
                text,
                unknown_templates,
            }) => {
                for name in &unknown_templates {
                    left_out.add_template(name);
                }
                Some(Document {
                    text,
                    continues: false,
                })
            }
            Err(reason) => {
                left_out.add(reason, &title);
                None
            }
        },
        RawDocument::LeftOut { reason, example } => {
            left_out.add(reason, &example);
            None
        }
    }
}

/// Passes documents to the sink until the queue ends or there is enough text.
fn consume<E: From<SourceError>>(
    ordered: Receiver<Message>,
    max_text_bytes: Option<u64>,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut), E> {
    let mut records: Vec<SourceRecord> = Vec::new();
    let mut left_out = LeftOut::default();
    let mut left = max_text_bytes.unwrap_or(u64::MAX);
    let mut inside = false;
    for message in ordered {
        match message {
            Message::Begin { name } => {
                records.push(SourceRecord {
                    name,
                    bytes: 0,
                    hash: String::new(),
                    documents: 0,
                });
            }
            Message::Batch {
                converted,
                bytes,
                hash,
            } => {
                let Ok(converted) = converted.recv() else {
                    break;
                };
                left_out.append(&converted.left_out);
                let record = records
                    .last_mut()
                    .expect("a batch follows the beginning of its record");
                (record.bytes, record.hash) = (bytes, format!("{hash:016x}"));
                for mut document in converted.documents {
                    if !inside && is_blank(&document) {
                        left_out.add(Reason::NoText, "");
                        continue;
                    }
                    record.documents += u64::from(!inside);
                    if document.text.len() as u64 >= left {
                        let end = document.text.floor_char_boundary(left as usize);
                        document.text.truncate(end);
                        document.continues = false;
                        if !document.text.is_empty() {
                            sink(document)?;
                        }
                        return Ok((records, left_out));
                    }
                    left -= document.text.len() as u64;
                    inside = document.continues;
                    sink(document)?;
                }
            }
            Message::Finish { bytes, hash } => {
                let record = records
                    .last_mut()
                    .expect("an end follows the beginning of its record");
                (record.bytes, record.hash) = (bytes, format!("{hash:016x}"));
            }
            Message::LeftOut { reason, example } => left_out.add(reason, &example),
            Message::Failed(error) => return Err(error.into()),
        }
    }
    Ok((records, left_out))
}
