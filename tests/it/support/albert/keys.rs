//! Keys from 0.2.0 on: `/v1/admin/tokens` with a DELETE that never works, `/v1/admin/keys` since
//! 0.4.7, and people's own keys.

use super::accounts::list;
use super::admit::{Bearer, Caller, Needs, admit};
use super::asked::Asked;
use super::reply::{Outcome, Reply};
use super::state::{Key, State};
use super::version::Version;
use serde_json::{Value, json};

pub(super) fn answer(state: &mut State, asked: &Asked, bearer: Bearer) -> Outcome {
    let operation = asked.operation.as_str();
    if operation == "GET /v1/me" || operation == "GET /v1/me/info" {
        let caller = admit(state, bearer, Needs::Key)?;
        return Ok(Reply::json(200, &about_me(state, &caller)));
    }
    // `/v1/me/keys` says `DELETE` with 204 in every version that has it; the later paths show the key.
    let (method, path) = operation.split_once(' ').unwrap();
    if path.starts_with("/v1/admin/") {
        admit(state, bearer, Needs::Admin)?;
        match (method, path.contains('{')) {
            ("POST", _) => mint(state, asked, None),
            ("GET", false) => all(state, asked, None),
            ("GET", true) => one(state, asked, None),
            _ if state.version == Version::Late => delete(state, asked, None),
            _ => delete_with_a_parameter_that_the_path_lacks(asked),
        }
    } else {
        // Deleting one's key is not looked at as chat is, before 0.4.7: the account may have expired.
        let caller = admit(state, bearer, if state.version == Version::Late { Needs::Account } else { Needs::Key })?;
        match (method, path.contains('{')) {
            ("POST", _) => mint(state, asked, Some(&caller)),
            ("GET", false) => all(state, asked, Some(&caller)),
            ("GET", true) => one(state, asked, Some(&caller)),
            _ => delete(state, asked, Some(&caller)),
        }
    }
}

/// The same body for the administrator, who is nobody in particular.
fn about_me(state: &State, caller: &Caller) -> Value {
    let mut body = json!({
        "object": "userInfo", "id": 0, "email": "admin", "name": "admin", "budget": null, "permissions": ["admin"],
        "limits": [], "expires": null, "priority": 0, state.version.organization(): null,
    });
    if let Some(user) = state.user(caller.user()) {
        let role = state.role_of(user);
        body["id"] = user.id.into();
        body["email"] = user.email.clone().into();
        body["name"] = user.name.clone().into();
        body["budget"] = user.budget.into();
        body["permissions"] = role.permissions.clone().into();
        body["limits"] = role.limits.clone();
        body["expires"] = user.expires.into();
        body["priority"] = user.priority.into();
        body[state.version.organization()] = state.organization_of(user).into();
    }
    body
}

fn mint(state: &mut State, asked: &Asked, own: Option<&Caller>) -> Outcome {
    let mut reading = asked.read();
    let name = reading.compulsory_text("name");
    let user = own.map_or_else(|| reading.compulsory_integer("user"), Caller::user);
    let expires = reading.future("expires", state.now(), state.version.must_be_in_the_future());
    reading.done()?;
    if state.user(user).is_none() {
        return Err(Reply::detail(404, state.version.not_found("User", user)));
    }
    let key = state.mint(user, name, expires)?;
    // The three names of the secret.
    let body = match (state.version, own) {
        (Version::Late, _) => shown(state, &key, &key.secret),
        (_, None) => json!({ "id": key.id, "token": key.secret }),
        (_, Some(_)) => json!({ "id": key.id, "key": key.secret }),
    };
    Ok(Reply::json(201, &body))
}

/// Up to 0.4.5 expired keys are left out, later `status` decides.
fn all(state: &State, asked: &Asked, own: Option<&Caller>) -> Outcome {
    let mut reading = asked.read();
    let user = if let Some(own) = own { Some(own.user()) } else { reading.query_id("user") };
    let status = reading.query("status").map(str::to_owned);
    reading.done()?;
    let late = state.version == Version::Late;
    let listed = |key: &&Key| {
        let fits = if late {
            status.as_ref().is_none_or(|status| status == status_of(state, key))
        } else {
            key.lives(state.now())
        };
        fits && user.is_none_or(|user| key.user == user)
    };
    list(state, asked, false, state.keys.iter().filter(listed).map(|key| shown(state, key, &key.masked())).collect())
}

fn one(state: &State, asked: &Asked, own: Option<&Caller>) -> Outcome {
    let mut reading = asked.read();
    let id = reading.id();
    reading.done()?;
    let mine = |key: &&Key| key.id == id && !key.deleted && own.is_none_or(|own| key.user == own.user());
    let key = state.keys.iter().find(mine).ok_or_else(|| not_found(state, id))?;
    Ok(Reply::json(200, &shown(state, key, &key.masked())))
}

fn delete(state: &mut State, asked: &Asked, own: Option<&Caller>) -> Outcome {
    let mut reading = asked.read();
    let id = reading.id();
    reading.done()?;
    let key = state.delete_key(id, own.map(Caller::user)).ok_or_else(|| not_found(state, id))?;
    let old_path = asked.operation.contains("/v1/me/keys");
    Ok(if old_path { Reply::no_content() } else { Reply::json(200, &shown(state, &key, &key.masked())) })
}

/// `user` is declared as a parameter of a path that has none: nobody can give it.
fn delete_with_a_parameter_that_the_path_lacks(asked: &Asked) -> Outcome {
    let mut reading = asked.read();
    reading.id();
    reading.missing("path", "user");
    reading.done()?;
    Ok(Reply::no_content())
}

fn not_found(state: &State, id: u64) -> Reply {
    let what = if state.version == Version::Late { "Key" } else { "Token" };
    Reply::detail(404, state.version.not_found(what, id))
}

fn status_of(state: &State, key: &Key) -> &'static str {
    match key {
        key if key.deleted => "revoked",
        key if key.expired(state.now()) => "expired",
        _ => "active",
    }
}

fn shown(state: &State, key: &Key, secret: &str) -> Value {
    match state.version {
        Version::Late => json!({
            "object": "key", "id": key.id, "name": key.name, "value": secret, "user": key.user,
            "expires": key.expires, "created": key.created, "status": status_of(state, key),
        }),
        _ => json!({
            "object": "token", "id": key.id, "name": key.name, "token": secret, "user": key.user,
            "expires": key.expires, "created": key.created,
        }),
    }
}
