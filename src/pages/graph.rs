//! A graph of figures over time: steps over a ground, drawn here, and the same as a table.
//!
//! Called by `seats`. The picture has no text in it, which would shrink with it on a phone: what its sides
//! mean stands around it. Its colours are the style sheet's, so that they follow the theme. Must never be the
//! only form in which a figure is to be had.

use std::fmt::Write as _;

/// The height of the picture, of which the highest figure takes [`HIGHEST`].
const HEIGHT: u32 = 100;
const HIGHEST: u64 = 95;

/// A picture: paths within a width of one for each figure, and a height of a hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: usize,
    /// The ground under each series, the first one behind.
    pub(super) areas: Vec<String>,
    /// The height of the limit, where it is to be seen.
    pub(super) limit: Option<u32>,
    /// The figure at the top.
    pub(super) top: u64,
}

/// Draws these series, which are of one length; a limit far above them is left out, so that they can be seen.
pub(super) fn draw(series: &[&[u64]], limit: u64) -> Picture {
    let most = series.iter().flat_map(|figures| figures.iter().copied()).max().unwrap_or_default();
    let shows_limit = limit <= most.saturating_mul(4).max(1);
    let top = if shows_limit { most.max(limit) } else { most }.max(1);
    let height = |figure: u64| HEIGHT - u32::try_from(figure.saturating_mul(HIGHEST) / top).unwrap_or(HEIGHT);
    let area = |figures: &&[u64]| {
        let mut path = format!("M0 {HEIGHT}");
        let mut before = 0;
        for (at, figure) in figures.iter().enumerate() {
            if *figure != before {
                let _ = write!(path, "H{at}V{}", height(*figure));
                before = *figure;
            }
        }
        let _ = write!(path, "H{}V{HEIGHT}Z", figures.len());
        path
    };
    Picture {
        width: series.iter().map(|figures| figures.len()).max().unwrap_or_default(),
        areas: series.iter().map(area).collect(),
        limit: shows_limit.then(|| height(limit)),
        top,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_drawn_in_steps_and_a_limit_where_it_can_be_seen() {
        let picture = draw(&[&[0, 2, 2, 4, 0]], 4);
        assert_eq!(picture.areas, ["M0 100H1V53H3V5H4V100H5V100Z"]);
        assert_eq!((picture.width, picture.limit, picture.top), (5, Some(5), 4));
        let far = draw(&[&[1, 2]], 1000);
        assert_eq!((far.limit, far.top), (None, 2));
        let none = draw(&[&[0, 0]], 3);
        assert_eq!((none.areas, none.limit, none.top), (vec!["M0 100H2V100Z".to_owned()], None, 1));
        let huge = draw(&[&[u64::MAX]], 1);
        assert_eq!(huge.limit, Some(100));
    }
}
