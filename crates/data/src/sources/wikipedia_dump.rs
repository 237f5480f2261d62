//! The pages of a Wikipedia dump: MediaWiki's XML export format.

use std::io::{BufRead, Error, Read};
use std::path::PathBuf;
use std::sync::Arc;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::SourceError;
use super::input_stream::{InputStream, read_error};
use super::left_out::Reason;
use super::pipeline::{Emit, Halt, RawDocument};
use super::wikitext::Site;

/// The largest text of a page. MediaWiki's default limit is 2 MiB.
const PAGE_LIMIT: u64 = 16 * 1024 * 1024;

/// The deepest nesting of elements. A dump has six levels.
const DEPTH_LIMIT: usize = 32;

/// The namespace of articles; talk, user, help and file pages have other numbers.
const ARTICLE_NAMESPACE: &str = "0";

/// The content model of articles. Wikidata items, Lua modules, style sheets and the like have others.
const ARTICLE_MODEL: &str = "wikitext";

/// The longest title, and the longest name of a language, namespace, model or variant. MediaWiki allows titles
/// of 255 bytes. A page may show its title very often.
const NAME_LIMIT: usize = 1000;

/// Reads the articles of a dump, without redirects. Memory holds one page at a time. Of texts in several
/// language variants, `variant` is chosen; if it is empty, the language's first one.
pub(super) fn read(
    stream: InputStream<'_>,
    variant: &str,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
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
        revision: Revision::default(),
        namespace: NamespaceName::default(),
        site: Arc::new(Site::new("", variant)),
        variant: variant.to_owned(),
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
    /// The newest one so far.
    revision: Revision,
}

/// A version of a page.
#[derive(Default)]
struct Revision {
    /// In ISO 8601 and UTC, so later ones are greater.
    timestamp: String,
    model: String,
    text: String,
}

/// A namespace of the dump's `<siteinfo>`.
#[derive(Default)]
struct NamespaceName {
    number: i64,
    name: String,
}

/// The elements whose text is used.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Root,
    SiteInfo,
    Namespaces,
    /// One of the dump's namespaces.
    SiteNamespace,
    Page,
    Title,
    Namespace,
    Revision,
    Timestamp,
    Model,
    Text,
    Other,
}

struct Dump {
    path: PathBuf,
    elements: Vec<Element>,
    page: Page,
    revision: Revision,
    namespace: NamespaceName,
    site: Arc<Site>,
    variant: String,
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
                    let reason = if self.complete {
                        "after </mediawiki> another element begins: these are several dumps in one file; \
                         write them to files of their own and name them one by one"
                    } else {
                        "expected the element <mediawiki>"
                    };
                    return Err(self.malformed(position, reason));
                }
                if self.elements.len() >= DEPTH_LIMIT {
                    return Err(self.malformed(position, "elements are nested too deeply"));
                }
                match element {
                    Element::Root => {
                        let language = attribute(&tag, b"lang").unwrap_or_default();
                        self.site = Arc::new(Site::new(&language, &self.variant));
                    }
                    Element::SiteNamespace => {
                        let number = attribute(&tag, b"key").unwrap_or_default();
                        self.namespace = NamespaceName {
                            number: number.trim().parse().unwrap_or(0),
                            name: String::new(),
                        };
                    }
                    Element::Page => self.page = Page::default(),
                    Element::Revision => self.revision = Revision::default(),
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
            (Some(Element::Root), b"siteinfo") => Element::SiteInfo,
            (Some(Element::SiteInfo), b"namespaces") => Element::Namespaces,
            (Some(Element::Namespaces), b"namespace") => Element::SiteNamespace,
            (Some(Element::Root), b"page") => Element::Page,
            (Some(Element::Page), b"title") => Element::Title,
            (Some(Element::Page), b"ns") => Element::Namespace,
            (Some(Element::Page), b"revision") => Element::Revision,
            (Some(Element::Revision), b"timestamp") => Element::Timestamp,
            (Some(Element::Revision), b"model") => Element::Model,
            (Some(Element::Revision), b"text") => Element::Text,
            _ => Element::Other,
        }
    }

    fn end(&mut self) -> Option<RawDocument> {
        match self.elements.pop() {
            Some(Element::Root) => self.complete = true,
            Some(Element::SiteNamespace) => {
                let namespace = std::mem::take(&mut self.namespace);
                Arc::make_mut(&mut self.site).add(namespace.number, &namespace.name);
            }
            // Of several revisions the newest counts; of those without a time, the last one.
            Some(Element::Revision) => {
                let revision = std::mem::take(&mut self.revision);
                if revision.timestamp >= self.page.revision.timestamp {
                    self.page.revision = revision;
                }
            }
            Some(Element::Page) => {
                let page = std::mem::take(&mut self.page);
                return Some(self.document(page));
            }
            _ => {}
        }
        None
    }

    /// An article, or the reason why the page is none.
    fn document(&self, page: Page) -> RawDocument {
        let model = page.revision.model.trim();
        let is_article = match page.namespace.trim() {
            // Exports of old versions do not give the namespace: it is the title's prefix.
            "" => self.site.namespace(&page.title).is_none(),
            number => number == ARTICLE_NAMESPACE,
        };
        let reason = if !is_article {
            Reason::OtherNamespace
        } else if page.redirect || self.site.is_redirect(&page.revision.text) {
            Reason::Redirect
        } else if !model.is_empty() && !model.eq_ignore_ascii_case(ARTICLE_MODEL) {
            Reason::OtherContentModel
        } else if page.revision.text.trim().is_empty() {
            Reason::NoText
        } else {
            return RawDocument::WikipediaPage {
                site: Arc::clone(&self.site),
                title: page.title,
                wikitext: page.revision.text,
            };
        };
        RawDocument::LeftOut {
            reason,
            example: page.title,
        }
    }

    fn text(&mut self, text: &str, position: u64) -> Result<(), SourceError> {
        let field = match self.elements.last() {
            Some(Element::Title) => &mut self.page.title,
            Some(Element::Namespace) => &mut self.page.namespace,
            Some(Element::SiteNamespace) => &mut self.namespace.name,
            Some(Element::Timestamp) => &mut self.revision.timestamp,
            Some(Element::Model) => &mut self.revision.model,
            Some(Element::Text) => &mut self.revision.text,
            Some(_) => return Ok(()),
            None if text.chars().all(|c| c.is_whitespace() || c == '\u{FEFF}') => return Ok(()),
            None => return Err(self.malformed(position, "text outside the element <mediawiki>")),
        };
        let limit = match self.elements.last() {
            Some(Element::Text) => PAGE_LIMIT,
            _ => NAME_LIMIT as u64,
        };
        if (field.len() + text.len()) as u64 > limit {
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

/// The value of an attribute, whatever its prefix.
fn attribute(tag: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    // The check for repeated names takes quadratic time; the first of them counts here.
    let attribute = tag
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    let value = attribute
        .value
        .get(..attribute.value.len().min(NAME_LIMIT))?;
    Some(String::from_utf8_lossy(value).into_owned())
}
