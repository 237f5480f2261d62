//! Short pages in many languages with the text that a reader sees.

use super::{Site, body};

/// Language (with a variant after a slash), wikitext, text.
const CASES: [(&str, &str, &str); 113] = [
    // English
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
    // German
    (
        "de",
        "Text [[Datei:Karte.png|mini|hochkant|Eine [[Karte]]]] [[Bild:B.jpg]] weiter. [[Kategorie:Ort]]",
        "Text weiter.",
    ),
    (
        "de",
        "Der Ort ({{enS|place}}, {{frS|''lieu''}}) hat {{formatnum:12345.5}} Einwohner.",
        "Der Ort (englisch place, französisch lieu) hat 12.345,5 Einwohner.",
    ),
    (
        "de",
        "{{\"|Sein oder {{lang|la|non esse}}}} sagte er.",
        "„Sein oder non esse“ sagte er.",
    ),
    (
        "de",
        "{{Zitat|Ein Satz.|Autor}}\nDanach.",
        "Ein Satz.\n\nDanach.",
    ),
    (
        "de",
        "__KEIN_INHALTSVERZEICHNIS__Anfang __keineabschnitte__ Ende",
        "Anfang __keineabschnitte__ Ende",
    ),
    (
        "de",
        "== Einzelnachweise ==\n<references />\n== Weblinks ==\n* [http://x.de X]",
        "",
    ),
    (
        "de",
        "Der Berg ist {{Höhe|1234|DE-NHN|link=true}} hoch. [[en:Mountain]]",
        "Der Berg ist 1234 m hoch.",
    ),
    (
        "de",
        "Sie sagte: „Ja “ – z.&nbsp;B. heute",
        "Sie sagte: „Ja “ – z. B. heute",
    ),
    // French
    (
        "fr",
        "Bonjour ! Qui ? « Oui » ; non : fin.",
        "Bonjour ! Qui ? « Oui » ; non : fin.",
    ),
    (
        "fr",
        "Au {{s|XIX}}, {{unité|1234567|habitants}} et {{unité|3.5|km|2}} [[Fichier:A.jpg|vignette|x]] !",
        "Au XIXe siècle, 1 234 567 habitants et 3,5 km2 !",
    ),
    (
        "fr",
        "Il dit {{citation|bonjour}}{{refnec|toujours}} le {{date|14|juillet|1789}}.",
        "Il dit « bonjour »toujours le 14 juillet 1789.",
    ),
    (
        "fr",
        "Mot{{sfn|A|2000}} ; suite{{référence nécessaire|dite}} [[Catégorie:X]][[en:X]].",
        "Mot ; suitedite.",
    ),
    (
        "fr",
        "{{lang|en|the word}} ({{abréviation|anc.|ancien}}), {{1er}} mai, {{XXe siècle}}, {{nombre|4380|pages}}",
        "the word (anc.), 1er mai, XXe siècle, 4 380 pages",
    ),
    (
        "fr",
        "L'''[[Iliade]]'' d'{{Lien|langue=en|trad=X|fr=Y|texte=un auteur}}.",
        "L'Iliade d'un auteur.",
    ),
    (
        "fr",
        "{{av JC}}, {{-s|V}}, {{Citation bloc|Un vers.}}",
        "av. J.-C., Ve siècle av. J.-C.,\n\nUn vers.",
    ),
    // Spanish
    (
        "es",
        "Vive en el {{siglo|XIX||s}} a {{unidad|10|km}} [[Archivo:M.png|miniatura|x]]del mar.[[Categoría:Y]]",
        "Vive en el siglo XIX a 10 km del mar.",
    ),
    (
        "es",
        "¿Qué? {{lang|en|House}}, {{esd|10 %}} y {{formatnum:12345}}.{{cita requerida}}",
        "¿Qué? House, 10 % y 12 345.",
    ),
    (
        "es",
        "{{cita|Ser o no ser|autor}}\nFin. [[Imagen:x.jpg]]",
        "Ser o no ser\n\nFin.",
    ),
    (
        "es",
        "Nació el {{fecha|1|5|2004}} en [[Roma]].",
        "Nació el 1 de mayo de 2004 en Roma.",
    ),
    // Italian
    (
        "it",
        "Alta {{M|10|u=m}} [[Immagine:x.jpg|thumb|y]]nel {{senza fonte|1900}}.{{cn}}",
        "Alta 10 m nel 1900.",
    ),
    (
        "it",
        "{{Citazione|Essere.|Amleto}}\nPoi {{lang|en|dog}} perché l'''opera''.",
        "Essere.\n\nPoi dog perché l'opera.",
    ),
    // Portuguese
    (
        "pt",
        "Em {{dtlink|1|5|2004}}, no {{séc|XIX}}, {{fmtn|43801}} pessoas [[Ficheiro:a.jpg|x]].",
        "Em 1 de maio de 2004, no século XIX, 43 801 pessoas.",
    ),
    (
        "pt",
        "{{Citação2|Ser.}}\nDepois [[Imagem:x.png|thumb]] disso.[[Categoria:X]]",
        "Ser.\n\nDepois disso.",
    ),
    // Polish
    (
        "pl",
        "Ma {{liczba|12345}} osób {{fakt|data=2010}} i {{ułamek|1|2}} [[Plik:a.jpg|mały|x]]km.",
        "Ma 12 345 osób i 1/2 km.",
    ),
    (
        "pl",
        "{{Cytat|Być.|Hamlet}}\n{{w języku|en|word}} [[Kategoria:X]]",
        "Być.\n\nword",
    ),
    // Russian
    (
        "ru",
        "'''Море''' ({{lang-en|sea}}) [[Файл:a.jpg|мини|x]] имеет {{число|12345}} {{s|км}}.[[Категория:X]]",
        "Море (sea) имеет 12 345 км.",
    ),
    (
        "ru",
        "{{нп5|Статья|статья|en|Article}} и {{comment|слово|пояснение}}{{нет АИ|1|2}}.",
        "статья и слово.",
    ),
    (
        "ru",
        "{{цитата|Быть.|автор=Гамлет}}\nПотом «да» — {{дробь|1|2}}. __ОГЛ__",
        "Быть.\n\nПотом «да» — 1/2.",
    ),
    ("ru", "#ПЕРВЫЙ пункт\n#второй", "ПЕРВЫЙ пункт\nвторой"),
    // Japanese
    (
        "ja",
        "{{読み仮名|'''海'''|うみ}}は[[水]]。[[ファイル:a.jpg|サムネイル|[[図]]]]{{仮リンク|記事|en|A}}と{{要出典範囲|話|date=2020}}。",
        "海（うみ）は水。記事と話。",
    ),
    (
        "ja",
        "{{Lang|en|sea}}（{{lang-en-short|sea}}、{{unknown}}）__目次非表示__\n[[Category:海]][[カテゴリ:水]]",
        "sea（sea）",
    ),
    (
        "ja",
        "高さは{{convert|10|m|ft}}、{{ルビ|東京|とうきょう}}。<ref>注</ref>",
        "高さは10 m、東京。",
    ),
    // Chinese
    (
        "zh",
        "-{zh-hans:计算机;zh-hant:電腦}-是[[机器|-{zh-cn:机器;zh-tw:機器}-]]。-{H|zh-cn:博客;zh-tw:部落格}-[[文件:a.png|缩略图|x]]",
        "计算机是机器。",
    ),
    (
        "zh/zh-tw",
        "-{zh-hans:计算机;zh-hant:電腦}-與-{zh-cn:软件; zh-tw:軟體; zh-hk:軟件}-、-{保留}-。{{NoteTA|1=x}}",
        "電腦與軟體、保留。",
    ),
    (
        "zh",
        "{{le|条目|Article}}和{{tsl|en|X|某人}}{{bd|1900年|1月2日|1950年|3月4日}}。{{fact}}[[分类:X]][[Category:Y]]",
        "条目和某人（1900年1月2日－1950年3月4日）。",
    ),
    (
        "zh",
        "A-{zh-hans:B{{lang|en|C}};zh-hant:D}-E-{T|zh:标题}-F",
        "ABCEF",
    ),
    // Arabic
    (
        "ar",
        "'''بحر''' ({{إنج|sea}}) [[ملف:a.jpg|تصغير|x]]كبير.[[تصنيف:ماء]]",
        "بحر (sea) كبير.",
    ),
    (
        "ar",
        "{{وإو|تر=Article|عر=مقالة|نص=المقالة}} {{تحويل|10|كم|ميل}}{{بحاجة لمصدر}}.",
        "المقالة 10 كم.",
    ),
    // Others
    (
        "sv",
        "Text [[Fil:a.jpg|miniatyr|x]] slut. [[Kategori:X]]",
        "Text slut.",
    ),
    (
        "he",
        "טקסט [[קובץ:a.jpg|ממוזער|x]] סוף.[[קטגוריה:X]]",
        "טקסט סוף.",
    ),
    (
        "fa",
        "می‌رود [[پرونده:a.jpg|بندانگشتی|x]] پایان.[[رده:X]]",
        "می‌رود پایان.",
    ),
    (
        "vi",
        "Chữ [[Tập tin:a.jpg|nhỏ|x]] hết.[[Thể loại:X]]",
        "Chữ hết.",
    ),
    ("ko", "글 [[파일:a.jpg|섬네일|x]] 끝.[[분류:X]]", "글 끝."),
    (
        "sr/sr-el",
        "-{sr-ec:Београд; sr-el:Beograd}- je grad. [[Датотека:a.jpg|мини]]",
        "Beograd je grad.",
    ),
    (
        "el",
        "Κείμενο [[Αρχείο:a.jpg|μικρογραφία|x]] τέλος.[[Κατηγορία:X]]",
        "Κείμενο τέλος.",
    ),
    (
        "",
        "a [[Datei:x.jpg|y]] [[Fichier:x.jpg|z]] b -{zh-hans:汉;zh-hant:漢}-",
        "a b 汉",
    ),
    ("xx", "ignore [[File:x.jpg|y]] this", "ignore this"),
    (
        "en",
        "{{USS|Enterprise|CV-6}}, {{HMS|Ajax|22|6}}, {{SS|Rex}}, {{HMS|Hood|51|2}}",
        "USS Enterprise (CV-6), HMS Ajax, SS Rex, Hood",
    ),
    // What reports about other converters name.
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

#[test]
fn pages_give_the_text_that_a_reader_sees() {
    let mut wrong = Vec::new();
    for (language, wikitext, expected) in CASES {
        let (language, variant) = language.split_once('/').unwrap_or((language, ""));
        let (text, _) = body(&Site::new(language, variant), "T", wikitext);
        if text != expected {
            wrong.push(format!(
                "{language}: {wikitext:?}\n  gives {text:?}\n  not   {expected:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} pages:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn templates_within_sentences_are_counted_by_name() {
    let lost = |wikitext| body(&Site::new("en", ""), "T", wikitext).1;
    assert_eq!(
        lost("A {{Some thing|x}} b {{other}}, {{some_thing}}."),
        ["some thing", "other", "some thing"]
    );
    // A template on its own line, or after a sentence, holds no words of it.
    assert_eq!(
        lost("{{Box\n|a=b}}\nA sentence.{{note x}}\n\n{{box}}"),
        [""; 0]
    );
    // What a dropped template holds is part of that template.
    assert_eq!(
        lost("{{box|{{inner}}}}\n\n(a {{cite web|{{inner}}}})"),
        [""; 0]
    );
}
