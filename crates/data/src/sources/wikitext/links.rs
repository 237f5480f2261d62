//! The text of links between pages.

/// Namespaces whose links show a picture or nothing, in the larger Wikipedias' languages.
const MEDIA: [&str; 18] = [
    "file",
    "image",
    "media",
    "datei",
    "bild",
    "fichier",
    "archivo",
    "imagen",
    "ficheiro",
    "imagem",
    "immagine",
    "bestand",
    "plik",
    "файл",
    "изображение",
    "ملف",
    "文件",
    "ファイル",
];

const CATEGORY: [&str; 12] = [
    "category",
    "kategorie",
    "catégorie",
    "categoría",
    "categoria",
    "kategoria",
    "категория",
    "تصنيف",
    "分类",
    "分類",
    "カテゴリ",
    "categorie",
];

fn namespace(target: &str) -> Option<String> {
    let (namespace, _) = target.split_once(':')?;
    Some(namespace.trim().to_lowercase())
}

/// Whether the contents of `[[...]]` so far are those of a picture.
pub(super) fn is_media(contents: &str) -> bool {
    let target = contents.split('|').next().unwrap_or("");
    target.len() < 300 && namespace(target).is_some_and(|namespace| MEDIA.contains(&&*namespace))
}

/// The visible text of `[[contents]]`.
pub(super) fn link_text(contents: &str) -> String {
    let (target, label) = match contents.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (contents, None),
    };
    // A leading colon makes a picture or a category a visible link.
    let visible = target.trim_start().strip_prefix(':');
    if visible.is_none()
        && let Some(namespace) = namespace(target)
    {
        let hidden = MEDIA.contains(&&*namespace) || CATEGORY.contains(&&*namespace);
        // Links to the same article in another language are not part of the text.
        let language = label.is_none() && is_language(target);
        if hidden || language {
            return String::new();
        }
    }
    let target = visible.unwrap_or(target);
    match label {
        None if target.starts_with("http") => String::new(),
        None => target.to_owned(),
        Some("") => short_name(target).to_owned(),
        Some(label) => label.to_owned(),
    }
}

fn is_language(target: &str) -> bool {
    let code = target.split(':').next().unwrap_or("");
    let plain = (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase());
    plain || code == "simple" || code.starts_with("zh-")
}

/// `[[Mercury (planet)|]]` shows `Mercury`.
fn short_name(target: &str) -> &str {
    let name = target.split_once(':').map_or(target, |(_, name)| name);
    name.split_once(" (").map_or(name, |(name, _)| name).trim()
}
