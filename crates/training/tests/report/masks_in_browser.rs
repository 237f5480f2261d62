//! The page about masks in a real browser.

use learned_dropout_training::masks::{MaskStudy, MaskWindow, StudiedToken};
use learned_dropout_training::report::mask_page;
use model::Site;

use crate::browser::{self, Browser};
use crate::page_checks::{nothing_went_wrong, number, pages_fit, text};

/// Three tokens and two masks: of four values, of which the tokens keep 1, 2 and 4, and of two, of
/// which they keep 0, 1 and 1.
fn study() -> MaskStudy {
    let token = |(id, text): (usize, &str)| StudiedToken {
        id: id as u32,
        text: text.into(),
    };
    let tokens = [" the", "</script> & \u{1F408}\n", ""];
    let window = |layer, width, values: &[f32]| MaskWindow {
        site: Site::FeedForwardHidden,
        layer: Some(layer),
        width,
        values: values.to_vec(),
        kept_from: 0.5,
    };
    let wide = [0.0, 0.9, 0.1, 0.2, 0.3, 0.6, 0.7, 0.0, 1.0, 1.0, 0.5, 0.8];
    let narrow = [0.1, 0.1, 0.0, 0.9, 0.0, 0.9];
    let mut study = MaskStudy::default();
    study.add(
        tokens.into_iter().enumerate().map(token).collect(),
        &[window(0, 4, &wide), window(1, 2, &narrow)],
    );
    study
}

#[test]
fn a_reader_sees_what_tokens_keep() {
    let Some(name) = browser::wanted() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("masks.html");
    let html = mask_page(&study(), "runs/<mine>", "a text").expect("masks");
    std::fs::write(&page, html).expect("written");
    let mut browser = Browser::start(name, &folder.path().join("profile"));
    browser.open(&page, 1280, 900);
    tokens_are_coloured(&mut browser);
    one_mask_is_pictured(&mut browser);
    tokens_are_told(&mut browser);
    pages_fit(&mut browser, &page, "masks");
    nothing_went_wrong(&browser, &page);
}

fn titles(browser: &mut Browser) -> String {
    text(
        browser,
        "[...document.querySelectorAll('#text span')].map(span => span.title).join(' ')",
    )
}

fn tokens_are_coloured(browser: &mut Browser) {
    // Means of 1/4 and 0, 2/4 and 1/2, 4/4 and 1/2.
    assert_eq!(titles(browser), "12.5% 50.0% 75.0%");
    let shown = text(browser, "document.getElementById('text').textContent");
    assert_eq!(shown, " the</script> & \u{1F408}⏎\n·");
    let heading = text(browser, "document.querySelector('h1').textContent");
    assert_eq!(heading, "Masks of runs/<mine>");
    assert_eq!(
        number(
            browser,
            "document.querySelectorAll('figure .frame > svg').length"
        ),
        3
    );
}

/// Which pixels of the picture differ from the first one, row by row.
fn pixels(browser: &mut Browser) -> String {
    let script = "(() => { const canvas = document.getElementById('bits'); \
         const { width, height } = canvas; \
         const { data } = canvas.getContext('2d').getImageData(0, 0, width, height); \
         const rows = []; \
         for (let y = 0; y < height; y += 1) { let row = ''; \
           for (let x = 0; x < width; x += 1) { \
             row += data[(y * width + x) * 4] === data[0] ? '0' : '1'; } \
           rows.push(row); } return rows.join(' '); })()";
    text(browser, script)
}

fn choose(browser: &mut Browser, mask: &str) {
    browser.value(&format!(
        "(() => {{ const choice = document.getElementById('mask'); choice.value = '{mask}'; \
         choice.dispatchEvent(new Event('change')); }})()"
    ));
}

fn one_mask_is_pictured(browser: &mut Browser) {
    choose(browser, "0");
    assert_eq!(titles(browser), "25.0% 50.0% 100.0%");
    assert_eq!(pixels(browser), "0100 0110 1111");
    browser.value("document.getElementById('sorted').click()");
    // The most kept value comes first, and is now the colour of the first pixel.
    assert_eq!(pixels(browser), "0111 0011 0000");
    choose(browser, "all");
    assert_eq!(number(browser, "document.getElementById('bits').width"), 2);
}

fn tokens_are_told(browser: &mut Browser) {
    browser.value("document.getElementById('text').focus()");
    browser.key("ArrowRight");
    browser.key("ArrowRight");
    let told = text(browser, "document.getElementById('told').textContent");
    assert!(
        told.starts_with("Token 1, ") && told.ends_with("keeps 50.0%"),
        "{told}"
    );
    browser.key("ArrowLeft");
    let told = text(browser, "document.getElementById('told').textContent");
    assert_eq!(told, "Token 0, \" the\": keeps 12.5%");
    // Of what tokens 0 and 1 keep, one of two values and none of one are common.
    let overlap = "(() => { const canvas = document.getElementById('overlaps'); \
         canvas.scrollIntoView(); const box = canvas.getBoundingClientRect(); \
         canvas.dispatchEvent(new PointerEvent('pointermove', { \
           clientX: box.left + box.width / 2, clientY: box.top + box.height / 6 })); \
         return document.getElementById('told').textContent; })()";
    let told = text(browser, overlap);
    assert!(told.contains("has 25.0% in common with token 1"), "{told}");
}
