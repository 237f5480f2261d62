//! Reports: what they say, and the page in a real browser.

#[cfg(unix)]
mod browser;
mod content;
#[cfg(unix)]
mod in_browser;
mod study;
