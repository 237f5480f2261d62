//! The search in a real browser: the pictures in the page, and as a file.

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{Format, Report, Theme};

use crate::browser::{self, Browser};
use crate::page_checks::{nothing_went_wrong, number, pages_fit, pictures, text};
use crate::pictures_in_browser::BAD_TEXTS;
use crate::search;

/// Texts of the page's pictures that reach out of their picture.
const CUT_TEXTS: &str = "[...document.querySelectorAll('svg.picture')].flatMap(picture => { \
    const outer = picture.getBoundingClientRect(); \
    return [...picture.querySelectorAll('text')].filter(text => { const box = text.getBoundingClientRect(); \
    return box.left < outer.left || box.right > outer.right || box.top < outer.top || box.bottom > outer.bottom; \
    }).map(text => text.textContent); }).join('; ')";

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

/// Long names of arms, in a script whose letters are wide too, and keys that are longer than two rows are high.
#[test]
fn long_names_are_not_cut() {
    let Some(name) = browser::wanted() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    search::write(folder.path());
    let rename = |file: &str, from: &str, to: &str| {
        let file = folder.path().join(file);
        let text = std::fs::read_to_string(&file).expect("a file");
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replace(from, to)).expect("written");
    };
    let long = "Learned dropout of HIDDEN WWWWWW units with a bottleneck of 48 and without any noise,                 学習されたドロップアウト";
    rename("experiment.json", "Arm <both>", long);
    rename("experiment.json", "Arm <rates>", &long.replace("48", "96"));
    rename(
        "search.json",
        "model.dropout",
        "model.learned_dropout.function.initial_threshold_of_all_masks",
    );
    let report = Report::read(&[folder.path().into()]).expect("a report");
    let page = folder.path().join("report.html");
    report.save(&page, Format::Html).expect("written");
    let mut browser = Browser::start(name, &folder.path().join("profile"));
    browser.open(&page, 1280, 900);
    assert_eq!(text(&mut browser, CUT_TEXTS), "");
    pages_fit(&mut browser, &page, "search-long");
    let record = folder.path().join("search.json");
    let draw = || {
        let report = Report::read(&[folder.path().into()]).expect("a report");
        let picture = report.picture(Some(ChartKind::Search), Theme::Light);
        picture.expect("a picture")
    };
    let maps_too = draw();
    // Both arms in one picture with lines, which have their names beside them. Of the second one none failed.
    let settings = std::fs::read_to_string(&record).expect("a record");
    let mut settings: serde_json::Value = serde_json::from_str(&settings).expect("JSON");
    settings["arms"][1]["settings"] = settings["arms"][0]["settings"].clone();
    let of_second = settings["arms"][1]["settings"].as_array_mut();
    of_second.expect("settings").pop();
    std::fs::write(&record, settings.to_string()).expect("written");
    let file = folder.path().join("search.svg");
    for (name, picture) in [("maps", maps_too), ("lines", draw())] {
        std::fs::write(&file, picture).expect("written");
        browser.events.clear();
        browser.open(&file, 1000, 800);
        assert_eq!(text(&mut browser, BAD_TEXTS), "", "{name}");
        if let Some(pictures) = pictures() {
            browser.picture(&pictures.join(format!("picture-search-long-{name}.png")));
        }
    }
}
