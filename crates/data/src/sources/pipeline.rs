//! A pipeline of reading threads, converting workers and one consumer, in order and with bounded memory.
//!
//! Each reading thread reads one input and fills batches. Each batch goes to the workers, and a placeholder
//! for its result goes into the input's queue, from which the consumer takes results. The consumer empties
//! the queues in the order of the inputs. So the order of documents does not depend on the number of
//! threads, and the readers wait for a slow consumer.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::input_stream::{Meter, SharedMeter};
use super::left_out::{LeftOut, Reason};
use super::wikitext::{self, Article, Site};
use super::workers::{Pending, Workers};
use super::{Document, SourceError, SourceRecord};

/// Bytes of text in a batch: so many that passing it on costs little compared with converting it.
const BATCH_BYTES: usize = 256 * 1024;

/// Batches in flight for each worker: one that it converts and one that waits.
const BATCHES_PER_WORKER: usize = 2;

/// The most files that are read at once.
const READERS: usize = 4;

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
    /// `bytes` bytes that a worker turns into documents.
    Deferred { bytes: usize, convert: Convert },
    /// Something that does not become text; `example` names it, or is empty.
    LeftOut { reason: Reason, example: String },
    /// Many things that do not become text, without names.
    ManyLeftOut { reason: Reason, count: u64 },
}

/// Emits documents on a worker.
pub(super) type Convert = Box<dyn FnOnce(&mut Emit<'_>) -> Result<(), Halt> + Send>;

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

/// The result of a batch.
#[derive(Default)]
struct Converted {
    documents: Vec<Document>,
    left_out: LeftOut,
    /// Why the documents end here.
    failed: Option<SourceError>,
}

enum Message {
    Begin {
        name: String,
    },
    Batch {
        converted: Pending<Converted>,
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
    workers: Workers,
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
                RawDocument::Deferred { bytes, .. } => *bytes,
                RawDocument::Text { text, .. } => text.len(),
                RawDocument::WikipediaPage { wikitext, .. } => wikitext.len(),
                RawDocument::LeftOut { example, .. } => example.len(),
                RawDocument::ManyLeftOut { .. } => 0,
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

    /// The threads that convert.
    pub(super) fn workers(&self) -> Workers {
        self.workers.clone()
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
        let (bytes, hash) = {
            let meter = meter.borrow();
            (meter.bytes, meter.hash())
        };
        let converted = self.workers.run(|| convert(batch));
        self.send(Message::Batch {
            converted,
            bytes,
            hash,
        })
    }

    fn send(&self, message: Message) -> Result<(), Halt> {
        self.ordered.send(message).map_err(|_| Halt::Closed)
    }
}

/// Reads one input, given by its number.
pub(super) type Read<'a> = dyn Fn(usize, &mut Producer) -> Result<(), Halt> + Sync + 'a;

/// Takes the documents of one group of inputs after another.
pub(super) struct Pipeline<'a, E> {
    threads: usize,
    /// Bytes of text that are still wanted.
    left: u64,
    inside: bool,
    records: Vec<SourceRecord>,
    left_out: LeftOut,
    sink: &'a mut dyn FnMut(Document) -> Result<(), E>,
}

impl<'a, E: From<SourceError>> Pipeline<'a, E> {
    /// A pipeline of `threads` workers that passes documents to `sink`, on the thread that calls it.
    pub(super) fn new(
        threads: usize,
        max_text_bytes: Option<u64>,
        sink: &'a mut dyn FnMut(Document) -> Result<(), E>,
    ) -> Self {
        Self {
            threads: threads.max(1),
            left: max_text_bytes.unwrap_or(u64::MAX),
            inside: false,
            records: Vec::new(),
            left_out: LeftOut::default(),
            sink,
        }
    }

    /// The files that were read, and what was left out.
    pub(super) fn finish(self) -> (Vec<SourceRecord>, LeftOut) {
        (self.records, self.left_out)
    }

    /// Reads the inputs from 0 to `count`, several at a time. Says whether more text is wanted.
    pub(super) fn read(&mut self, count: usize, read: &Read<'_>) -> Result<bool, E> {
        Workers::with(self.threads, |workers| {
            let readers = count.min(self.threads).min(READERS);
            // So many for each reader that the file whose turn it is keeps all workers busy.
            let batches = BATCHES_PER_WORKER * self.threads;
            let (inputs, queues) = sync_channel(readers);
            let begin = Arc::new(Mutex::new((0, inputs)));
            std::thread::scope(|scope| {
                for _ in 0..readers {
                    let (begin, workers) = (Arc::clone(&begin), workers.clone());
                    std::thread::Builder::new()
                        .name("read".to_owned())
                        .spawn_scoped(scope, move || {
                            while let Some((input, mut producer)) =
                                next_input(&begin, count, batches, &workers)
                            {
                                if let Err(Halt::Failed(error)) = read(input, &mut producer) {
                                    // A consumer that has stopped does not receive the error.
                                    let _ = producer.send(Message::Failed(error));
                                }
                            }
                        })
                        .map_err(|reason| SourceError::Thread { reason })?;
                }
                // The readers alone begin inputs and give tasks now. If they all panic, the queues end.
                drop((begin, workers));
                self.consume(count, queues)
            })
        })
        .map_err(|reason| SourceError::Thread { reason })?
    }

    /// Passes documents to the sink until the queues end or there is enough text.
    fn consume(&mut self, count: usize, queues: Receiver<Receiver<Message>>) -> Result<bool, E> {
        for ordered in queues.into_iter().take(count) {
            for message in ordered {
                if !self.take(message)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, message: Message) -> Result<bool, E> {
        match message {
            Message::Begin { name } => self.records.push(SourceRecord {
                name,
                bytes: 0,
                hash: String::new(),
                documents: 0,
            }),
            Message::Batch {
                converted,
                bytes,
                hash,
            } => {
                let Some(converted) = converted.wait() else {
                    return Ok(false);
                };
                self.count_raw(bytes, hash);
                self.left_out.append(&converted.left_out);
                for document in converted.documents {
                    if !self.pass(document)? {
                        return Ok(false);
                    }
                }
                if let Some(error) = converted.failed {
                    return Err(error.into());
                }
            }
            Message::Finish { bytes, hash } => self.count_raw(bytes, hash),
            Message::LeftOut { reason, example } => self.left_out.add(reason, &example),
            Message::Failed(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn count_raw(&mut self, bytes: u64, hash: u64) {
        let record = self.record();
        (record.bytes, record.hash) = (bytes, format!("{hash:016x}"));
    }

    fn record(&mut self) -> &mut SourceRecord {
        self.records
            .last_mut()
            .expect("what is in a record follows its beginning")
    }

    /// Passes on a document. Says whether more text is wanted.
    fn pass(&mut self, mut document: Document) -> Result<bool, E> {
        if leave_out_blank(&document, self.inside, &mut self.left_out) {
            return Ok(true);
        }
        let is_last = document.text.len() as u64 >= self.left;
        if is_last {
            let end = document.text.floor_char_boundary(self.left as usize);
            document.text.truncate(end);
            // What the sink has begun is ended, if need be by an empty text.
            document.continues = false;
            if is_blank(&document, self.inside) {
                return Ok(false);
            }
        }
        let begins = u64::from(!self.inside);
        self.record().documents += begins;
        self.left -= document.text.len() as u64;
        self.inside = document.continues;
        (self.sink)(document)?;
        Ok(!is_last)
    }
}

/// The number of the next input, and where its documents go. Inputs begin in order.
fn next_input(
    begin: &Mutex<(usize, SyncSender<Receiver<Message>>)>,
    count: usize,
    batches: usize,
    workers: &Workers,
) -> Option<(usize, Producer)> {
    let mut begin = begin.lock().ok()?;
    let input = begin.0;
    if input == count {
        return None;
    }
    let (ordered, queue) = sync_channel(batches);
    begin.1.send(queue).ok()?;
    begin.0 += 1;
    let producer = Producer {
        ordered,
        workers: workers.clone(),
        batch: Vec::new(),
        batch_bytes: 0,
    };
    Some((input, producer))
}

/// Converts what `read` emits on this thread, one after the other, and calls `sink`, which may end it.
pub(super) fn run_here(
    read: impl FnOnce(&SharedMeter, &mut Emit<'_>) -> Result<(), Halt>,
    sink: &mut dyn FnMut(Document) -> ControlFlow<()>,
) -> Result<LeftOut, SourceError> {
    let mut left_out = LeftOut::default();
    let mut inside = false;
    let outcome = read(&SharedMeter::default(), &mut |raw| {
        let converted = convert(vec![raw]);
        left_out.append(&converted.left_out);
        for document in converted.documents {
            if leave_out_blank(&document, inside, &mut left_out) {
                continue;
            }
            inside = document.continues;
            if sink(document).is_break() {
                return Err(Halt::Closed);
            }
        }
        converted.failed.map_or(Ok(()), |error| Err(error.into()))
    });
    match outcome {
        Ok(()) | Err(Halt::Closed) => Ok(left_out),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Counts a document without text as left out. Says whether it is one.
fn leave_out_blank(document: &Document, inside: bool, left_out: &mut LeftOut) -> bool {
    let is_blank = is_blank(document, inside);
    if is_blank {
        left_out.add(Reason::NoText, "");
    }
    is_blank
}

/// Whether a document, which is a piece of one if it stands `inside`, is whole and has no text.
fn is_blank(document: &Document, inside: bool) -> bool {
    !inside && !document.continues && document.text.trim().is_empty()
}

fn convert(batch: Vec<RawDocument>) -> Converted {
    let mut converted = Converted::default();
    for raw in batch {
        if let Err(Halt::Failed(error)) = converted.take(raw) {
            converted.failed = Some(error);
            break;
        }
    }
    converted
}

impl Converted {
    fn take(&mut self, raw: RawDocument) -> Result<(), Halt> {
        match raw {
            RawDocument::Text { text, continues } => {
                self.documents.push(Document { text, continues });
            }
            RawDocument::WikipediaPage {
                site,
                title,
                wikitext,
            } => self.take_page(&site, &title, &wikitext),
            RawDocument::Deferred { convert, .. } => return convert(&mut |raw| self.take(raw)),
            RawDocument::LeftOut { reason, example } => self.left_out.add(reason, &example),
            RawDocument::ManyLeftOut { reason, count } => self.left_out.add_many(reason, count),
        }
        Ok(())
    }

    fn take_page(&mut self, site: &Site, title: &str, wikitext: &str) {
        match wikitext::article(site, title, wikitext) {
            Ok(Article {
                text,
                unknown_templates,
            }) => {
                for name in &unknown_templates {
                    self.left_out.add_template(name);
                }
                self.documents.push(Document {
                    text,
                    continues: false,
                });
            }
            Err(reason) => self.left_out.add(reason, title),
        }
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
