//! What is checked of every page.
//!
//! `LDROP_PICTURES=DIR` keeps pictures.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::browser::Browser;

/// A string that JavaScript gives.
#[track_caller]
pub fn text(browser: &mut Browser, expression: &str) -> String {
    let value = browser.value(expression);
    value
        .as_str()
        .unwrap_or_else(|| panic!("{expression}: {value}"))
        .into()
}

/// A whole number that JavaScript gives.
#[track_caller]
pub fn number(browser: &mut Browser, expression: &str) -> u64 {
    let value = browser.value(expression);
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{expression}: {value}"))
}

/// No page scrolls sideways, be it as narrow as a phone, light or dark.
pub fn pages_fit(browser: &mut Browser, page: &Path, name: &str) {
    for (scheme, width) in [
        ("light", 1280),
        ("dark", 1280),
        ("light", 390),
        ("dark", 390),
        ("light", 360),
        ("dark", 360),
    ] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.ask("Emulation.setEmulatedMedia", features);
        let told = std::mem::take(&mut browser.events);
        browser.open(page, width, 800);
        browser.events.splice(0..0, told);
        let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(number(browser, over), 0, "{scheme} {width}");
        let paper = text(browser, "getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper == "rgb(255, 255, 255)", scheme == "light", "{paper}");
        if let Some(pictures) = pictures() {
            browser.picture(&pictures.join(format!("{name}-{scheme}-{width}.png")));
            browser.print(&pictures.join(format!("{name}-{scheme}-{width}.pdf")));
        }
    }
}

/// Where pictures are kept; none if they are not wanted.
pub fn pictures() -> Option<PathBuf> {
    std::env::var_os("LDROP_PICTURES").map(PathBuf::from)
}

/// No message, no error, and no request but that for the page itself.
pub fn nothing_went_wrong(browser: &Browser, page: &Path) {
    let address = format!("file://{}", page.display());
    for event in &browser.events {
        let method = event["method"].as_str().unwrap_or_default();
        let told = [
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
        ];
        assert!(!told.contains(&method), "{event}");
        if method == "Network.requestWillBeSent" {
            let asked: &Value = &event["params"]["request"]["url"];
            assert!(asked == &json!(address), "{asked}");
        }
    }
}
