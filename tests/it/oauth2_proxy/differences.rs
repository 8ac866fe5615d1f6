//! Where Vestibule answers otherwise, and on purpose: one entry for each row of the table under
//! "What is answered otherwise" in `docs/oauth2-proxy.md`, in its order.

/// One difference.
pub(super) struct Difference {
    /// The first column of its row.
    pub(super) row: &'static str,
    /// The facts that differ for this reason.
    pub(super) seen: &'static [Seen],
}

/// Where it is seen: the cases (`*` stands for anything), the fact, and what we say.
#[derive(Debug)]
pub(super) struct Seen(&'static str, &'static str, &'static str);

impl Seen {
    /// Whether it explains that this fact of this case is so here.
    pub(super) fn fits(&self, case: &str, fact: &str, ours: &str) -> bool {
        self.1 == fact && self.2 == ours && matches(self.0, case)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| matches(rest, text))
        }),
    }
}

/// All of them.
pub(super) const DIFFERENCES: &[Difference] = &[];
