//! Situations that people reported about other converters.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "en",
        "[[A (b)|''Time'']]'s list, [[B|''Life'']]'s photo; L'<nowiki/>''Iliade'' et l'<nowiki/>''Odyssée''",
        "Time's list, Life's photo; L'Iliade et l'Odyssée",
    ),
    (
        "en",
        "''Time''{{'s}} and ''Life''{{'s}} covers; ''[[Til|'Til Now]]''",
        "Time's and Life's covers; 'Til Now",
    ),
    (
        "en",
        "''x''<sup>2</sup> + 10<sup>&minus;3</sup>, r<sup>''n''</sup>, 10{{sup|6}}, the 2<sup>nd</sup>",
        "x^2 + 10^−3, r^n, 10^6, the 2nd",
    ),
    (
        "ru",
        "5 км<sup>2</sup>, π<sup>2</sup>, {{num|12345|чел.}}, {{formatnum:4380}}",
        "5 км^2, π^2, 12 345 чел., 4380",
    ),
    (
        "en",
        "A<ref name=\"hola /> and B<ref name=\"x>y</ref> C<ref name=foo\">z</ref>.",
        "A and B C.",
    ),
    ("en", "A <span class=\"x>styled</span> B", "A styled B"),
    (
        "ar",
        "بحر ({{إنج|Sea}}، {{unknown}}) و({{unknown}}، {{إنج|Sea}}) و({{unknown}}؛ {{unknown}})",
        "بحر (Sea) و(Sea) و",
    ),
    (
        "ja",
        "A、{{unknown}}、B「{{unknown}}」。{{unknown}}。",
        "A、B。",
    ),
    (
        "ko",
        "글.\n== 외부 링크 ==\n* [http://x y]\n== 역사 ==\n끝.",
        "글.\n\n역사\n\n끝.",
    ),
    (
        "fr",
        "Le 1{{er}} mai, au XIX{{e}} siècle, {{s|I|er}}, {{sp|XV|e|-|XVI|e}}, {{sp|XVII|e|et|XVIII|e}}, 10{{exp|6}}",
        "Le 1er mai, au XIXe siècle, Ier siècle, XVe-XVIe siècles, XVIIe et XVIIIe siècles, 10^6",
    ),
    (
        "fr",
        "{{date|14 juillet 1789|en politique}}, {{unité|1234567 habitants}}, {{n°}}5, {{unité/2|5|à|10|km}}",
        "14 juillet 1789, 1 234 567 habitants, no 5, 5 à 10 km",
    ),
    (
        "es",
        "10{{esd}}km, {{siglo|V|a}}, {{convertir|12345.5|km|mi}}",
        "10 km, siglo V a. C., 12 345,5 km",
    ),
    ("it", "{{M|10||km}} e {{ITA}} {{fb|GER}}", "10 km e"),
    (
        "de",
        "{{RUS}}, {{ruS|Москва}}, {{USA|#}} [[USA]], {{Höhe|1234}}",
        "Russland, russisch Москва, USA, 1234 m",
    ),
    ("en", "{{USA}} and {{aut|Jan}} {{RUS}} win", "and win"),
    (
        "ru",
        "{{OldStyleDate|12|мая|1900|30 апреля}}; {{OldStyleDate|4|января|1915|22|декабря|1914}}; {{OldStyleDate|16|марта|1859|4}}",
        "30 апреля (12 мая) 1900; 22 декабря 1914 (4 января 1915); 4 (16) марта 1859",
    ),
    (
        "en",
        "B{{music|flat}} in {{music|time|4|4}}, 5{{frac|1|2}} inches, {{frac|1|2}}",
        "B♭ in 4/4, 5 1/2 inches, 1/2",
    ),
    (
        "en",
        "{{val|1.23|0.05|u=kg}}, {{val|2.0|+0.5|-0.3}}, {{val|1.5|(3)|e=-5}}",
        "1.23±0.05 kg, 2.0+0.5−0.3, 1.5(3)×10^−5",
    ),
    (
        "en",
        "{{convert|1.5|e6acre|km2}}, {{convert|70000|sqft}}, {{convert|12|USgal}}",
        "1.5 million acres, 70,000 sq ft, 12 US gal",
    ),
    (
        "en",
        "{{bibleverse||Genesis|1:1|KJV}}, {{bibleverse|1|Kings|2:3|KJV}}, {{bibleverse|Genesis|1:1|KJV}}",
        "Genesis 1:1, 1 Kings 2:3, Genesis 1:1",
    ),
    (
        "en",
        "{{harvtxt|Smith|Jones|2000|p=5}} say {{nihongo||東京|Tōkyō}}, the {{ordinal|3}}, {{percentage|5|20}}",
        "Smith & Jones (2000, p. 5) say 東京, the 3rd, 25%",
    ),
    (
        "en",
        "* {{flagicon|USA}}, [[Boston]]\n* {{foo}}: x",
        "Boston\nx",
    ),
    (
        "en",
        "Foo{{small| (bar)}} and{{nowrap| baz}} J{{*}}K {{pad left}}",
        "Foo (bar) and baz J • K",
    ),
    (
        "en",
        "Text [[File:A.jpg|thumb|cap\n* Item one\n* Item two",
        "Text\n\nItem one\nItem two",
    ),
    (
        "en",
        "[http://x.org the [[link|one]] text] now <q>so</q>",
        "the one text now “so”",
    ),
    (
        "ja",
        "<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>と<ruby>字<rt>じ</rt></ruby>",
        "漢（かん）と字（じ）",
    ),
    (
        "en",
        "{|\n|a\n|}{|class=y\n|b\n|}end {{padleft:7|3|0}}",
        "end 007",
    ),
    (
        "ru",
        "{{plural:5|год|года|лет}} {{plural:22|год|года|лет}} {{plural:1|год|года|лет}}",
        "лет года год",
    ),
];
