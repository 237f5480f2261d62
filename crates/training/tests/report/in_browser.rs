//! The page in a real browser: what a reader sees, and can do with it.

use learned_dropout_training::report::{Format, Report};
use serde_json::json;

use crate::browser::{self, Browser};
use crate::page_checks::{nothing_went_wrong, number, pages_fit, pictures, text};
use crate::study;

/// A place in the first chart, by shares of its width and height.
fn place(browser: &mut Browser, x: f64, y: f64) -> (f64, f64) {
    let script = format!(
        "(() => {{ const svg = document.querySelector('figure svg'); svg.scrollIntoView(); \
         const box = svg.getBoundingClientRect(); \
         return [box.left + box.width * {x}, box.top + box.height * {y}]; }})()"
    );
    let at = browser.value(&script);
    (
        at[0].as_f64().expect("a number"),
        at[1].as_f64().expect("a number"),
    )
}

#[test]
fn a_reader_can_use_the_charts() {
    let Some(name) = browser::wanted() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    study::write(folder.path());
    let page = folder.path().join("report.html");
    let report = Report::read(&[folder.path().into()]).expect("a report");
    report.save(&page, Format::Html).expect("written");
    let mut browser = Browser::start(name, &folder.path().join("profile"));
    browser.open(&page, 1280, 900);
    charts_are_drawn(&mut browser);
    hovering_shows_values(&mut browser);
    keys_show_values(&mut browser);
    series_can_be_hidden(&mut browser);
    dragging_zooms(&mut browser);
    charts_can_be_saved(&mut browser);
    the_axis_can_be_tokens_or_time(&mut browser);
    columns_can_be_unfolded(&mut browser);
    pages_fit(&mut browser, &page, "report");
    nothing_went_wrong(&browser, &page);
}

fn charts_are_drawn(browser: &mut Browser) {
    assert_eq!(
        number(
            browser,
            "document.querySelectorAll('figure .frame > svg').length"
        ),
        7
    );
    let lines = "document.querySelectorAll('figure[data-plot=\"0\"] .series .line').length";
    // Validation and training loss; of the broken arm one evaluation is known, and shown.
    assert_eq!(number(browser, lines), 6);
    let thin = "getComputedStyle(document.querySelector('.series.thin .line')).strokeWidth";
    assert_eq!(text(browser, thin), "1px");
    let long = "[...document.querySelectorAll('.series .line')].every(line => \
                line.getAttribute('d').split('L').length >= 1 && !line.getAttribute('d').includes('NaN'))";
    assert_eq!(browser.value(long), true);
    assert_eq!(
        number(
            browser,
            "document.querySelectorAll('figure[data-plot=\"3\"] .series .mark').length"
        ),
        2
    );
}

/// At 0.7 of the width, of which the axis takes a tenth, the nearest evaluation is that of step 30.
fn hovering_shows_values(browser: &mut Browser) {
    let at = place(browser, 0.7, 0.5);
    browser.mouse("mouseMoved", at, false);
    let shown = text(
        browser,
        "document.querySelector('figure .tooltip:not([hidden])').innerText",
    );
    for part in [
        "steps",
        "Learned <dropout> & more",
        "Baseline",
        "3.4000 ± 0.0000",
        "training 2.9000",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    browser.mouse("mouseMoved", (1.0, 1.0), false);
    assert_eq!(
        number(
            browser,
            "document.querySelectorAll('.tooltip:not([hidden])').length"
        ),
        0
    );
}

fn keys_show_values(browser: &mut Browser) {
    browser.value("document.querySelector('figure svg').focus()");
    browser.key("End");
    let told = text(
        browser,
        "document.querySelector('figure [aria-live]').textContent",
    );
    assert!(
        told.contains("40 steps") && told.contains("3.1000 ± 0.1414"),
        "{told}"
    );
    browser.key("ArrowLeft");
    let told = text(
        browser,
        "document.querySelector('figure [aria-live]').textContent",
    );
    assert!(told.contains("30 steps"), "{told}");
    browser.key("Escape");
    assert_eq!(
        number(
            browser,
            "document.querySelectorAll('.tooltip:not([hidden])').length"
        ),
        0
    );
}

fn series_can_be_hidden(browser: &mut Browser) {
    let count = "document.querySelectorAll('figure[data-plot=\"0\"] .series').length";
    let click = "document.querySelectorAll('figure[data-plot=\"0\"] .legend button')[1].click()";
    let pressed = "document.querySelectorAll('figure[data-plot=\"0\"] .legend button')[1]\
                   .getAttribute('aria-pressed')";
    browser.value(click);
    assert_eq!(number(browser, count), 4);
    assert_eq!(browser.value(pressed), "false");
    browser.value(click);
    assert_eq!(number(browser, count), 6);
    assert_eq!(browser.value(pressed), "true");
}

fn dragging_zooms(browser: &mut Browser) {
    let ticks = "[...document.querySelectorAll('figure[data-plot=\"0\"] .tick')]\
                 .map(tick => tick.textContent).join(' ')";
    let reset = "document.querySelector('figure [data-tool=reset]').hidden";
    let before = text(browser, ticks);
    assert_eq!(browser.value(reset), true);
    let (from, to) = (place(browser, 0.3, 0.5), place(browser, 0.6, 0.52));
    browser.mouse("mousePressed", from, true);
    browser.mouse("mouseMoved", to, true);
    browser.mouse("mouseReleased", to, false);
    assert_ne!(text(browser, ticks), before);
    assert_eq!(browser.value(reset), false);
    browser.value("document.querySelector('figure [data-tool=reset]').click()");
    assert_eq!(text(browser, ticks), before);
}

/// Step 40 is reached with 800 tokens, after 5.3 seconds. All charts of steps follow the switch; that of the
/// layers stays as it is.
fn the_axis_can_be_tokens_or_time(browser: &mut Browser) {
    let choose = |browser: &mut Browser, axis: &str| {
        browser.value(&format!(
            "document.querySelector('.switch [data-axis={axis}]').click()"
        ));
        browser.value("document.querySelector('figure svg').focus()");
        browser.key("End");
        text(
            browser,
            "document.querySelector('figure [aria-live]').textContent",
        )
    };
    let label = |browser: &mut Browser, plot: usize| {
        let svg = format!("document.querySelector('figure[data-plot=\"{plot}\"] svg')");
        text(browser, &format!("{svg}.getAttribute('aria-label')"))
    };
    let told = choose(browser, "tokens");
    assert!(
        told.contains("800 tokens") && told.contains("3.1000 ± 0.1414"),
        "{told}"
    );
    let told = choose(browser, "seconds");
    assert!(told.contains("5.3 seconds of training"), "{told}");
    assert!(told.contains("3.1000 ± 0.1414"), "{told}");
    assert!(label(browser, 5).contains("against seconds of training"));
    assert!(label(browser, 2).contains("against layer"));
    let pressed =
        "document.querySelectorAll('.switch [data-axis=seconds][aria-pressed=true]').length";
    assert_eq!(
        number(browser, pressed),
        2,
        "above the charts and above the folded ones"
    );
    assert!(choose(browser, "steps").contains("40 steps"));
    browser.key("Escape");
}

fn columns_can_be_unfolded(browser: &mut Browser) {
    let columns = "[...document.querySelectorAll('thead th')].filter(th => th.checkVisibility()\
                   && th.textContent === 'Lowest validation loss').length";
    assert_eq!(number(browser, columns), 0);
    browser.value("document.querySelector('details summary').click()");
    assert_eq!(number(browser, columns), 1);
    browser.value("document.querySelector('details summary').click()");
}

/// The saved file must be drawable by itself: an image of it loads and has a size.
fn charts_can_be_saved(browser: &mut Browser) {
    let script = "new Promise((resolve, reject) => {
        const make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { resolve(blob.text()); return make.call(URL, blob); };
        HTMLAnchorElement.prototype.click = function () {};
        document.querySelector('figure [data-tool=save]').click();
        URL.createObjectURL = make;
    })";
    let saved = text(browser, script);
    assert!(
        saved.starts_with("<svg") && saved.contains("Learned &lt;dropout&gt;"),
        "{saved}"
    );
    assert!(
        !saved.contains("var(") && !saved.contains("class="),
        "{saved}"
    );
    let wrong = format!(
        "new DOMParser().parseFromString({}, 'image/svg+xml').querySelector('parsererror') !== null",
        json!(saved)
    );
    assert_eq!(browser.value(&wrong), false);
    if let Some(pictures) = pictures() {
        std::fs::write(pictures.join("chart.svg"), saved).expect("written");
    }
}
