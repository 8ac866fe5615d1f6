//! The static files of the pages: the stylesheet and two drawings, each under a name that holds
//! the hash of its content.
//!
//! Served by `server` under `{prefix}/static/`, to everybody. Found by exact name only: no path
//! ever reaches a file system.

use ring::digest;

/// One static file.
#[derive(Clone, Debug)]
pub struct Asset {
    /// `pages-0123456789abcdef.css`
    pub name: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub body: &'static [u8],
}

/// All static files.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    pub(super) stylesheet: Asset,
    pub(super) icon: Asset,
    pub(super) proconnect: Asset,
}

impl Assets {
    pub(super) fn new() -> Self {
        const SVG: &str = "image/svg+xml";
        Self {
            stylesheet: asset("pages", "css", "text/css; charset=utf-8", include_bytes!("static/pages.css")),
            icon: asset("icon", "svg", SVG, include_bytes!("static/icon.svg")),
            proconnect: asset("proconnect", "svg", SVG, include_bytes!("static/proconnect.svg")),
        }
    }

    /// The file of exactly that name.
    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        [&self.stylesheet, &self.icon, &self.proconnect].into_iter().find(|asset| asset.name == name)
    }
}

fn asset(stem: &str, extension: &str, content_type: &'static str, body: &'static [u8]) -> Asset {
    let hash = digest::digest(&digest::SHA256, body);
    // Eight bytes: it tells versions apart, it proves nothing.
    let version = hash.as_ref().iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    Asset { name: format!("{stem}-{version:016x}.{extension}"), content_type, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const STYLESHEET: &str = include_str!("static/pages.css");

    #[test]
    fn a_file_is_found_by_its_exact_name_only() {
        let assets = Assets::new();
        for known in [&assets.stylesheet, &assets.icon, &assets.proconnect] {
            assert_eq!(assets.find(&known.name).map(|found| found.body), Some(known.body));
            for name in [format!("../{}", known.name), format!("{}/", known.name), known.name.to_uppercase()] {
                assert!(assets.find(&name).is_none(), "{name}");
            }
        }
        for name in ["", "pages.css", "..", "/etc/passwd", "pages-%00.css"] {
            assert!(assets.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn files_reach_for_nothing_outside() {
        let assets = Assets::new();
        for asset in [&assets.stylesheet, &assets.icon, &assets.proconnect] {
            let text = std::str::from_utf8(asset.body).unwrap().replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for word in ["http:", "https:", "//", "@import", "url(", "<script", "<style", "href", "onload"] {
                assert!(!text.contains(word), "{word} in {}", asset.name);
            }
        }
    }

    /// The colours by role that a block of the stylesheet sets, as relative luminances (WCAG 2.2).
    fn luminances(block: &str) -> HashMap<&str, f64> {
        let channel = |hex: &str| {
            let value = f64::from(u8::from_str_radix(hex, 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let colour = |line: &'static str| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": #");
        let luminance =
            |hex: &str| 0.2126 * channel(&hex[0..2]) + 0.7152 * channel(&hex[2..4]) + 0.0722 * channel(&hex[4..6]);
        STYLESHEET
            .split_once(block)
            .unwrap()
            .1
            .lines()
            .take_while(|line| !line.contains('}'))
            .filter_map(colour)
            .map(|(role, hex)| (role, luminance(hex)))
            .collect()
    }

    #[test]
    fn colours_can_be_told_apart_in_both_themes() {
        const PAIRS: [(&str, &str, f64); 15] = [
            ("text", "ground", 4.5),
            ("text", "card", 4.5),
            ("text", "notice", 4.5),
            ("quiet", "ground", 4.5),
            ("quiet", "card", 4.5),
            ("link", "ground", 4.5),
            ("link", "card", 4.5),
            ("link", "notice", 4.5),
            ("on-fill", "fill", 4.5),
            ("on-fill", "fill-hover", 4.5),
            ("fill", "card", 3.0),
            ("fill-hover", "card", 3.0),
            ("focus", "ground", 3.0),
            ("focus", "card", 3.0),
            ("line", "card", 3.0),
        ];
        for theme in ["\n:root {", "dark) {\n  :root {"] {
            let colours = luminances(theme);
            for (one, other, least) in PAIRS {
                let (one_is, other_is) = (colours[one], colours[other]);
                let contrast = (one_is.max(other_is) + 0.05) / (one_is.min(other_is) + 0.05);
                assert!(contrast >= least, "{one} on {other} in {theme}: {contrast:.2}");
            }
        }
    }
}
