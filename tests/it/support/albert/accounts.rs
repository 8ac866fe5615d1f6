//! Roles, organizations and users at `/v1/admin`, from 0.2.0 on.

use super::admit::{Bearer, Needs, admit};
use super::asked::Asked;
use super::reply::{Outcome, Reply};
use super::state::{Organization, Role, State, User};
use super::version::Version;
use serde_json::{Value, json};

pub(super) fn answer(state: &mut State, asked: &Asked, bearer: Bearer) -> Outcome {
    let routers = asked.operation == "GET /v1/admin/routers";
    admit(state, bearer, if routers { Needs::AdminSignature } else { Needs::Admin })?;
    match asked.operation.as_str() {
        "GET /v1/admin/routers" => {
            list(state, asked, true, vec![json!({ "object": "router", "id": 1, "name": MODEL })])
        }
        "GET /v1/admin/roles" => {
            list(state, asked, false, state.roles.iter().map(|role| role_shown(state, role)).collect())
        }
        "POST /v1/admin/roles" => create_role(state, asked, 409),
        "GET /v1/admin/roles/{role}" => {
            let mut reading = asked.read();
            let id = reading.id();
            reading.done()?;
            let role = state.roles.iter().find(|role| role.id == id);
            let role = role.ok_or_else(|| Reply::detail(404, state.version.not_found("Role", id)))?;
            Ok(Reply::json(200, &role_shown(state, role)))
        }
        "DELETE /v1/admin/roles/{role}" => delete_role(state, asked),
        "GET /v1/admin/organizations" => {
            list(state, asked, false, state.organizations.iter().map(|one| organization_shown(state, one)).collect())
        }
        "POST /v1/admin/organizations" => create_organization(state, asked),
        "GET /v1/admin/users" => find_users(state, asked),
        "POST /v1/admin/users" => create_user(state, asked),
        "GET /v1/admin/users/{user}" => {
            let mut reading = asked.read();
            let id = reading.id();
            reading.done()?;
            let missing = || Reply::detail(404, state.version.not_found("User", id));
            state.user(id).map(|user| Reply::json(200, &shown(state, user))).ok_or_else(missing)
        }
        "PATCH /v1/admin/users/{user}" => update_user(state, asked),
        _ => {
            let mut reading = asked.read();
            let id = reading.id();
            reading.done()?;
            state.delete_user(id)
        }
    }
}

/// The one model there is.
pub(super) const MODEL: &str = "stub-chat";

/// A page of a list. Up to 0.4.5 only routers say how many there are.
pub(super) fn list(state: &State, asked: &Asked, counted: bool, all: Vec<Value>) -> Outcome {
    let mut reading = asked.read();
    let page = reading.page();
    reading.done()?;
    let mut body = json!({ "object": "list" });
    if counted || state.version == Version::Late {
        body["total"] = all.len().into();
        body["offset"] = page.offset.into();
        body["limit"] = page.limit.into();
    }
    body["data"] = page.of(all).into();
    Ok(Reply::json(200, &body))
}

pub(super) fn create_role(state: &mut State, asked: &Asked, duplicate: u16) -> Outcome {
    let mut reading = asked.read();
    let name = reading.compulsory_text("name");
    reading.done()?;
    if state.roles.iter().any(|role| role.name == name) {
        return Err(Reply::detail(duplicate, state.version.already_exists("Role", &name)));
    }
    let (permissions, limits) = (asked.array("permissions"), asked.array("limits"));
    let unknown_router = limits.iter().any(|limit| limit.get("router").is_some_and(|router| router != 1));
    let permissions = permissions.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let id = state.next_number();
    // The role stays, without limits, when they name a router that is not there.
    let limits = if unknown_router { Vec::new() } else { limits };
    state.roles.push(Role { id, name, permissions, limits: limits.into() });
    if unknown_router { Err(Reply::internal_error()) } else { Ok(Reply::json(201, &json!({ "id": id }))) }
}

pub(super) fn delete_role(state: &mut State, asked: &Asked) -> Outcome {
    let mut reading = asked.read();
    let id = reading.id();
    reading.done()?;
    let name = state.role_by_id(id)?;
    let users = state.users.iter().filter(|user| user.role == name).count();
    if users > 0 {
        let detail = match state.version {
            Version::Late => format!("Role {id} has {users} users and cannot be removed."),
            _ => "Delete role with users is not allowed.".to_owned(),
        };
        return Err(Reply::detail(409, detail));
    }
    state.roles.retain(|role| role.id != id);
    Ok(Reply::no_content())
}

fn create_organization(state: &mut State, asked: &Asked) -> Outcome {
    let mut reading = asked.read();
    let name = reading.compulsory_text("name");
    reading.done()?;
    if state.organizations.iter().any(|organization| organization.name == name) {
        return Err(Reply::detail(409, state.version.already_exists("Organization", &name)));
    }
    let organization = Organization { id: state.next_number(), name };
    let id = organization.id;
    state.organizations.push(organization);
    Ok(Reply::json(201, &json!({ "id": id })))
}

/// Up to 0.4.5 an address is found exactly as it is written, and 404 is said of one that is not
/// there; later it finds all that contain it.
fn find_users(state: &State, asked: &Asked) -> Outcome {
    let mut reading = asked.read();
    let email = reading.query("email").map(str::to_owned);
    let (role, organization) = (reading.query_id("role"), reading.query_id("organization"));
    reading.page();
    reading.done()?;
    let role = role.map(|role| state.role_by_id(role)).transpose()?;
    let organization = organization.map(|organization| state.organization_by_id(organization)).transpose()?;
    let fits = |user: &&User| {
        let address = email.as_ref().is_none_or(|email| match state.version {
            Version::Late => user.email.to_lowercase().contains(&email.to_lowercase()),
            _ => user.email == *email,
        });
        address
            && role.as_ref().is_none_or(|role| user.role == *role)
            && organization.as_ref().is_none_or(|organization| user.organization.as_ref() == Some(organization))
    };
    let found: Vec<_> = state.users.iter().filter(fits).map(|user| shown(state, user)).collect();
    if found.is_empty() && email.is_some() && state.version != Version::Late {
        return Err(Reply::detail(404, "User not found."));
    }
    list(state, asked, false, found)
}

/// What is wrong with an address is not looked at, but for its length.
const LONGEST_ADDRESS: usize = 254;
const LONGEST_PASSWORD: usize = 72;

fn create_user(state: &mut State, asked: &Asked) -> Outcome {
    let (version, now) = (state.version, state.now());
    let mut reading = asked.read();
    let (email, password) = (reading.compulsory_text("email"), reading.compulsory_text("password"));
    let (role, name) = (reading.compulsory_integer(version.role()), reading.text("name"));
    if version == Version::Late {
        reading.present(version.organization());
    }
    if version >= Version::V045 {
        reading.bounded("email", &email, LONGEST_ADDRESS);
        reading.bounded("password", &password, LONGEST_PASSWORD);
    }
    let (organization, budget) = (reading.integer(version.organization()), reading.number("budget"));
    let expires = reading.future("expires", now, version.must_be_in_the_future());
    let priority = reading.integer("priority").unwrap_or(0);
    reading.done()?;
    if email == "master" {
        return Err(Reply::detail(403, "Reserved email."));
    }
    let role = state.role_by_id(role)?;
    let organization = organization.map(|id| state.organization_by_id(id)).transpose()?;
    // Addresses that differ in case are two people to it.
    if state.users.iter().any(|user| user.email == email) {
        return Err(duplicate_user(version, &email));
    }
    // `sub` and `iss` are taken, and dropped without a word.
    let id = state.add_user(User {
        email,
        name,
        role,
        organization,
        budget,
        expires,
        priority,
        password,
        ..User::default()
    });
    let full = version >= Version::V045;
    let body = if full { shown(state, state.user(id).unwrap()) } else { json!({ "id": id }) };
    Ok(Reply::json(201, &body))
}

pub(super) fn duplicate_user(version: Version, email: &str) -> Reply {
    Reply::detail(409, version.already_exists("User", email))
}

/// What is left out is emptied, up to 0.4.5; later nothing may be left out.
fn update_user(state: &mut State, asked: &Asked) -> Outcome {
    let (version, now) = (state.version, state.now());
    let mut reading = asked.read();
    let id = reading.id();
    if version == Version::Late {
        for field in ["email", "name", "role_id", "organization_id", "budget", "expires", "priority"] {
            reading.present(field);
        }
    }
    let (email, name) = (reading.text("email"), reading.text("name"));
    let (role, organization) = (reading.integer(version.role()), reading.integer(version.organization()));
    let (budget, priority) = (reading.number("budget"), reading.integer("priority"));
    let expires = reading.future("expires", now, version.must_be_in_the_future());
    reading.done()?;
    if state.user(id).is_none() {
        return Err(Reply::detail(404, version.not_found("User", id)));
    }
    let role = role.map(|role| state.role_by_id(role)).transpose()?;
    let organization = organization.map(|id| state.organization_by_id(id)).transpose()?;
    if let Some(email) = email.as_ref().filter(|email| state.users.iter().any(|u| u.id != id && u.email == **email)) {
        return Err(duplicate_user(version, email));
    }
    let user = state.users.iter_mut().find(|user| user.id == id).unwrap();
    user.email = email.unwrap_or_else(|| user.email.clone());
    user.name = if version == Version::Late { name } else { name.or_else(|| user.name.take()) };
    user.role = role.unwrap_or_else(|| user.role.clone());
    user.priority = priority.unwrap_or(user.priority);
    (user.organization, user.budget, user.expires, user.updated) = (organization, budget, expires, now);
    let reply = match version {
        Version::Late => Reply::json(200, &shown(state, state.user(id).unwrap())),
        _ => Reply::no_content(),
    };
    Ok(reply)
}

fn shown(state: &State, user: &User) -> Value {
    let version = state.version;
    json!({
        "object": "user", "id": user.id, "email": user.email, "name": user.name, "sub": null, "iss": null,
        version.role(): state.role_of(user).id, version.organization(): state.organization_of(user),
        "budget": user.budget, "expires": user.expires, "created": user.created, "updated": user.updated,
        "priority": user.priority,
    })
}

fn role_shown(state: &State, role: &Role) -> Value {
    let users = state.users.iter().filter(|user| user.role == role.name).count();
    json!({
        "object": "role", "id": role.id, "name": role.name, "permissions": role.permissions, "limits": role.limits,
        "users": users, "created": CREATED, "updated": CREATED,
    })
}

fn organization_shown(state: &State, organization: &Organization) -> Value {
    let users = state.users.iter().filter(|user| user.organization.as_ref() == Some(&organization.name)).count();
    json!({
        "object": "organization", "id": organization.id, "name": organization.name, "users": users,
        "created": CREATED, "updated": CREATED,
    })
}

/// When the roles and organizations were made.
const CREATED: u64 = 1_790_000_000;
