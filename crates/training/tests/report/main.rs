//! Reports: what they say, and the page and the pictures in a real browser.

#[cfg(unix)]
mod browser;
mod comparable;
mod content;
mod course;
mod executed;
mod headlines;
#[cfg(unix)]
mod in_browser;
#[cfg(unix)]
mod masks_in_browser;
#[cfg(unix)]
mod page_checks;
mod pictures;
#[cfg(unix)]
mod pictures_in_browser;
mod search;
#[cfg(unix)]
mod search_in_browser;
mod speeds;
mod study;
