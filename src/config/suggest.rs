//! "Did you mean": the known name nearest to a mistyped one.

/// Longer words are nobody's typing mistake of a key.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, where one is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let (distance, best) =
        candidates.into_iter().map(|candidate| (distance(&word, &folded(candidate)), candidate)).min()?;
    let tolerated = (word.len().max(best.len()) / 3).max(1);
    (distance <= tolerated || is_anagram(&word, &folded(best))).then_some(best)
}

/// `; did you mean "x"?`, or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|best| format!("; did you mean {best:?}?")).unwrap_or_default()
}

fn folded(word: &str) -> Vec<char> {
    word.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Whether letters only changed places: `idel`.
fn is_anagram(a: &[char], b: &[char]) -> bool {
    let sorted = |word: &[char]| {
        let mut letters = word.to_vec();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// Levenshtein's distance, row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_nothing_far_fetched() {
        let keys = ["public_url", "prefix", "providers", "path", "upstream"];
        for (word, meant) in [
            ("publicUrl", Some("public_url")),
            ("public-url", Some("public_url")),
            ("pth", Some("path")),
            ("Upstream", Some("upstream")),
            ("upsteam", Some("upstream")),
            ("ptah", Some("path")),
            ("provider", Some("providers")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }
}
