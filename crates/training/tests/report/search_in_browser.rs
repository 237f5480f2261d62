//! The search in a real browser: the pictures in the page, and as a file.

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{Format, Report, Theme};

use crate::browser::{self, Browser};
use crate::page_checks::{nothing_went_wrong, number, pages_fit, pictures, text};
use crate::pictures_in_browser::BAD_TEXTS;
use crate::search;

#[test]
fn a_reader_sees_the_search() {
    let Some(name) = browser::wanted() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    search::write(folder.path());
    let report = Report::read(&[folder.path().into()]).expect("a report");
    let page = folder.path().join("report.html");
    report.save(&page, Format::Html).expect("written");
    let mut browser = Browser::start(name, &folder.path().join("profile"));
    browser.open(&page, 1280, 900);
    assert_eq!(
        number(
            &mut browser,
            "document.querySelectorAll('svg.picture').length"
        ),
        2
    );
    let colours = "getComputedStyle(document.querySelector('svg.picture text')).fill === \
                   getComputedStyle(document.body).color";
    assert_eq!(
        browser.value(colours),
        true,
        "headings have the page's colour"
    );
    pages_fit(&mut browser, &page, "search");
    nothing_went_wrong(&browser, &page);

    let picture = report
        .picture(Some(ChartKind::Search), Theme::Auto)
        .expect("a picture");
    let file = folder.path().join("search.svg");
    std::fs::write(&file, picture).expect("written");
    browser.events.clear();
    browser.open(&file, 1000, 800);
    assert_eq!(text(&mut browser, BAD_TEXTS), "");
    if let Some(pictures) = pictures() {
        browser.picture(&pictures.join("picture-search.png"));
    }
    nothing_went_wrong(&browser, &file);
}
