//! Hand-worked pieces of wikitext, and pieces made to break the converter.

use super::Site;
use crate::sources::Reason;

fn article_text(title: &str, wikitext: &str) -> Result<String, Reason> {
    super::article(&Site::new("en", ""), title, wikitext).map(|article| article.text)
}

fn body(wikitext: &str) -> String {
    super::body(&Site::new("en", ""), "T", wikitext).0
}

#[test]
fn an_article_reads_as_text() {
    let wikitext = "{{Infobox planet\n| name = Earth\n| image = [[File:Earth.jpg|thumb]]\n}}\n<!-- lead -->\n\
        '''Earth''' ({{IPAc-en|ɜːr|θ}}; from {{lang|ang|eorðe}}) is the [[Sun]]'s third [[planet|''rocky'' planet]].<ref \
        name=\"a>b\">[[Cited]] {{cite|x}}</ref> It is {{convert|12742|km|mi|abbr=on}} wide.<ref name=c />\n\n\
        [[File:Map.png|thumb|A map of [[Africa]]\nand [[Asia]].]]\n== History ==\n=== Origin ===\n\
        It formed {{circa|4.5 billion years ago}}&nbsp;and weighs 10<sup>24</sup> kg &amp; more.\n\
        {| class=\"wikitable\"\n! Year\n|-\n| 1900 || {{flag|France}}\n|}\n\n* first\n** second\n# third\n\n\
        === Empty ===\n{{Main|Other}}\n== See also ==\n* [[Mars]]\n== References ==\n{{reflist}}\n[[Category:Planets]]\n[[fr:Terre]]\n";
    let expected = "Earth\n\nEarth (from eorðe) is the Sun's third rocky planet. It is 12,742 km wide.\n\nHistory\n\nOrigin\n\n\
        It formed c. 4.5 billion years ago and weighs 10^24 kg & more.\n\nfirst\nsecond\nthird\n";
    assert_eq!(article_text("Earth", wikitext).as_deref(), Ok(expected));
}

#[test]
fn quotes_follow_mediawiki() {
    assert_eq!(body("the ''Iliad'''s end"), "the Iliad's end");
    assert_eq!(
        body("'''bold''' ''italic'' '''''both''''' it's"),
        "bold italic both it's"
    );
    assert_eq!(body("''''quoted''''"), "'quoted'");
}

#[test]
fn links_show_what_a_reader_sees() {
    assert_eq!(
        body(
            "[[a]] [[b|c]] [[Mercury (planet)|]] [[:Category:D]] [[de:E]] [http://x.org f] [http://x.org]."
        ),
        "a c Mercury Category:D f."
    );
    assert_eq!(body("[[a {{small|b]] c}} d"), "a b c d");
}

#[test]
fn broken_brackets_lose_little() {
    assert_eq!(body("before {{open|x\n| y = 1\n\nafter"), "before\n\nafter");
    assert_eq!(
        body("[[open link\n\nafter ]] and }} and |}"),
        "open link\n\nafter and and"
    );
    assert_eq!(body("a <ref>never closed\n\nb"), "a never closed\n\nb");
    assert_eq!(
        body("1 < 2 and 3 > 2 <unknown attr='x'>kept</unknown>"),
        "1 < 2 and 3 > 2 kept"
    );
}

#[test]
fn other_scripts_pass() {
    assert_eq!(
        body("'''العربية''' 中文 [[日本語|にほんご]] 🦀\u{AD}"),
        "العربية 中文 にほんご 🦀"
    );
}

#[test]
fn a_page_without_text_is_none() {
    for wikitext in [
        "",
        "{{only a template}}",
        "== Heading ==\n",
        "[[Category:X]]",
        "<!-- x -->",
    ] {
        assert_eq!(
            article_text("T", wikitext),
            Err(Reason::NoText),
            "{wikitext}"
        );
    }
}

/// Seconds that the clock measures well.
const MEASURABLE: f64 = 0.02;
/// The most pieces of a page: fast ones need no more.
const LONGEST: usize = 1_000_000;
/// How often a slow measurement is repeated.
const TRIES: usize = 3;

/// The seconds that the processor has worked on this thread: what other programs do does not count.
#[cfg(target_os = "linux")]
fn seconds_of_work() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The seconds since the first call.
#[cfg(not(target_os = "linux"))]
fn seconds_of_work() -> f64 {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST
        .get_or_init(std::time::Instant::now)
        .elapsed()
        .as_secs_f64()
}

#[test]
fn hostile_pages_take_linear_time() {
    let count = 10_000;
    let seconds = |page: &str| {
        let start = seconds_of_work();
        body(page);
        seconds_of_work() - start
    };
    for piece in [
        "{{",
        "}}",
        "[[",
        "]]",
        "{|\n",
        "\n|}",
        "[http://a ",
        "<ref>",
        "<ref",
        "<!--",
        "'''",
        "''",
        "*",
        "# ",
        "=",
        "<div a=\"",
        "[[File:a|",
        "{{lang|x|",
        "{{nowrap|[[",
        "{{a}}",
        "{{a}} ",
        "({{a}}, ",
        "[[File:a\n\n",
        "<!----> ",
        "'<sup>",
        "a<sup>''b",
        "{[",
        "&amp;",
        "__A",
        "( , ",
        "<nowiki>",
        "</",
        "|\n",
        "{{{",
        "\n;:",
        " a\n",
        "<sup>",
    ] {
        for page in [
            piece.repeat(count),
            format!("a{}b", piece.repeat(count)),
            format!("{}{}", piece.repeat(count), "}}]]|}".repeat(count)),
        ] {
            let text = body(&page);
            assert!(text.len() <= page.len() * 2, "{piece}");
        }
        // So long a page that the clock measures it well.
        let mut length = count;
        while length < LONGEST && seconds(&piece.repeat(length)) < MEASURABLE {
            length *= 2;
        }
        let (one, four) = (piece.repeat(length), piece.repeat(4 * length));
        // Four times the page takes four times as long; sixteen times would be the square. What a busy machine
        // adds, as by taking the caches, is measured again.
        let mut fastest = [f64::INFINITY; 2];
        let mut is_linear = || {
            for (fastest, page) in fastest.iter_mut().zip([&one, &four]) {
                *fastest = fastest.min(seconds(page));
            }
            fastest[1] < 8.0 * fastest[0]
        };
        let found = (0..TRIES).any(|_| is_linear());
        assert!(
            found,
            "{piece}: {fastest:?} s for {length} and four times that"
        );
    }
    let stairs: String = (1..1500)
        .map(|depth| format!("{} x\n", "*".repeat(depth)))
        .collect();
    assert!(body(&stairs).contains('x'));
}
