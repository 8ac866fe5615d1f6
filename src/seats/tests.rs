//! What becomes of a seat when its licence, its holder's claims or another replica change.

use super::fixture::{Bench, licence};
use super::licence::LicenceId;
use super::register::Applicant;
use super::{Freed, Member, NoSeat, Seat, Seated, Seats, WhenFull};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::random::SystemRandom;
use std::sync::atomic::Ordering;
use std::time::Duration;

const IDLE: u64 = 1800;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(1_795_000_000 + seconds)
}

/// Somebody's session: whose it is, and of which institution it says that they are.
#[derive(Clone, Copy)]
struct Session(&'static str, &'static str);

impl Session {
    /// What a request with it meets: what is believed, or what is taken then. Having a seat it keeps it.
    async fn comes(self, seats: &Seats, now: Timestamp) -> Result<LicenceId, NoSeat> {
        let Self(subject, siret) = self;
        let claims = serde_json::json!({"siret": siret});
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let (started, ends_at, stamp) = (at(0), at(86_400), siret.parse().unwrap());
        let applicant = Applicant { provider: "p", subject, claims: &view, started, ends_at, stamp };
        let seat = match seats.look(&applicant, now) {
            Seated::Held(seat) => seat,
            Seated::Unknown => seats.take(&applicant, now, &SystemRandom::new()).await?,
        };
        seat.touch(&applicant, now);
        Ok(seat.licence())
    }

    fn member(self) -> Member {
        Member::of("p", self.0)
    }
}

const ONE: Session = Session("ada", "13002526500013");
/// The same person, as they are known elsewhere.
const ELSEWHERE: Session = Session("ada", "11004601800013");
const OTHER: Session = Session("bea", "13002526500013");

/// A replica with these licences.
fn replica(bench: &Bench, licences: &[(u64, &str)]) -> Seats {
    let seats = bench.seats_with(|settings| settings.managed = false);
    declare(&seats, licences);
    seats
}

fn declare(seats: &Seats, licences: &[(u64, &str)]) {
    let licences: Vec<_> = licences.iter().map(|(number, more)| licence(*number, more)).collect();
    seats.register().declare(&licences, false);
}

fn id(number: u64) -> LicenceId {
    licence(number, "covers: {everyone: true}").id()
}

/// Until when somebody has a place, in seconds.
async fn end(seats: &Seats, number: u64, member: Member, now: Timestamp) -> Option<u64> {
    let taken = seats.taken(id(number), now).await.unwrap();
    taken.iter().find(|(holder, _)| *holder == member).map(|(_, until)| until.as_unix() - at(0).as_unix())
}

const FIRST: (u64, &str) = (1, "seats: 1, covers: {siret: ['13002526500013']}");
const FIRST_SUSPENDED: (u64, &str) = (1, "seats: 1, active: false, covers: {siret: ['13002526500013']}");
/// The first as it is for a day from its first use.
const TRIAL: (u64, &str) = (1, "seats: 1, valid: {duration: 1d}, covers: {siret: ['13002526500013']}");
const SECOND: (u64, &str) = (2, "seats: 1, covers: {siret: ['13002526500013', '11004601800013']}");

#[tokio::test]
async fn a_seat_whose_licence_was_suspended_is_kept_again_once_it_is_in_force() {
    let bench = Bench::default();
    let seats = replica(&bench, &[FIRST]);
    assert_eq!(ONE.comes(&seats, at(0)).await, Ok(id(1)));
    declare(&seats, &[FIRST_SUSPENDED]);
    // They are in, and what they do keeps nothing.
    for second in [10, 20, 100, 200] {
        assert_eq!(ONE.comes(&seats, at(second)).await, Ok(id(1)), "{second}");
        seats.renew_seats(at(second)).await;
    }
    assert_eq!(end(&seats, 1, ONE.member(), at(200)).await, Some(IDLE));
    assert_eq!(OTHER.comes(&seats, at(200)).await, Err(NoSeat::Suspended(id(1))));
    declare(&seats, &[FIRST]);
    assert_eq!(ONE.comes(&seats, at(300)).await, Ok(id(1)));
    seats.renew_seats(at(310)).await;
    assert_eq!(end(&seats, 1, ONE.member(), at(310)).await, Some(300 + IDLE));
}

#[tokio::test]
async fn whoever_is_in_when_their_licence_ends_is_so_on_every_replica_and_to_the_end_of_their_place() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST]), replica(&bench, &[FIRST_SUSPENDED]));
    ONE.comes(&here, at(0)).await.unwrap();
    assert_eq!(ONE.comes(&there, at(10)).await, Ok(id(1)));
    assert_eq!(ONE.comes(&there, at(IDLE - 1)).await, Ok(id(1)));
    assert_eq!(ONE.comes(&there, at(IDLE)).await, Err(NoSeat::Suspended(id(1))));
    assert_eq!(OTHER.comes(&there, at(10)).await, Err(NoSeat::Suspended(id(1))));
}

#[tokio::test]
async fn nobody_is_believed_to_have_a_place_of_a_suspended_licence_when_it_may_be_another_s() {
    let bench = Bench::default();
    let grace = Duration::from_secs(120);
    let seats = bench.seats_with(|settings| {
        (settings.managed, settings.when_full) = (false, WhenFull::DisplaceIdlest(grace));
    });
    let other = replica(&bench, &[FIRST]);
    declare(&seats, &[FIRST]);
    declare(&other, &[(1, "seats: 1, when_full: {displace_idlest: 120s}, covers: {siret: ['13002526500013']}")]);
    ONE.comes(&seats, at(0)).await.unwrap();
    declare(&seats, &[FIRST_SUSPENDED]);
    assert_eq!(ONE.comes(&seats, at(110)).await, Ok(id(1)));
    // Suspended here, and not yet there: their place goes to somebody else, and nothing is heard of it.
    assert_eq!(OTHER.comes(&other, at(120)).await, Ok(id(1)));
    ONE.comes(&seats, at(120)).await.unwrap_err();
}

#[tokio::test]
async fn a_session_that_no_licence_covers_passes_by_its_person_s_seat_and_does_not_keep_it() {
    let bench = Bench::default();
    let seats = replica(&bench, &[FIRST]);
    assert_eq!(ELSEWHERE.comes(&seats, at(0)).await, Err(NoSeat::NotCovered));
    ONE.comes(&seats, at(0)).await.unwrap();
    assert_eq!(ELSEWHERE.comes(&seats, at(100)).await, Ok(id(1)));
    seats.renew_seats(at(100)).await;
    assert_eq!(end(&seats, 1, ONE.member(), at(100)).await, Some(IDLE));
    // Nor does it take anything from the one that is covered.
    ONE.comes(&seats, at(200)).await.unwrap();
    seats.renew_seats(at(200)).await;
    assert_eq!(end(&seats, 1, ONE.member(), at(200)).await, Some(200 + IDLE));
}

#[tokio::test]
async fn whoever_comes_to_another_licence_is_believed_to_have_that_one_alone() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST, SECOND]), replica(&bench, &[FIRST_SUSPENDED, SECOND]));
    assert_eq!(ONE.comes(&here, at(0)).await, Ok(id(1)));
    assert_eq!(ONE.comes(&there, at(10)).await, Ok(id(2)));
    bench.hear(&here, at(11)).await;
    assert_eq!(ONE.comes(&here, at(12)).await, Ok(id(2)));
    // What they had ends by itself: until everybody had heard, somebody may have believed in it.
    assert_eq!(end(&here, 1, ONE.member(), at(12)).await, Some(IDLE));
}

#[tokio::test]
async fn a_seat_is_freed_whatever_this_process_believes() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST, SECOND]), replica(&bench, &[FIRST_SUSPENDED, SECOND]));
    ONE.comes(&here, at(0)).await.unwrap();
    ONE.comes(&there, at(10)).await.unwrap();
    // Nothing was heard here.
    here.free(ONE.member(), Freed::SignedOut, at(20)).await.unwrap();
    for number in [1, 2] {
        assert_eq!(end(&here, number, ONE.member(), at(20)).await, None, "{number}");
    }
}

#[tokio::test]
async fn an_administrator_frees_the_seat_that_they_name_and_hears_where_there_is_none() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST, SECOND]), replica(&bench, &[FIRST_SUSPENDED, SECOND]));
    ONE.comes(&here, at(0)).await.unwrap();
    ONE.comes(&there, at(10)).await.unwrap();
    assert!(here.free_of(id(2), ONE.member(), Freed::ByAdministrator, at(20)).await.unwrap());
    assert_eq!(end(&here, 2, ONE.member(), at(20)).await, None);
    assert!(!here.free_of(id(2), ONE.member(), Freed::ByAdministrator, at(20)).await.unwrap());
    assert_eq!(here.figures().get(&id(2)).map(|figures| figures.freed), Some(1));
}

#[tokio::test]
async fn a_seat_that_could_not_be_written_down_is_with_the_next_request() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST]), replica(&bench, &[FIRST]));
    ONE.comes(&here, at(0)).await.unwrap();
    // As if the store had gone away between the two.
    bench.store().delete(&super::seat_key(ONE.member()), at(0)).await.unwrap();
    ONE.comes(&there, at(10)).await.unwrap();
    assert_eq!(here.seat_of(ONE.member(), at(10)).await.unwrap(), Some(id(1)));
}

#[tokio::test]
async fn whose_place_is_written_down_nowhere_gets_that_one_and_no_second() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST, SECOND]), replica(&bench, &[FIRST, SECOND]));
    OTHER.comes(&here, at(0)).await.unwrap();
    assert_eq!(ONE.comes(&here, at(0)).await, Ok(id(2)));
    here.free(OTHER.member(), Freed::SignedOut, at(5)).await.unwrap();
    bench.store().delete(&super::seat_key(ONE.member()), at(5)).await.unwrap();
    assert_eq!(ONE.comes(&there, at(10)).await, Ok(id(2)));
}

#[tokio::test]
async fn news_count_whatever_the_clocks_say() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[FIRST]), replica(&bench, &[FIRST]));
    // The clock here is a minute ahead.
    ONE.comes(&here, at(100)).await.unwrap();
    there.free_of(id(1), ONE.member(), Freed::ByAdministrator, at(50)).await.unwrap();
    bench.hear(&here, at(111)).await;
    assert!(here.is_without("p", "ada").is_some(), "what they have open is not cut");
    assert_eq!(here.believed(), 0);
}

#[tokio::test]
async fn what_is_heard_while_the_store_is_asked_counts() {
    let bench = Bench::default();
    let seats = replica(&bench, &[FIRST]);
    let claims = Claims::from_json(&serde_json::Map::new());
    let view = claims.view();
    let applicant =
        Applicant { provider: "p", subject: "ada", claims: &view, started: at(0), ends_at: at(9000), stamp: 1 };
    let hold = |losses| seats.ledger.hold_on(id(1), ONE.member(), &applicant, (at(0), at(IDLE)), losses);
    let is_believed = |seat: Seat| seat.holding().is_believed(at(0));
    let before = seats.ledger.losses(&ONE.member());
    assert!(is_believed(hold(before)));
    seats.ledger.let_go(&ONE.member(), id(1));
    assert!(!is_believed(hold(before)), "for longer than one request");
}

#[tokio::test]
async fn when_a_declared_licence_was_first_used_is_known_after_a_restart_before_anybody_comes() {
    let bench = Bench::default();
    ONE.comes(&replica(&bench, &[TRIAL]), at(0)).await.unwrap();
    let restarted = replica(&bench, &[TRIAL]);
    restarted.read_licences(at(90_000)).await.unwrap();
    assert_eq!(restarted.register().get(id(1)).unwrap().first_use(), Some(at(0)));
}

#[tokio::test]
async fn a_first_use_that_could_not_be_written_down_is_later() {
    let bench = Bench::default();
    let (here, there) = (replica(&bench, &[TRIAL]), replica(&bench, &[TRIAL]));
    ONE.comes(&here, at(0)).await.unwrap();
    bench.store().delete(&super::first_use_key(id(1)), at(0)).await.unwrap();
    ONE.comes(&there, at(100)).await.unwrap();
    assert_eq!(there.register().get(id(1)).unwrap().first_use(), Some(at(100)));
}

#[tokio::test]
async fn a_licence_that_was_removed_and_added_again_begins_anew_on_every_replica() {
    let bench = Bench::default();
    let (here, there) = (bench.seats(), bench.seats());
    let trial = licence(1, "seats: 1, valid: {duration: 1d}, covers: {siret: ['13002526500013']}");
    here.add_licence(trial.written().clone(), at(0)).await.unwrap();
    for replica in [&here, &there] {
        replica.read_licences(at(0)).await.unwrap();
        ONE.comes(replica, at(0)).await.unwrap();
    }
    assert_eq!(there.register().get(id(1)).unwrap().first_use(), Some(at(0)));
    let gone = at(90_000);
    here.remove_licence(id(1), None, false, gone).await.unwrap();
    here.add_licence(trial.written().clone(), gone).await.unwrap();
    // Both changes are heard at once.
    bench.hear(&there, gone).await;
    there.read_licences(gone).await.unwrap();
    assert_eq!(there.register().get(id(1)).unwrap().first_use(), None);
}

#[tokio::test]
async fn nobody_is_told_that_no_licence_covers_them_before_all_were_read() {
    let bench = Bench::default();
    let everyone = licence(1, "covers: {everyone: true}");
    bench.seats().add_licence(everyone.written().clone(), at(0)).await.unwrap();
    let seats = bench.seats();
    // Whoever began to read was broken off.
    bench.store.away.store(true, Ordering::Relaxed);
    seats.read_licences(at(0)).await.unwrap_err();
    drop(seats.managed.taken());
    bench.store.away.store(false, Ordering::Relaxed);
    assert_eq!(ONE.comes(&seats, at(1)).await, Ok(id(1)));
}
