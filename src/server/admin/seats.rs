//! Seats and people of a licence for programs: `/licences/{id}/seats`, `/licences/{id}/people`.
//!
//! Called by `licences` for whoever has the token. A person is named by the digest that the store knows them
//! by (`person`), as both lists show it. A seat may be of somebody whom nothing was written of yet: its
//! `sub` is unsaid then. Must never show what could be used to be somebody.

use super::answer::{Failure, json};
use super::licences::{licence_id, limit_of, nothing, parameters, sent};
use super::{Admin, Asked};
use crate::clock::Timestamp;
use crate::seats::{Freed, Member, Person};
use futures_util::future::try_join_all;
use http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many people are read at once.
const AT_ONCE: usize = 32;

/// What can be changed of a person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    role: String,
}

impl Admin {
    pub(super) async fn people(
        &self,
        id: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "after", "limit"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let (id, limit) = (licence_id(id)?, limit_of(&given)?);
        let after = given.get("after").map(|after| member(after)).transpose()?;
        // Also of a licence that is gone: its people are kept until they are forgotten.
        let mut people = seats.people(id, after, limit + 1, now).await.map_err(Failure::StoreDown)?;
        let more = people.len() > limit;
        people.truncate(limit);
        let people: Vec<Value> = people.iter().map(json_of).collect();
        Ok(json(StatusCode::OK, &json!({ "people": people, "more": more })))
    }

    pub(super) async fn person(
        &self,
        id: &str,
        person: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let (id, member) = (licence_id(id)?, member(person)?);
        if *asked.method == Method::DELETE {
            seats.forget_person(id, member, now).await?;
            tracing::info!(client = ?asked.client, site = site.name, licence = %id, person = %member, "an administrator had a person of a licence forgotten");
            return Ok(nothing());
        }
        let person = if *asked.method == Method::PUT {
            let new: NewPerson = sent(asked)?;
            let person = seats.set_role(id, member, &new.role, now).await?;
            tracing::info!(client = ?asked.client, site = site.name, licence = %id, person = %member, role = person.role, "an administrator changed the role of a person of a licence");
            person
        } else {
            let found = seats.person(id, member, now).await.map_err(Failure::StoreDown)?;
            found.ok_or(crate::seats::PersonError::Unknown)?
        };
        Ok(json(StatusCode::OK, &json_of(&person)))
    }

    pub(super) async fn seats(
        &self,
        id: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "limit"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let (id, limit) = (licence_id(id)?, limit_of(&given)?);
        let mut taken = seats.taken(id, now).await.map_err(Failure::StoreDown)?;
        // Whoever did nothing for the longest time comes first: theirs is free next.
        taken.sort_unstable_by_key(|(member, until)| (*until, *member));
        let in_use = taken.len();
        taken.truncate(limit);
        let mut shown = Vec::with_capacity(taken.len());
        for part in taken.chunks(AT_ONCE) {
            let people = try_join_all(part.iter().map(|(member, _)| seats.person(id, *member, now))).await;
            let people = people.map_err(Failure::StoreDown)?;
            shown.extend(part.iter().zip(people).map(|((member, until), person)| {
                json!({
                    "person": member.hex(),
                    "provider": person.as_ref().map(|person| &person.provider),
                    "sub": person.as_ref().map(|person| &person.subject),
                    "email": person.as_ref().and_then(|person| person.email.as_ref()),
                    "role": person.as_ref().map(|person| &person.role),
                    "last_active": until.minus(seats.settings().idle).min(now).rfc3339(),
                    "ends": until.rfc3339(),
                })
            }));
        }
        let limit = seats.register().get(id).map(|entry| entry.licence().seats());
        Ok(json(
            StatusCode::OK,
            &json!({ "seats": shown, "in_use": in_use, "limit": limit, "more": in_use > shown.len() }),
        ))
    }

    pub(super) async fn free_seat(
        &self,
        id: &str,
        person: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let (id, member) = (licence_id(id)?, member(person)?);
        if !seats.free_of(id, member, Freed::ByAdministrator, now).await.map_err(Failure::StoreDown)? {
            return Err(Failure::NoSuchSeat);
        }
        tracing::info!(client = ?asked.client, site = site.name, licence = %id, person = %member, "an administrator freed a seat");
        Ok(nothing())
    }
}

/// Reads somebody as they are shown.
fn member(text: &str) -> Result<Member, Failure> {
    let bad = || Failure::BadRequest("a person is named by 64 hexadecimal digits, as the lists show".to_owned());
    Member::parse(text).ok_or_else(bad)
}

fn json_of(person: &Person) -> Value {
    json!({
        "person": person.member.hex(),
        "provider": person.provider,
        "sub": person.subject,
        "email": person.email,
        "role": person.role,
        "first_seen": person.first_seen.rfc3339(),
        "last_seen": person.last_seen.rfc3339(),
        "sign_ins": person.sign_ins,
    })
}
