//! Dates.

use super::{Arguments, without_marks};

/// The months of a language, and the text between day, month and year.
struct Calendar {
    language: &'static str,
    months: [&'static str; 12],
    /// `{d}`, `{m}` and `{y}` stand for day, month and year.
    order: &'static str,
    without_day: &'static str,
}

const CALENDARS: [Calendar; 9] = [
    Calendar {
        language: "en",
        months: [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        order: "{d} {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "de",
        months: [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ],
        order: "{d}. {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "fr",
        months: [
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "août",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ],
        order: "{d} {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "es",
        months: [
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ],
        order: "{d} de {m} de {y}",
        without_day: "{m} de {y}",
    },
    Calendar {
        language: "it",
        months: [
            "gennaio",
            "febbraio",
            "marzo",
            "aprile",
            "maggio",
            "giugno",
            "luglio",
            "agosto",
            "settembre",
            "ottobre",
            "novembre",
            "dicembre",
        ],
        order: "{d} {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "pt",
        months: [
            "janeiro",
            "fevereiro",
            "março",
            "abril",
            "maio",
            "junho",
            "julho",
            "agosto",
            "setembro",
            "outubro",
            "novembro",
            "dezembro",
        ],
        order: "{d} de {m} de {y}",
        without_day: "{m} de {y}",
    },
    Calendar {
        language: "pl",
        months: [
            "stycznia",
            "lutego",
            "marca",
            "kwietnia",
            "maja",
            "czerwca",
            "lipca",
            "sierpnia",
            "września",
            "października",
            "listopada",
            "grudnia",
        ],
        order: "{d} {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "ru",
        months: [
            "января",
            "февраля",
            "марта",
            "апреля",
            "мая",
            "июня",
            "июля",
            "августа",
            "сентября",
            "октября",
            "ноября",
            "декабря",
        ],
        order: "{d} {m} {y}",
        without_day: "{m} {y}",
    },
    Calendar {
        language: "ja",
        months: [
            "1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月",
        ],
        order: "{y}年{m}{d}日",
        without_day: "{y}年{m}",
    },
];

fn calendar(language: &str) -> &'static Calendar {
    let language = if language == "zh" { "ja" } else { language };
    CALENDARS
        .iter()
        .find(|calendar| calendar.language == language)
        .unwrap_or(&CALENDARS[0])
}

/// A day, month and year, of which each may be missing.
#[derive(Default)]
struct Date {
    day: String,
    month: String,
    year: String,
}

impl Date {
    fn shown(&self, calendar: &Calendar) -> String {
        let number = self.month.parse::<usize>().ok();
        let month = match number.filter(|number| (1..=12).contains(number)) {
            Some(number) => calendar.months[number - 1],
            None => self.month.as_str(),
        };
        let day = self.day.trim_start_matches('0');
        let day = match (calendar.language, day) {
            ("fr", "1") => "1er",
            (_, day) => day,
        };
        match (month.is_empty(), day.is_empty()) {
            (true, _) => self.year.clone(),
            (false, true) => filled(calendar.without_day, day, month, &self.year),
            (false, false) => filled(calendar.order, day, month, &self.year),
        }
    }
}

fn filled(order: &str, day: &str, month: &str, year: &str) -> String {
    let text = order
        .replace("{d}", day)
        .replace("{m}", month)
        .replace("{y}", year);
    // Without a year, the words before it go too.
    let text = text.trim();
    let text = text.strip_suffix(" de").unwrap_or(text);
    text.trim_start_matches('年').to_owned()
}

/// `{{start date|2004|5|1}}`, `{{date|1|mai|2004}}` or `{{date|2004-05-01}}` in words.
pub(super) fn date(arguments: &Arguments<'_>) -> String {
    let given: Vec<_> = arguments
        .unnamed
        .iter()
        .map(|argument| without_marks(argument))
        .collect();
    let given: Vec<&str> = given.iter().map(|argument| argument.trim()).collect();
    let part = |number: usize| given.get(number).copied().unwrap_or("").to_owned();
    let iso: Vec<&str> = given
        .first()
        .map_or(Vec::new(), |first| first.split('-').collect());
    let is_year = |text: &str| text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut is_iso = false;
    let date = match iso[..] {
        [year, month, day] if is_year(year) => {
            is_iso = true;
            Date {
                year: year.to_owned(),
                month: month.trim_start_matches('0').to_owned(),
                day: day.to_owned(),
            }
        }
        _ if given.first().is_some_and(|first| is_year(first)) => Date {
            year: part(0),
            month: part(1),
            day: part(2),
        },
        // A whole date, perhaps with a topic after it.
        _ if given.len() == 1 || given.first().is_some_and(|first| first.contains(' ')) => {
            return given.first().copied().unwrap_or("").to_owned();
        }
        _ => Date {
            day: part(0),
            month: part(1),
            year: part(2),
        },
    };
    let calendar = calendar(arguments.language);
    let day_first = is_iso || arguments.is_on("df") || calendar.language != "en";
    if day_first || date.day.is_empty() {
        date.shown(calendar)
    } else {
        american(&date)
    }
}

/// `{{as of|2008|7|5}}` gives `As of 5 July 2008`.
pub(super) fn as_of(arguments: &Arguments<'_>) -> String {
    if let Some(text) = arguments.get("alt") {
        return text.to_owned();
    }
    let date = Date {
        year: arguments.get("1").unwrap_or("").to_owned(),
        month: arguments.get("2").unwrap_or("").to_owned(),
        day: arguments.get("3").unwrap_or("").to_owned(),
    };
    let shown = if arguments
        .get("df")
        .is_some_and(|order| order.eq_ignore_ascii_case("us"))
        && !date.day.is_empty()
    {
        american(&date)
    } else {
        date.shown(&CALENDARS[0])
    };
    let words = match (arguments.is_on("since"), arguments.is_on("lc")) {
        (false, false) => "As of",
        (false, true) => "as of",
        (true, false) => "Since",
        (true, true) => "since",
    };
    let between = arguments
        .get("pre")
        .map_or(String::new(), |before| format!("{before} "));
    let after = arguments.get("post").unwrap_or("");
    format!("{words} {between}{shown}{after}")
}

/// `May 1, 2004`.
fn american(date: &Date) -> String {
    let month = Date {
        month: date.month.clone(),
        ..Date::default()
    };
    let month = month.shown(&CALENDARS[0]);
    let day = date.day.trim_start_matches('0');
    format!("{} {day}, {}", month.trim(), date.year)
}
