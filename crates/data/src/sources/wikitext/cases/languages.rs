//! Pages in other languages.

use super::Case;

pub(super) const CASES: &[Case] = &[
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
];
