//! A licence: so many seats, for whom, from when to when, and whose it is.
//!
//! It is written in the configuration, or by an administrator, who finds it kept in the store: in the
//! same words in both places ([`Written`]), which `vestibule licences export` writes as well. Must never
//! let in what says nothing of whom it covers.

use super::span;
use crate::clock::Timestamp;
use crate::web::domain;
use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Where the days of a licence begin and end.
const ZONE: &str = "Europe/Paris";

/// The name of a licence: a UUID (RFC 9562), which its owner may know and which opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LicenceId(u128);

impl LicenceId {
    /// From its 36 characters, in whatever case; none where that is no UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        let digits = text.replace('-', "");
        u128::from_str_radix(&digits, 16).ok().filter(|number| is_plain && *number != 0).map(Self)
    }

    /// A new one of these random bytes (RFC 9562 §5.4, version 4).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(bytes);
        let number = number & !(0xF << 76) | (0x4 << 76);
        Self(number & !(0x3 << 62) | (0x2 << 62))
    }

    /// Its 16 bytes, for keys of the store.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u128::from_be_bytes).map(Self)
    }
}

impl fmt::Display for LicenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let part = |range| digits.get(range).unwrap_or_default();
        write!(f, "{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
    }
}

/// A licence as one writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Its UUID. An administrator who adds one may leave it to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number by which people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// How many people may be active at once.
    pub seats: u32,
    /// Whether it counts at all.
    #[serde(default = "yes")]
    pub active: bool,
    /// From when to when.
    #[serde(default, skip_serializing_if = "WrittenValidity::is_unsaid")]
    pub valid: WrittenValidity,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Owner::is_unsaid")]
    pub owner: Owner,
    /// Who may have a seat.
    #[serde(default, skip_serializing_if = "Covers::is_nobody")]
    pub covers: Covers,
    /// What happens when all seats are taken; what the site says, where it does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
}

fn yes() -> bool {
    true
}

/// From when to when a licence counts, as one writes it: days such as `2027-01-31`, both included, or
/// moments (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenValidity {
    /// The first day, or moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day, or the moment at which it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How long from its first use.
    #[serde(default, with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

impl WrittenValidity {
    fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose a licence is: for administrators and invoices, never for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Owner {
    /// Given name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Family name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub surname: String,
    /// E-mail address: whom people of the licence are told to ask.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// The institution.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub affiliation: String,
    /// Whatever else.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comments: String,
}

impl Owner {
    fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }
}

/// Whom a licence covers: whoever one of these values is said of by their provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Covers {
    /// Whoever signs in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// The domain of their e-mail address; with a dot in front whatever is below as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email_domain: Vec<String>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
    /// Their `sub`; with several providers `NAME:SUB`, for the same `sub` of two is two people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub: Vec<String>,
    /// The SIRET of their institution.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub siret: Vec<String>,
    /// Its SIREN: the first nine digits of the SIRET.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub siren: Vec<String>,
    /// Their identity provider behind ProConnect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub idp_id: Vec<String>,
    /// The name of their institution.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organization_label: Vec<String>,
}

impl Covers {
    fn is_nobody(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when all seats are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Whoever comes waits until one is free.
    #[default]
    Refuse,
    /// Whoever has done nothing for the longest time gives up their seat, if it is as long as this.
    #[serde(with = "span")]
    DisplaceIdlest(Duration),
    /// So many more are let in, and the operators hear of it.
    Overflow(u32),
}

/// The shortest time after which somebody may be displaced. Whatever a replica believes of a seat is
/// over by then, so that no two have it (`docs/decisions/0021-seats.md`).
pub const SHORTEST_GRACE: Duration = Duration::from_secs(120);
/// The most seats of a licence, with those beyond.
const MOST: u32 = 1_000_000;
/// The longest text of a licence, in bytes: what is written is kept, shown and exported.
const LONGEST: usize = 1000;
/// The most values by which one licence covers people.
const MOST_VALUES: usize = 20_000;

/// What is wrong with a licence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct Fault {
    /// The key, such as `valid.to`.
    pub at: String,
    /// What is wrong with it, and what was expected.
    pub what: String,
}

/// A licence that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    id: LicenceId,
    written: Written,
    from: Option<Timestamp>,
    /// From then on it is over.
    until: Option<Timestamp>,
}

/// Whether a licence gives seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    InForce,
    /// It was taken out of use.
    Suspended,
    /// Not before this moment.
    NotYet(Timestamp),
    /// Not since this moment.
    Expired(Timestamp),
}

impl Licence {
    /// Checks what was written.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(mut written: Written) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |at: &str, what: String| faults.push(Fault { at: at.to_owned(), what });
        let id = written.id.as_deref().and_then(LicenceId::parse);
        if id.is_none() {
            fault("id", "expected a UUID such as 2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e".to_owned());
        }
        if written.seats == 0 || written.seats > MOST {
            fault("seats", format!("expected a number from 1 to {MOST}"));
        }
        let mut moment = |at: &str, text: Option<&String>, is_end| {
            let parsed = text.map(|text| moment_of(text, is_end));
            if parsed == Some(None) {
                fault(
                    at,
                    "expected a day such as 2027-01-31, or a moment such as 2027-01-31T18:00:00+01:00".to_owned(),
                );
            }
            parsed.flatten()
        };
        let from = moment("valid.from", written.valid.from.as_ref(), false);
        let until = moment("valid.to", written.valid.to.as_ref(), true);
        if from.is_some_and(|from| until.is_some_and(|until| until <= from)) {
            fault("valid.to", "it ends before it begins".to_owned());
        }
        if let Some(duration) = written.valid.duration {
            if duration < Duration::from_secs(3600) {
                fault("valid.duration", "expected an hour (1h) at least".to_owned());
            }
            if until.is_some() {
                fault("valid.duration", "a licence ends on a day or so long after its first use, not both".to_owned());
            }
        }
        match written.when_full {
            Some(WhenFull::DisplaceIdlest(grace)) if grace < SHORTEST_GRACE => {
                fault("when_full.displace_idlest", "expected 2m at least".to_owned());
            }
            Some(WhenFull::Overflow(more)) if more == 0 || more > MOST => {
                fault("when_full.overflow", format!("expected a number from 1 to {MOST}"));
            }
            _ => {}
        }
        for (at, what) in texts_at_fault(&written) {
            fault(at, what);
        }
        for (at, what) in normalise(&mut written.covers) {
            fault(&format!("covers.{at}"), what);
        }
        match id {
            Some(id) if faults.is_empty() => {
                written.id = Some(id.to_string());
                Ok(Self { id, written, from, until })
            }
            _ => Err(faults),
        }
    }

    /// Its name.
    pub fn id(&self) -> LicenceId {
        self.id
    }

    /// As it was written, in its one form.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// How many people may be active at once.
    pub fn seats(&self) -> usize {
        usize::try_from(self.written.seats).unwrap_or(usize::MAX)
    }

    /// How it stands, where it was first used at that moment.
    pub fn standing(&self, first_use: Option<Timestamp>, now: Timestamp) -> Standing {
        if !self.written.active {
            return Standing::Suspended;
        }
        if let Some(from) = self.from
            && now < from
        {
            return Standing::NotYet(from);
        }
        match self.until(first_use) {
            Some(until) if now >= until => Standing::Expired(until),
            _ => Standing::InForce,
        }
    }

    /// When it is over; never, or not yet to be said, where there is none.
    pub fn until(&self, first_use: Option<Timestamp>) -> Option<Timestamp> {
        let by_use = || first_use.zip(self.written.valid.duration).map(|(first, duration)| first.plus(duration));
        self.until.or_else(by_use)
    }

    /// Whether it ends so long after its first use, which is to be remembered.
    pub fn counts_from_first_use(&self) -> bool {
        self.written.valid.duration.is_some()
    }
}

/// A day or a moment; of a last day, the moment after it.
fn moment_of(text: &str, is_end: bool) -> Option<Timestamp> {
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !is_day {
        return Timestamp::from_rfc3339(text);
    }
    let day: Date = text.parse().ok()?;
    let zone: TimeZone = TimeZoneDatabase::bundled().get(ZONE).ok()?;
    let moment = if is_end {
        // 9999-12-31, as people write "for ever", has no day behind it: it is as late as can be said.
        let next = day.tomorrow().and_then(|next| zone.to_timestamp(next.to_datetime(Time::midnight())));
        next.unwrap_or(jiff::Timestamp::MAX)
    } else {
        zone.to_timestamp(day.to_datetime(Time::midnight())).ok()?
    };
    u64::try_from(moment.as_second()).ok().map(Timestamp::from_unix)
}

fn texts_at_fault(written: &Written) -> Vec<(&'static str, String)> {
    let owner = &written.owner;
    let texts = [
        ("serial", &written.serial),
        ("owner.name", &owner.name),
        ("owner.surname", &owner.surname),
        ("owner.email", &owner.email),
        ("owner.affiliation", &owner.affiliation),
        ("owner.comments", &owner.comments),
    ];
    let mut faults = Vec::new();
    for (at, text) in texts {
        if text.len() > LONGEST {
            faults.push((at, format!("expected {LONGEST} bytes at most")));
        }
        if text.chars().any(|c| c.is_control() && !(at == "owner.comments" && c == '\n')) {
            faults.push((at, "expected text without control characters".to_owned()));
        }
    }
    if !owner.email.is_empty() && !is_email(&owner.email) {
        faults.push(("owner.email", "expected an e-mail address".to_owned()));
    }
    faults
}

fn is_email(text: &str) -> bool {
    domain::of_email(text).is_some()
        && !text.starts_with('@')
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Brings the values into the form in which they are looked up.
fn normalise(covers: &mut Covers) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let mut each =
        |at: &'static str, values: &mut Vec<String>, expected: &str, fit: &dyn Fn(&str) -> Option<String>| {
            for value in values.iter_mut() {
                match fit(value.trim()) {
                    Some(fitting) if fitting.len() <= LONGEST => *value = fitting,
                    _ => faults.push((at, format!("{value:?} is not {expected}"))),
                }
            }
            values.sort();
            values.dedup();
        };
    let digits = |text: &str, count: usize| {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        (digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
    };
    let plain = |text: &str| (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned());
    each("email_domain", &mut covers.email_domain, "a domain such as example.gouv.fr or .example.gouv.fr", &|text| {
        let above = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = above.unwrap_or(text).to_ascii_lowercase();
        let is_domain = domain::of_email(&format!("a@{name}")).is_some_and(|held| held == name) && name.contains('.');
        is_domain.then(|| if above.is_some() { format!(".{name}") } else { name })
    });
    each("email", &mut covers.email, "an e-mail address", &|text| is_email(text).then(|| text.to_ascii_lowercase()));
    each("sub", &mut covers.sub, "a sub", &plain);
    each("siret", &mut covers.siret, "a SIRET, which has 14 digits", &|text| digits(text, 14));
    each("siren", &mut covers.siren, "a SIREN, which has 9 digits", &|text| digits(text, 9));
    each("idp_id", &mut covers.idp_id, "an identity provider's id", &plain);
    each("organization_label", &mut covers.organization_label, "a name", &plain);
    let count = [
        &covers.email_domain,
        &covers.email,
        &covers.sub,
        &covers.siret,
        &covers.siren,
        &covers.idp_id,
        &covers.organization_label,
    ]
    .iter()
    .map(|values| values.len())
    .sum::<usize>();
    if count == 0 && !covers.everyone {
        faults.push(("everyone", "it covers nobody: name somebody, or say `everyone: true`".to_owned()));
    }
    if count > MOST_VALUES {
        faults.push(("email", format!("expected {MOST_VALUES} values at most, of all kinds")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e";

    fn written(more: &str) -> Written {
        crate::seats::fixture::written(&format!("{{id: {ID}, seats: 3{more}}}"))
    }

    fn faults(more: &str) -> Vec<String> {
        Licence::parse(written(more)).err().into_iter().flatten().map(|fault| fault.to_string()).collect()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    #[test]
    fn a_name_is_a_uuid_and_is_written_in_one_way() {
        let id = LicenceId::parse(&ID.to_uppercase()).unwrap();
        assert_eq!((id.to_string(), LicenceId::from_bytes(&id.bytes())), (ID.to_owned(), Some(id)));
        for text in
            ["", "2f1e4a52", &ID.replace('-', ""), &ID.replace('e', "g"), &format!("{ID} "), &format!("+{}", &ID[1..])]
        {
            assert_eq!(LicenceId::parse(text), None, "{text}");
        }
        assert_eq!(LicenceId::from_random([0xFF; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn its_days_are_those_of_paris_and_both_count() {
        let licence = Licence::parse(written(", covers: {everyone: true}, valid: {from: 2027-01-01, to: 2027-06-30}"));
        let licence = licence.unwrap();
        for (now, expected) in [
            ("2026-12-31T22:59:59Z", Standing::NotYet(at("2026-12-31T23:00:00Z"))),
            ("2026-12-31T23:00:00Z", Standing::InForce),
            ("2027-06-30T21:59:59Z", Standing::InForce),
            ("2027-06-30T22:00:00Z", Standing::Expired(at("2027-06-30T22:00:00Z"))),
        ] {
            assert_eq!(licence.standing(None, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn the_last_day_of_all_is_for_ever() {
        for day in ["9999-12-31", "9999-12-30"] {
            let licence = Licence::parse(written(&format!(", covers: {{everyone: true}}, valid: {{to: {day}}}")));
            let licence = licence.unwrap();
            assert_eq!(licence.standing(None, at("9999-12-30T21:00:00Z")), Standing::InForce, "{day}");
            assert_eq!(licence.written().valid.to.as_deref(), Some(day));
        }
        assert_eq!(faults(", covers: {everyone: true}, valid: {to: '9999-12-32'}").len(), 1);
    }

    #[test]
    fn one_that_counts_from_its_first_use_ends_so_long_after_it() {
        let licence = Licence::parse(written(", covers: {everyone: true}, valid: {duration: 30d}")).unwrap();
        let (first, now) = (at("2027-01-01T10:00:00Z"), at("2027-01-31T10:00:00Z"));
        assert_eq!(licence.standing(None, now), Standing::InForce);
        assert_eq!(licence.standing(Some(first), now), Standing::Expired(now));
        assert_eq!(licence.standing(Some(first.plus(Duration::from_secs(1))), now), Standing::InForce);
        let suspended = Licence::parse(written(", covers: {everyone: true}, active: false")).unwrap();
        assert_eq!(suspended.standing(None, now), Standing::Suspended);
    }

    #[test]
    fn whatever_is_wrong_is_said_with_its_key() {
        for (more, expected) in [
            ("", "covers.everyone: it covers nobody: name somebody, or say `everyone: true`"),
            (", covers: {siret: ['123']}", "covers.siret: \"123\" is not a SIRET, which has 14 digits"),
            (", covers: {email: [nobody]}", "covers.email: \"nobody\" is not an e-mail address"),
            (
                ", covers: {email_domain: ['a@b.fr']}",
                "covers.email_domain: \"a@b.fr\" is not a domain such as example.gouv.fr or .example.gouv.fr",
            ),
            (
                ", covers: {everyone: true}, valid: {from: 2027-02-01, to: 2027-01-31}",
                "valid.to: it ends before it begins",
            ),
            (
                ", covers: {everyone: true}, valid: {to: tomorrow}",
                "valid.to: expected a day such as 2027-01-31, or a moment such as 2027-01-31T18:00:00+01:00",
            ),
            (
                ", covers: {everyone: true}, valid: {to: 2027-01-31, duration: 30d}",
                "valid.duration: a licence ends on a day or so long after its first use, not both",
            ),
            (
                ", covers: {everyone: true}, when_full: {displace_idlest: 1m}",
                "when_full.displace_idlest: expected 2m at least",
            ),
            (", covers: {everyone: true}, serial: \"a\\u0007\"", "serial: expected text without control characters"),
        ] {
            assert_eq!(faults(more), [expected], "{more}");
        }
        let none = Licence::parse(Written { id: None, seats: 0, ..written(", covers: {everyone: true}") });
        assert_eq!(none.unwrap_err().len(), 2);
    }

    #[test]
    fn values_are_brought_into_one_form() {
        let licence = Licence::parse(written(
            ", covers: {siret: ['130 025 265 00013', '13002526500013'], email: [A@Example.FR], email_domain: ['*.Example.fr']}",
        ));
        let covers = licence.unwrap().written().covers.clone();
        assert_eq!(covers.siret, ["13002526500013"]);
        assert_eq!(
            (covers.email, covers.email_domain),
            (vec!["a@example.fr".to_owned()], vec![".example.fr".to_owned()])
        );
    }
}
