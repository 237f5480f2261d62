//! Charts and masks as SVG files.

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::masks::{MaskStudy, MaskWindow, StudiedToken};
use learned_dropout_training::report::{Report, Theme, token_strips};
use model::Site;

use crate::study;

/// The report of the study that tests share.
pub fn report() -> Report {
    let place = tempfile::tempdir().expect("a folder");
    study::write(place.path());
    Report::read(&[place.path().into()]).expect("a report")
}

/// Two tokens that keep both, and one, of the two values of a mask, and none of a second one.
pub fn strips(theme: Theme) -> String {
    let token = |text: &str| StudiedToken {
        id: 0,
        text: text.into(),
    };
    let mask = |layer, values| MaskWindow {
        site: Site::FeedForwardOutput,
        layer: Some(layer),
        width: 2,
        values,
        kept_from: 0.5,
    };
    let masks = [
        mask(0, vec![1.0, 1.0, 1.0, 0.0]),
        mask(1, vec![0.0, 0.0, 0.0, 0.0]),
    ];
    let mut study = MaskStudy::default();
    study.add(vec![token("a<b"), token(" c\n")], &masks);
    token_strips(&study, theme, "Masks & more").expect("masks")
}

/// The study's arms keep 37.5% of nothing that is left out: 436 and 316 operations, losses of 3.1 and
/// 3.3.
#[test]
fn points_have_their_names_and_values() {
    let picture = report()
        .picture(Some(ChartKind::LossAgainstFlops), Theme::Light)
        .expect("a picture");
    for part in [
        ">Learned &lt;dropout&gt; &amp; more</text>",
        ">Baseline</text>",
        ">validation loss, nats per token</text>",
        ">executed FLOPs per token (forward pass)</text>",
        "Learned &lt;dropout&gt; &amp; more: 3.100 at 436; Baseline: 3.300 at 316.</desc>",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[test]
fn without_a_kind_it_is_the_first_chart() {
    let picture = report().picture(None, Theme::Light).expect("a picture");
    assert!(picture.contains("<title>Loss</title>"));
    // Both arms and the broken one, of which an evaluation is known.
    assert!(picture.contains(
        "At the end: Learned &lt;dropout&gt; &amp; more, validation: 3.100 at 40; \
         Learned &lt;dropout&gt; &amp; more, training: 2.600 at 40; Baseline, validation: 3.300 at 40; \
         Baseline, training: 2.800 at 40; Broken, validation: "
    ));
    assert!(picture.contains("Thick lines: validation; thin ones: training."));
    // The lines of training have no name of their own.
    assert_eq!(picture.matches(">Baseline</text>").count(), 1);
    let none = report().picture(Some(ChartKind::LossAgainstDecodeSpeed), Theme::Light);
    assert_eq!(none, None, "no speed was measured");
}

#[test]
fn a_picture_follows_its_theme_and_asks_for_nothing() {
    let picture = |theme| report().picture(None, theme).expect("a picture");
    let (light, dark, auto) = (
        picture(Theme::Light),
        picture(Theme::Dark),
        picture(Theme::Auto),
    );
    let (white, black) = (".paper{fill:#ffffff}", ".paper{fill:#15181c}");
    assert!(light.contains(white) && !light.contains(black));
    assert!(dark.contains(black) && !dark.contains(white));
    assert!(auto.contains(white) && auto.contains(black));
    assert!(auto.contains("@media (prefers-color-scheme:dark)"));
    for picture in [light, dark, auto, strips(Theme::Auto)] {
        let picture = picture.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for part in ["http", "<script", "@import", "href", "NaN"] {
            assert!(!picture.contains(part), "{part}");
        }
    }
}

#[test]
fn strips_show_the_share_of_each_token() {
    let picture = strips(Theme::Light);
    for part in [
        ">Masks &amp; more</text>",
        ">a&lt;b</text>",
        "> c↵</text>",
        "The masks keep 75.0%, 0.0% of their values for the text: a&lt;b c</desc>",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    // The grounds of the tokens: means of 1 and 0, and of a half and 0, at half of the strength.
    for opacity in ["fill-opacity=\"0.25\"", "fill-opacity=\"0.125\""] {
        assert!(picture.contains(opacity), "{opacity}: {picture}");
    }
    let none = token_strips(&MaskStudy::default(), Theme::Light, "");
    assert_eq!(none, None);
}
