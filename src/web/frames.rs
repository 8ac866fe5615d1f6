//! WebSocket frames, as far as one must know them to speak in between (RFC 6455 §5.2): where one
//! ends and whether it is data; and the Close frame (§5.5.1).
//!
//! Called by `server` for both directions of a WebSocket. Keeps no payload, changes nothing, and
//! is never sure of what it could not follow: then there is no place for a frame of ours.

/// The longest head without its mask: two bytes and a length of eight.
const MAX_HEAD: usize = 10;
const MASK_LEN: u64 = 4;
const CLOSE: u8 = 0x8;

/// One direction of a WebSocket, followed in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; MAX_HEAD],
    /// How much of a head is there.
    have: usize,
    /// What is left of the frame's mask and payload.
    left: u64,
    /// Whether that is data.
    is_data: bool,
    /// A Close frame came, or what is no frame: nothing may follow that we know of.
    over: bool,
}

impl Frames {
    /// Follows the next piece; whether there was data in it, or only pings, pongs and a close.
    pub(crate) fn follow(&mut self, mut piece: &[u8]) -> bool {
        let mut data = false;
        while let (Some((first, rest)), false) = (piece.split_first(), self.over) {
            if self.left > 0 {
                let now = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
                piece = piece.get(now..).unwrap_or_default();
                self.left -= now as u64;
                data |= self.is_data;
            } else {
                if let Some(place) = self.head.get_mut(self.have) {
                    *place = *first;
                }
                self.have += 1;
                piece = rest;
                data |= self.begin_frame();
            }
        }
        data
    }

    /// Whether a frame of ours may be put here: between two frames, before any Close.
    pub(crate) fn at_boundary(&self) -> bool {
        !self.over && self.have == 0 && self.left == 0
    }

    /// Once the head is whole; whether it is one of data.
    fn begin_frame(&mut self) -> bool {
        let [first, second, length @ ..] = self.head;
        let (length_len, short) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, u64::from(short)),
        };
        if self.have < 2 + length_len {
            return false;
        }
        let long = length.iter().take(length_len).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let masked = second & 0x80 != 0;
        let opcode = first & 0x0f;
        self.have = 0;
        self.left = (short + long).saturating_add(if masked { MASK_LEN } else { 0 });
        self.is_data = opcode < CLOSE;
        self.over = opcode == CLOSE || long >> 63 != 0;
        self.is_data && !self.over
    }
}

/// A Close frame. `reason` is cut at the 123 bytes that fit.
///
/// What goes to a server has to be masked. The mask protects what stands between from bytes that
/// a page has chosen (§10.3); these are ours, so that it may be always the same.
pub(crate) fn close(code: u16, reason: &str, masked: bool) -> Vec<u8> {
    const MASK: [u8; 4] = [0x56, 0x65, 0x73, 0x74];
    let payload: Vec<u8> = code.to_be_bytes().into_iter().chain(reason.bytes()).take(125).collect();
    let length = u8::try_from(payload.len()).unwrap_or(0);
    if masked {
        let mask = MASK.into_iter().cycle();
        let payload = payload.into_iter().zip(mask).map(|(byte, mask)| byte ^ mask);
        [0x80 | CLOSE, 0x80 | length].into_iter().chain(MASK).chain(payload).collect()
    } else {
        [0x80 | CLOSE, length].into_iter().chain(payload).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(first: u8, mask: bool, length: usize) -> Vec<u8> {
        let bit = if mask { 0x80 } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(bit | u8::try_from(length).unwrap()),
            126..65_536 => {
                frame.push(bit | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(bit | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + if mask { 4 } else { 0 } + length, 0xff);
        frame
    }

    #[test]
    fn a_frame_ends_where_it_ends_however_it_comes() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for mask in [false, true] {
                for first in [0x81, 0x82, 0x01, 0x00, 0x80, 0xc1, 0x89, 0x8a] {
                    let bytes = frame(first, mask, length);
                    for piece in [1, 2, 3, 7, 1000, bytes.len()] {
                        let mut frames = Frames::default();
                        let mut data = false;
                        for (at, piece) in bytes.chunks(piece).enumerate() {
                            assert_eq!(frames.at_boundary(), at == 0, "{first:x} {mask} {length} {at}");
                            data |= frames.follow(piece);
                        }
                        assert!(frames.at_boundary(), "{first:x} {mask} {length}");
                        assert_eq!(data, first & 0x0f < 8, "{first:x} {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn many_frames_in_one_piece_are_followed_one_by_one() {
        let bytes = [frame(0x89, true, 4), frame(0x8a, true, 0), frame(0x8a, true, 125)].concat();
        let mut frames = Frames::default();
        assert!(!frames.follow(&bytes), "pings and pongs are no data");
        assert!(frames.at_boundary());
        let bytes = [frame(0x8a, true, 4), frame(0x82, true, 300), frame(0x89, true, 1)].concat();
        assert!(frames.follow(&bytes));
        assert!(frames.at_boundary());
        // The rest of a long frame is data too.
        let long = frame(0x82, true, 100_000);
        assert!(frames.follow(&long[..20]) && frames.follow(&long[20..60_000]));
        assert!(!frames.at_boundary());
    }

    #[test]
    fn behind_a_close_and_behind_nonsense_there_is_no_place_for_another() {
        for closing in [frame(0x88, true, 2), frame(0x88, false, 0), frame(0x88, true, 2)[..3].to_vec()] {
            let mut frames = Frames::default();
            frames.follow(&closing);
            assert!(!frames.at_boundary());
            assert!(!frames.follow(&frame(0x81, true, 3)));
            assert!(!frames.at_boundary());
        }
        let mut frames = Frames::default();
        assert!(!frames.follow(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1]));
        assert!(!frames.at_boundary(), "a length with its first bit set is none");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_followed_alike_whole_and_in_pieces(bytes: Vec<u8>, size in 1_usize..9) {
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            let mut data = false;
            bytes.chunks(size).for_each(|piece| data |= pieces.follow(piece));
            prop_assert_eq!(whole.follow(&bytes), data);
            prop_assert_eq!(whole.at_boundary(), pieces.at_boundary());
        }
    }

    #[test]
    fn a_close_frame_is_as_the_specification_has_it() {
        assert_eq!(close(1008, "bye", false), [0x88, 5, 0x03, 0xf0, b'b', b'y', b'e']);
        let masked = close(1008, "bye", true);
        assert_eq!(masked[..2], [0x88, 0x85]);
        let payload: Vec<u8> = masked[6..].iter().zip(masked[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(payload, [0x03, 0xf0, b'b', b'y', b'e']);
        for masked in [false, true] {
            let mut frames = Frames::default();
            frames.follow(&close(1001, &"x".repeat(500), masked));
            assert_eq!((frames.have, frames.over), (0, true));
            assert_eq!(close(1001, &"x".repeat(500), false).len(), 127);
        }
    }
}
