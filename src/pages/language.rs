//! Which language a page is in: the two that we speak, and their choice by `Accept-Language`.
//!
//! Called by `server`, once a page. Never refuses: a header that makes no sense means French.

/// A language that every page exists in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The default.
    #[default]
    French,
    /// For whoever prefers it to French.
    English,
}

/// What a header says of one language: its weight in thousandths, and where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Preference {
    weight: u16,
    position: usize,
}

impl Language {
    /// Both, for tables and tests.
    pub const ALL: [Self; 2] = [Self::French, Self::English];

    /// The BCP 47 tag, for `lang` and `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// The language to answer in (RFC 9110 §12.5.4).
    ///
    /// A range counts for us by its primary subtag (`fr-CA` is French), `*` stands for what is not
    /// named, the heavier wins, then the earlier, then French. Somebody who reads neither gets
    /// French, unless French is refused (`fr;q=0`) and English is not.
    pub fn from_accept_language(header: Option<&str>) -> Self {
        let header = header.unwrap_or_default();
        let named = |language| preference(header, language).or_else(|| preference(header, "*"));
        let (french, english) = (named("fr"), named("en"));
        let wanted = |preference: Option<Preference>| preference.filter(|preference| preference.weight > 0);
        let english_first = match (wanted(french), wanted(english)) {
            (Some(french), Some(english)) => {
                english.weight > french.weight
                    || (english.weight == french.weight && english.position < french.position)
            }
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => french.is_some() && english.is_none(),
        };
        if english_first { Self::English } else { Self::French }
    }
}

/// The heaviest range of `header` whose primary subtag is `subtag`; the earliest of equals.
fn preference(header: &str, subtag: &str) -> Option<Preference> {
    let mut best: Option<Preference> = None;
    for (position, element) in header.split(',').enumerate() {
        let mut parts = element.split(';');
        let range = parts.next().unwrap_or_default().trim();
        let primary = range.split('-').next().unwrap_or_default();
        if !primary.eq_ignore_ascii_case(subtag) {
            continue;
        }
        let Some(weight) = weight(parts) else { continue };
        if best.is_none_or(|best| weight > best.weight) {
            best = Some(Preference { weight, position });
        }
    }
    best
}

/// The weight among a range's parameters, in thousandths; 1000 where none is given, nothing where
/// it is not one (RFC 9110 §12.4.2).
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    for parameter in parameters {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("q") {
            return thousandths(value.trim());
        }
    }
    Some(1000)
}

/// `0`, `0.5`, `1.000`: at most three decimals, at most 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{self, English, French};

    #[test]
    fn the_reader_s_preference_is_followed() {
        let cases = [
            (None, French),
            (Some(""), French),
            (Some("fr"), French),
            (Some("en"), English),
            (Some("EN-us"), English),
            (Some("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"), French),
            (Some("en-GB,en;q=0.9,fr;q=0.8"), English),
            (Some("en;q=0.3, fr;q=0.31"), French),
            (Some("en ; q=0.9 , fr ; Q=0.8"), English),
            // Equal weights: the one named first.
            (Some("en,fr"), English),
            (Some("fr,en"), French),
            // Neither of ours: French, unless it is refused.
            (Some("de-DE,de;q=0.9"), French),
            (Some("de,en;q=0.1"), English),
            (Some("de,fr;q=0"), English),
            (Some("fr;q=0,en;q=0"), French),
            (Some("en;q=0"), French),
            // The wildcard stands for what is not named.
            (Some("*"), French),
            (Some("en;q=0.5,*;q=0.8"), French),
            (Some("fr;q=0.2,*"), English),
            (Some("*;q=0,en"), English),
            // `french`, `eng` are not `fr`, `en`.
            (Some("eng,french;q=0.5"), French),
        ];
        for (header, expected) in cases {
            assert_eq!(Language::from_accept_language(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_range_whose_weight_is_no_weight_does_not_count() {
        for weight in ["2", "1.001", "-1", "0.1234", "0,5", "NaN", "", ".5", "0.x", "1e-1", "+1"] {
            let header = format!("en;q={weight},fr;q=0.1");
            assert_eq!(Language::from_accept_language(Some(&header)), French, "{header}");
        }
    }

    #[test]
    fn no_header_is_too_strange() {
        let long = "en;q=0.1,".repeat(10_000);
        for header in ["\0", ";;;", ",,,", "=;q", "é;q=1", "-", "*-*;q=1", &long] {
            let _ = Language::from_accept_language(Some(header));
        }
    }
}
