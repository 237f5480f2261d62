//! Pages in English.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "en",
        "The [[dog]]s run to [[Paris|the city]]'s [[Seine (river)|]].",
        "The dogs run to the city's Seine.",
    ),
    (
        "en",
        "A [[File:A.jpg|thumb|A [[map]] of {{flag|Peru}}]]picture.",
        "A picture.",
    ),
    (
        "en",
        "A {{unknown thing|x}} gap, and ({{unknown thing}}) another ({{unknown thing}}; b).",
        "A gap, and another (b).",
    ),
    (
        "en",
        "One<ref name=\"a\" />, two<ref>x [[y]] {{cite web|url=http://z}}</ref>.",
        "One, two.",
    ),
    ("en", "a<!-- one --> b <!-- {{ [[ -->c", "a b c"),
    ("en", "x <ref>a <nowiki></ref></nowiki> b</ref>y", "x y"),
    (
        "en",
        "Use <code><nowiki>{{!}}</nowiki></code> for <nowiki>&lt;br&gt;</nowiki>.",
        "Use {{!}} for <br>.",
    ),
    (
        "en",
        "before\n<pre>\n  two  spaces [[x]]\n''y''\n</pre>\nafter",
        "before\n\n  two  spaces [[x]]\n''y''\n\nafter",
    ),
    (
        "en",
        "Run <syntaxhighlight lang=\"c\" inline>a[[0]] &lt; {{b}}</syntaxhighlight> now.",
        "Run a[[0]] &lt; {{b}} now.",
    ),
    (
        "en",
        "<syntaxhighlight lang=\"python\">\ndef f():\n    return {{}}\n</syntaxhighlight>\nEnd.",
        "def f():\n    return {{}}\n\nEnd.",
    ),
    (
        "en",
        "where <math>\\{x | y\\}^{{2}}</math> holds {{x|y}}.",
        r"where $\{x | y\}^{{2}}$ holds.",
    ),
    (
        "en",
        "{|\n! a\n|-\n| b {{!}} c\n{|\n| inner\n|}\n|}\nProse.",
        "Prose.",
    ),
    ("en", ":{| class=x\n|a\n|} tail", "tail"),
    (
        "en",
        "A<table><tr><td><table><tr><td>b</td></tr></table></td></tr></table>C",
        "A\nC",
    ),
    (
        "en",
        "{{{!}} class=\"wikitable\"\n{{!}} cell\n{{!}}}\nText.",
        "Text.",
    ),
    (
        "en",
        "!Kung is spoken here.\n\n| is a bar, and\n\n|x| is a size.",
        "!Kung is spoken here.\n\n| is a bar, and\n\n|x| is a size.",
    ),
    (
        "en",
        "Image: a word that begins a sentence.\n\nFile: another.",
        "Image: a word that begins a sentence.\n\nFile: another.",
    ),
    (
        "en",
        "== A ==\ntext\n=== B ===\n== C ==\n* one\n** two\n: three",
        "A\n\ntext\n\nC\n\none\ntwo\nthree",
    ),
    (
        "en",
        "== See also ==\n* [[x]]\n=== Y ===\nz\n== D ==\nend",
        "D\n\nend",
    ),
    (
        "en",
        "__NOTOC__ x __ForceToc__ __init__ snake__case__ y",
        "x __init__ snake__case__ y",
    ),
    (
        "en",
        "He is {{convert|6|ft|2|in|m}} tall, {{cvt|10|-|15|kg|lb}} heavier.",
        "He is 6 ft 2 in tall, 10–15 kg heavier.",
    ),
    (
        "en",
        "{{As of|2020|1}}, {{nowrap|{{formatnum:12345}} people}} ({{circa|1900}}).",
        "As of January 2020, 12,345 people (c. 1900).",
    ),
    (
        "en",
        "{{lang|fr|[[Paris]]}} ({{IPAc-en|p|ɛr}}; {{lang-el|Παρίσι}})",
        "Paris (Παρίσι)",
    ),
    (
        "en",
        "{{abbr|e.g.|for example}} {{ill|Foo|de|Foo}} {{frac|1|2}} {{=}} {{!}}",
        "e.g. Foo 1/2 = |",
    ),
    ("en", "{{Quote|To be.|Hamlet}}", "To be."),
    ("en", "{{plainlist|\n* a\n* b\n}}", "a\nb"),
    (
        "en",
        "[http://x.org the site], [https://y.org], //z, http://bare.org/q.",
        "the site, //z, http://bare.org/q.",
    ),
    (
        "en",
        "[[fr:Terre]][[de:Erde|x]][[:fr:Terre]] [[wikt:word]] [[Category:X|y]][[:Category:X]]",
        "fr:Terre wikt:word Category:X",
    ),
    (
        "en",
        "''a'' '''b''' '''''c''''' l'''''x'' y'''",
        "a b c lx y",
    ),
    (
        "en",
        "1 &lt; 2 &amp;amp; 3&nbsp;km &#91;&#91;x&#93;&#93;",
        "1 < 2 &amp; 3 km [[x]]",
    ),
    (
        "en",
        "x<y and y>z, <b>bold</b>, <foo>kept</foo>",
        "x<y and y>z, bold, kept",
    ),
    (
        "en",
        "{{#if:x|yes|no}} {{#tag:ref|note}}{{uc:abc}} {{PAGENAME}} {{DEFAULTSORT:T, x}}",
        "yes ABC T",
    ),
    (
        "en",
        "{{Infobox x\n| a = {{b|c=[[d|e]]}}\n| f = {|\n| g\n|}\n}}Start.",
        "Start.",
    ),
    ("en", "a {{open|b\n\nc", "a\n\nc"),
    (
        "en",
        "<onlyinclude>a</onlyinclude><includeonly>b</includeonly><noinclude>c</noinclude>",
        "ac",
    ),
    (
        "en",
        "<gallery>\nFile:A.jpg|caption\n</gallery>\nText<br />more<br>end",
        "Text more end",
    ),
    (
        "en",
        "E = mc<sup>2</sup>, H<sub>2</sub>O, 10<sup>-3</sup>",
        "E = mc^2, H2O, 10^-3",
    ),
    (
        "en",
        "{{USS|Enterprise|CV-6}}, {{HMS|Ajax|22|6}}, {{SS|Rex}}, {{HMS|Hood|51|2}}",
        "USS Enterprise (CV-6), HMS Ajax, SS Rex, Hood",
    ),
];
