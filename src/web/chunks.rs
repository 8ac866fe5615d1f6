//! Chunked bodies, as far as one must know them to end one in order (RFC 9112 §7.1).
//!
//! Called by `server` for event streams that it writes, and never sure of what it could not follow.

/// What ends a chunked body.
pub(crate) const LAST: &[u8] = b"0\r\n\r\n";

/// A chunked body, followed in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The size as far as it was read.
    size: Option<u64>,
    /// What is left of the chunk, with its line end.
    left: u64,
    /// The last chunk came, or what is none.
    over: bool,
}

impl Chunks {
    /// Follows the next piece.
    pub(crate) fn follow(&mut self, mut piece: &[u8]) {
        while let (Some((first, rest)), false) = (piece.split_first(), self.over) {
            if self.left > 0 {
                let now = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
                piece = piece.get(now..).unwrap_or_default();
                self.left -= now as u64;
                continue;
            }
            piece = rest;
            match (char::from(*first).to_digit(16), self.size) {
                (Some(digit), size) if size.unwrap_or(0) >> 56 == 0 => {
                    self.size = Some(size.unwrap_or(0) << 4 | u64::from(digit));
                }
                (None, Some(_)) if *first == b'\r' => {}
                (None, Some(size)) if *first == b'\n' && size > 0 => {
                    self.size = None;
                    self.left = size + 2;
                }
                _ => self.over = true,
            }
        }
    }

    /// Whether [`LAST`] may be put here.
    pub(crate) fn at_boundary(&self) -> bool {
        !self.over && self.size.is_none() && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chunk_ends_where_it_ends_however_it_comes() {
        let bytes = [&b"3\r\nabc\r\nA\r\n0123456789\r\n1000\r\n"[..], &[b'0'; 0x1000], b"\r\n"].concat();
        let ends = [0, 8, 23, bytes.len()];
        for size in [1, 2, 3, 7, 8, 1000, bytes.len()] {
            let mut chunks = Chunks::default();
            let mut at = 0;
            for piece in bytes.chunks(size) {
                assert_eq!(chunks.at_boundary(), ends.contains(&at), "{at}");
                chunks.follow(piece);
                at += piece.len();
            }
            assert!(chunks.at_boundary());
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_followed_alike_whole_and_in_pieces(text in "[0-9a-f\r\n;x]{0,60}", size in 1_usize..9) {
            let (mut whole, mut pieces) = (Chunks::default(), Chunks::default());
            text.as_bytes().chunks(size).for_each(|piece| pieces.follow(piece));
            whole.follow(text.as_bytes());
            prop_assert_eq!(whole.at_boundary(), pieces.at_boundary());
        }
    }

    #[test]
    fn a_body_ends_once_and_nonsense_has_no_end() {
        for over in ["0\r\n\r\n", "0\r\n", "3\r\nabc\r\n0\r\n\r\n", "x", "\r\n", "ffffffffffffffff\r\n", "3;a=b\r\n"] {
            let mut chunks = Chunks::default();
            chunks.follow(over.as_bytes());
            chunks.follow(b"3\r\nabc\r\n");
            assert!(!chunks.at_boundary(), "{over:?}");
        }
    }
}
