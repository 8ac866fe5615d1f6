//! The admin interface of 0.1.6: users have a unique name and no e-mail address, keys can be
//! deleted by their owner alone.

use super::admit::{Bearer, Caller, Needs, admit};
use super::asked::Asked;
use super::reply::{Outcome, Reply};
use super::state::{Key, Role, State, User};
use serde_json::{Value, json};

pub(super) fn answer(state: &mut State, asked: &Asked, bearer: Bearer) -> Outcome {
    match asked.operation.as_str() {
        "GET /users/me" => own(state, bearer, shown),
        "GET /roles/me" => own(state, bearer, |state, user| role_shown(state, state.role_of(user))),
        "GET /tokens" | "POST /tokens" | "GET /tokens/{token}" | "DELETE /tokens/{token}" => {
            let caller = admit(state, bearer, Needs::Key)?;
            tokens(state, asked, &caller)
        }
        _ => {
            admit(state, bearer, Needs::Admin)?;
            accounts(state, asked)
        }
    }
}

/// The master key is nobody.
fn own(state: &State, bearer: Bearer, show: fn(&State, &User) -> Value) -> Outcome {
    let caller = admit(state, bearer, Needs::Key)?;
    let user = state.user(caller.user()).ok_or_else(|| Reply::detail(404, "User not found."))?;
    Ok(Reply::json(200, &show(state, user)))
}

fn tokens(state: &mut State, asked: &Asked, caller: &Caller) -> Outcome {
    let now = state.now();
    let mut reading = asked.read();
    let missing = || Reply::detail(404, "Token not found.");
    let list = json!({ "object": "list" });
    match asked.operation.as_str() {
        "POST /tokens" => {
            let name = reading.compulsory_text("name");
            let user = reading.integer("user");
            // A field called `expires` is not this one, and is ignored.
            let expires = reading.future("expires_at", now, state.version.must_be_in_the_future());
            reading.done()?;
            let user = match user {
                Some(_) if matches!(caller, Caller::Holder(key) if !is_admin(state, key.user)) => {
                    return Err(super::admit::no_rights(state.version));
                }
                Some(user) => user,
                None => caller.user(),
            };
            if state.user(user).is_none() {
                return Err(Reply::detail(404, "User not found."));
            }
            let key = state.mint(user, name, expires)?;
            Ok(Reply::json(201, &json!({ "id": key.id, "token": key.secret })))
        }
        "GET /tokens" => {
            let page = reading.page();
            reading.done()?;
            let own = state.keys.iter().filter(|key| key.user == caller.user() && key.lives(now));
            let mut list = list;
            list["data"] = page.of(own.map(token_shown).collect()).into();
            Ok(Reply::json(200, &list))
        }
        "GET /tokens/{token}" => {
            let id = reading.id();
            reading.done()?;
            let key = state.keys.iter().find(|key| key.id == id && key.user == caller.user() && key.lives(now));
            key.map(|key| Reply::json(200, &token_shown(key))).ok_or_else(missing)
        }
        _ => {
            let id = reading.id();
            reading.done()?;
            state.delete_key(id, Some(caller.user())).map(|_| Reply::no_content()).ok_or_else(missing)
        }
    }
}

fn accounts(state: &mut State, asked: &Asked) -> Outcome {
    let now = state.now();
    let mut reading = asked.read();
    let list = |data: Vec<Value>| Reply::json(200, &json!({ "object": "list", "data": data }));
    match asked.operation.as_str() {
        "GET /roles" => {
            let page = reading.page();
            reading.done()?;
            Ok(list(page.of(state.roles.iter().map(|role| role_shown(state, role)).collect())))
        }
        "GET /roles/{role}" => {
            let id = reading.id();
            reading.done()?;
            let role = state.roles.iter().find(|role| role.id == id);
            let role = role.ok_or_else(|| Reply::detail(404, "Role not found."))?;
            Ok(Reply::json(200, &role_shown(state, role)))
        }
        "POST /roles" => super::accounts::create_role(state, asked, 400),
        "DELETE /roles/{role}" => super::accounts::delete_role(state, asked),
        "GET /users" => {
            let (page, role) = (reading.page(), reading.query_id("role"));
            reading.done()?;
            let role = role.map(|role| state.role_by_id(role)).transpose()?;
            let users = state.users.iter().filter(|user| role.as_ref().is_none_or(|role| user.role == *role));
            Ok(list(page.of(users.map(|user| shown(state, user)).collect())))
        }
        "POST /users" => {
            // An e-mail address and a `sub` are no fields of it, and are dropped without a word.
            let (name, role) = (reading.compulsory_text("name"), reading.compulsory_integer("role"));
            let budget = reading.number("budget");
            let expires = reading.future("expires_at", now, state.version.must_be_in_the_future());
            reading.done()?;
            let role = state.role_by_id(role)?;
            if state.users.iter().any(|user| user.name.as_ref() == Some(&name)) {
                return Err(unique_violation(&name));
            }
            let id = state.add_user(User { name: Some(name), role, budget, expires, ..User::default() });
            Ok(Reply::json(201, &json!({ "id": id })))
        }
        "GET /users/{user}" => {
            let id = reading.id();
            reading.done()?;
            let user = state.user(id).ok_or_else(|| Reply::detail(404, "User not found."))?;
            Ok(Reply::json(200, &shown(state, user)))
        }
        "PATCH /users/{user}" => {
            let id = reading.id();
            let (name, role, budget) = (reading.text("name"), reading.integer("role"), reading.number("budget"));
            let expires = reading.future("expires_at", now, state.version.must_be_in_the_future());
            reading.done()?;
            let role = role.map(|role| state.role_by_id(role)).transpose()?;
            let user = state.users.iter_mut().find(|user| user.id == id);
            let user = user.ok_or_else(|| Reply::detail(404, "User not found."))?;
            user.name = name.or_else(|| user.name.take());
            user.role = role.unwrap_or_else(|| user.role.clone());
            (user.budget, user.expires, user.updated) = (budget, expires, now);
            Ok(Reply::no_content())
        }
        _ => {
            let id = reading.id();
            reading.done()?;
            state.delete_user(id)
        }
    }
}

fn is_admin(state: &State, user: u64) -> bool {
    let user = state.user(user);
    user.is_some_and(|user| state.role_of(user).permissions.iter().any(|permission| permission == "admin"))
}

/// The database's own words.
pub(super) fn unique_violation(name: &str) -> Reply {
    Reply::detail(
        400,
        format!(
            "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) UniqueViolationError: duplicate key value \
             violates unique constraint \"user_name_key\"\nDETAIL:  Key (name)=({name}) already exists."
        ),
    )
}

fn shown(state: &State, user: &User) -> Value {
    json!({
        "object": "user", "id": user.id, "name": user.name, "role": state.role_of(user).id, "budget": user.budget,
        "expires_at": user.expires, "created_at": user.created, "updated_at": user.updated,
    })
}

fn role_shown(state: &State, role: &Role) -> Value {
    let users = state.users.iter().filter(|user| user.role == role.name).count();
    json!({
        "object": "role", "id": role.id, "name": role.name, "default": false, "permissions": role.permissions,
        "limits": role.limits, "users": users, "created_at": 1_754_000_000, "updated_at": 1_754_000_000,
    })
}

fn token_shown(key: &Key) -> Value {
    json!({
        "object": "token", "id": key.id, "name": key.name, "token": key.masked(), "user": key.user,
        "expires_at": key.expires, "created_at": key.created,
    })
}
