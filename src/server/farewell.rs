//! How a connection is taken leave of before its time: in the words of what it carries.
//!
//! Called by `server/line`, which shows it every byte that goes to the client. A WebSocket gets a
//! Close frame, an event stream its last chunk, where they may stand; any other answer breaks off,
//! for a download that was cut must not look complete.

use super::line::{Answer, Cut};
use crate::session::NoSession;
use crate::web::chunks::{self, Chunks};
use crate::web::frames::{self, Frames};

/// Whoever was cut off because of the session has to sign in again, and whoever lost the right is not
/// to come back: "policy violation" is the
/// registered status for that (RFC 6455 §7.4.1). The private ones, such as 4401, mean what the
/// app's own protocol says they mean, and it is not ours.
const POLICY_VIOLATION: u16 = 1008;
/// Whoever was cut off because of age may connect again at once: the server "goes away".
const GOING_AWAY: u16 = 1001;

/// What is said to whoever lost the right to the route.
const NO_LONGER: &str = "no longer admitted";

/// The Close frame that says why.
pub(super) fn close_frame(cut: &Cut, to_app: bool) -> Vec<u8> {
    match cut {
        Cut::Over(reason) => frames::close(POLICY_VIOLATION, &reason.to_string(), to_app),
        Cut::MaxAge => frames::close(GOING_AWAY, &cut.to_string(), to_app),
        // By which rule is for the log; whoever tries again is told what a request is told.
        Cut::Lost(_) => frames::close(POLICY_VIOLATION, NO_LONGER, to_app),
    }
}

impl Cut {
    /// The label of the metric.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Over(NoSession::Idle) => "idle",
            Self::Over(NoSession::Expired) => "expired",
            Self::Over(_) => "ended",
            Self::MaxAge => "max_age",
            Self::Lost(_) => "not_admitted",
        }
    }
}

/// Where the answer stands that is being written.
#[derive(Debug, Default)]
pub(super) enum Written {
    /// Nothing that needs to be followed.
    #[default]
    Unknown,
    Head(Head, Answer),
    Frames(Frames),
    Chunks(Chunks),
}

impl Written {
    /// What is to come: a head, then a body of this kind.
    pub(super) fn expecting(answer: Answer) -> Self {
        if answer == Answer::Other { Self::Unknown } else { Self::Head(Head::default(), answer) }
    }

    pub(super) fn follow(&mut self, mut piece: &[u8]) {
        while let (Self::Head(head, answer), Some((first, rest))) = (&mut *self, piece.split_first()) {
            piece = rest;
            match (head.follow(*first), *answer) {
                (None, _) => {}
                (Some(101), Answer::WebSocket) => *self = Self::Frames(Frames::default()),
                // Hints that come before the answer.
                (Some(100..=199), _) => *head = Head::default(),
                (Some(_), Answer::EventStream) => *self = Self::Chunks(Chunks::default()),
                // Another answer than was expected, a page of ours perhaps.
                (Some(_), _) => *self = Self::Unknown,
            }
        }
        match self {
            Self::Unknown | Self::Head(..) => {}
            Self::Frames(frames) => drop(frames.follow(piece)),
            Self::Chunks(chunks) => chunks.follow(piece),
        }
    }

    /// What may be put behind what was written; often nothing.
    pub(super) fn farewell(&self, cut: &Cut) -> Vec<u8> {
        match self {
            Self::Frames(frames) if frames.at_boundary() => close_frame(cut, false),
            Self::Chunks(chunks) if chunks.at_boundary() => chunks::LAST.to_vec(),
            _ => Vec::new(),
        }
    }
}

/// The head of an answer, of which only the status and the end count. Pingora writes it: there
/// are no lone line feeds.
#[derive(Debug, Default)]
pub(super) struct Head {
    at: usize,
    status: u16,
    /// How much of the empty line is there.
    end: usize,
}

impl Head {
    /// Follows a byte; the status, when it was the last one.
    fn follow(&mut self, byte: u8) -> Option<u16> {
        const END: &[u8] = b"\r\n\r\n";
        // "HTTP/1.1 " comes before it.
        if (9..12).contains(&self.at) {
            self.status = self.status * 10 + u16::from(byte.saturating_sub(b'0').min(9));
        }
        self.at += 1;
        self.end = match END.get(self.end) {
            Some(expected) if *expected == byte => self.end + 1,
            _ => usize::from(byte == b'\r'),
        };
        (self.end == END.len()).then_some(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    const EVENTS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// What is said when the connection is cut after these bytes.
    fn farewell(answer: Answer, written: &[u8]) -> Vec<u8> {
        let farewells: Vec<_> = [1, 2, 5, written.len()]
            .into_iter()
            .map(|size| {
                let mut so_far = Written::expecting(answer);
                written.chunks(size).for_each(|piece| so_far.follow(piece));
                so_far.farewell(&Cut::Over(NoSession::Ended))
            })
            .collect();
        assert!(farewells.windows(2).all(|two| two[0] == two[1]), "{farewells:?}");
        farewells.into_iter().next().unwrap()
    }

    #[test]
    fn a_farewell_is_said_only_where_it_is_understood() {
        let close = close_frame(&Cut::Over(NoSession::Ended), false);
        assert_eq!(close[2..], [&1008_u16.to_be_bytes()[..], b"the session was ended"].concat());
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let nothing: &[u8] = b"";
        let cases: [(Answer, Vec<u8>, &[u8]); 13] = [
            (Answer::WebSocket, SWITCH.into(), &close),
            (Answer::WebSocket, format!("{hints}{SWITCH}").into(), &close),
            (Answer::WebSocket, [SWITCH.as_bytes(), b"\x81\x02hi"].concat(), &close),
            (Answer::WebSocket, [SWITCH.as_bytes(), b"\x81\x02h"].concat(), nothing),
            (Answer::WebSocket, [SWITCH.as_bytes(), b"\x88\x02\x03\xe8"].concat(), nothing),
            (Answer::WebSocket, SWITCH.as_bytes()[..40].to_vec(), nothing),
            (Answer::WebSocket, "HTTP/1.1 502 Bad Gateway\r\n\r\n".into(), nothing),
            (Answer::EventStream, EVENTS.into(), chunks::LAST),
            (Answer::EventStream, format!("{hints}{EVENTS}3\r\nabc\r\n").into(), chunks::LAST),
            (Answer::EventStream, format!("{EVENTS}3\r\nab").into(), nothing),
            (Answer::EventStream, format!("{EVENTS}3\r\nabc\r\n0\r\n\r\n").into(), nothing),
            (Answer::EventStream, EVENTS.as_bytes()[..30].to_vec(), nothing),
            (Answer::Other, format!("{EVENTS}3\r\nabc\r\n").into(), nothing),
        ];
        for (answer, written, expected) in cases {
            assert_eq!(farewell(answer, &written), expected, "{answer:?} {}", String::from_utf8_lossy(&written));
        }
    }

    #[test]
    fn who_may_come_back_at_once_is_told_another_status() {
        assert_eq!(close_frame(&Cut::MaxAge, false)[2..4], GOING_AWAY.to_be_bytes());
    }
}
