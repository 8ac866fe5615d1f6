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
    let version: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Asset { name: format!("{stem}-{version}.{extension}"), content_type, body }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
