//! The pages of a Wikipedia dump: MediaWiki's XML export format.

use std::io::{BufRead, Error, Read};
use std::path::PathBuf;

use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::SourceError;
use super::input_stream::{InputStream, read_error};
use super::left_out::Reason;
use super::pipeline::{Emit, Halt, RawDocument};

/// The largest text of a page. MediaWiki's default limit is 2 MiB.
const PAGE_LIMIT: u64 = 16 * 1024 * 1024;

/// The deepest nesting of elements. A dump has six levels.
const DEPTH_LIMIT: usize = 32;

/// The namespace of articles; talk, user, help and file pages have other numbers.
const ARTICLE_NAMESPACE: &str = "0";

/// Reads the articles of a dump, without redirects. Memory holds one page at a time.
pub(super) fn read(stream: InputStream<'_>, emit: &mut Emit<'_>) -> Result<(), Halt> {
    let path = stream.path;
    let mut reader = Reader::from_reader(Budget {
        inner: stream.reader,
        left: 0,
    });
    reader.config_mut().check_end_names = true;
    let mut dump = Dump {
        path,
        elements: Vec::new(),
        page: Page::default(),
        complete: false,
    };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().left = PAGE_LIMIT;
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => break,
            Ok(event) => {
                if let Some(page) = dump.event(event, reader.buffer_position())? {
                    emit(page)?;
                }
            }
            Err(quick_xml::Error::Io(error)) => return Err(dump.io_error(&error).into()),
            Err(error) => return Err(dump.malformed(reader.error_position(), error).into()),
        }
    }
    let position = reader.buffer_position();
    if dump.complete {
        Ok(())
    } else {
        Err(SourceError::DumpCutOff {
            path: dump.path,
            position,
        }
        .into())
    }
}

/// Limits how many bytes a parser may read before it finds the byte that it looks for.
struct Budget<R> {
    inner: R,
    left: u64,
}

/// The error of an exhausted limit.
#[derive(Debug)]
struct Spent;

impl std::fmt::Display for Spent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("one piece of text or markup is too large")
    }
}

impl std::error::Error for Spent {}

impl<R: BufRead> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Budget<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.left == 0 {
            return Err(Error::other(Spent));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount as u64);
        self.inner.consume(amount);
    }
}

#[derive(Default)]
struct Page {
    title: String,
    namespace: String,
    redirect: bool,
    text: String,
}

/// The elements whose text is used.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Root,
    Page,
    Title,
    Namespace,
    Revision,
    Text,
    Other,
}

struct Dump {
    path: PathBuf,
    elements: Vec<Element>,
    page: Page,
    complete: bool,
}

impl Dump {
    /// Takes one piece of XML; returns a page when it is complete and an article.
    fn event(
        &mut self,
        event: Event<'_>,
        position: u64,
    ) -> Result<Option<RawDocument>, SourceError> {
        match event {
            Event::Start(tag) => {
                let element = self.element(tag.local_name().as_ref());
                if self.elements.is_empty() && (element != Element::Root || self.complete) {
                    return Err(self.malformed(position, "expected the one element <mediawiki>"));
                }
                if self.elements.len() >= DEPTH_LIMIT {
                    return Err(self.malformed(position, "elements are nested too deeply"));
                }
                match element {
                    Element::Page => self.page = Page::default(),
                    // The last of several revisions is the newest.
                    Element::Text => self.page.text.clear(),
                    _ => {}
                }
                self.elements.push(element);
            }
            Event::Empty(tag) => {
                if self.elements.is_empty() {
                    return Err(self.malformed(position, "expected the element <mediawiki>"));
                }
                if self.elements.last() == Some(&Element::Page)
                    && tag.local_name().as_ref() == b"redirect"
                {
                    self.page.redirect = true;
                }
            }
            Event::End(_) => return Ok(self.end()),
            Event::Text(text) => {
                let text = text
                    .decode()
                    .map_err(|error| self.malformed(position, error))?;
                self.text(&text, position)?;
            }
            Event::CData(text) => {
                let text = text
                    .decode()
                    .map_err(|error| self.malformed(position, error))?;
                self.text(&text, position)?;
            }
            Event::GeneralRef(reference) => {
                let character = self.resolve(&reference, position)?;
                self.text(character.encode_utf8(&mut [0; 4]), position)?;
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => {}
        }
        Ok(None)
    }

    fn element(&self, name: &[u8]) -> Element {
        match (self.elements.last(), name) {
            (None, b"mediawiki") => Element::Root,
            (Some(Element::Root), b"page") => Element::Page,
            (Some(Element::Page), b"title") => Element::Title,
            (Some(Element::Page), b"ns") => Element::Namespace,
            (Some(Element::Page), b"revision") => Element::Revision,
            (Some(Element::Revision), b"text") => Element::Text,
            _ => Element::Other,
        }
    }

    fn end(&mut self) -> Option<RawDocument> {
        match self.elements.pop() {
            Some(Element::Root) => self.complete = true,
            Some(Element::Page) => {
                let page = std::mem::take(&mut self.page);
                let reason = if page.namespace.trim() != ARTICLE_NAMESPACE {
                    Reason::OtherNamespace
                } else if page.redirect {
                    Reason::Redirect
                } else if page.text.trim().is_empty() {
                    Reason::NoText
                } else {
                    return Some(RawDocument::WikipediaPage {
                        title: page.title,
                        wikitext: page.text,
                    });
                };
                return Some(RawDocument::LeftOut {
                    reason,
                    example: page.title,
                });
            }
            _ => {}
        }
        None
    }

    fn text(&mut self, text: &str, position: u64) -> Result<(), SourceError> {
        let field = match self.elements.last() {
            Some(Element::Title) => &mut self.page.title,
            Some(Element::Namespace) => &mut self.page.namespace,
            Some(Element::Text) => &mut self.page.text,
            Some(_) => return Ok(()),
            None if text.chars().all(|c| c.is_whitespace() || c == '\u{FEFF}') => return Ok(()),
            None => return Err(self.malformed(position, "text outside the element <mediawiki>")),
        };
        if (field.len() + text.len()) as u64 > PAGE_LIMIT {
            return Err(self.too_large());
        }
        field.push_str(text);
        Ok(())
    }

    /// The character behind `&quot;`, `&#233;` and the like.
    fn resolve(&self, reference: &BytesRef<'_>, position: u64) -> Result<char, SourceError> {
        if let Some(character) = reference
            .resolve_char_ref()
            .map_err(|error| self.malformed(position, error))?
        {
            return Ok(character);
        }
        match &**reference {
            b"amp" => Ok('&'),
            b"lt" => Ok('<'),
            b"gt" => Ok('>'),
            b"quot" => Ok('"'),
            b"apos" => Ok('\''),
            other => Err(self.malformed(
                position,
                format!("unknown entity &{};", String::from_utf8_lossy(other)),
            )),
        }
    }

    fn too_large(&self) -> SourceError {
        let what = match self.page.title.as_str() {
            "" => "one piece of text or markup".to_owned(),
            title => format!("the page '{}'", title.chars().take(100).collect::<String>()),
        };
        SourceError::TooLarge {
            path: self.path.clone(),
            what,
            limit: PAGE_LIMIT,
        }
    }

    fn io_error(&self, error: &Error) -> SourceError {
        if error.get_ref().is_some_and(|inner| inner.is::<Spent>()) {
            return self.too_large();
        }
        read_error(&self.path, error)
    }

    fn malformed(&self, position: u64, reason: impl ToString) -> SourceError {
        SourceError::Xml {
            path: self.path.clone(),
            position,
            reason: reason.to_string(),
        }
    }
}
