//! Who is signed in here, and signing them out from this side: what an administrator or another
//! service's sign-out does at a real provider.
//!
//! `/sessions` is the page with a button for each; tests call the functions through
//! [`super::Provider`].

use super::Shared;
use super::logout_token::{self, Delivery};
use super::pages;
use super::request::Parameters;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;

pub(super) async fn page(State(shared): State<Arc<Shared>>) -> Response {
    let sessions = shared.state().sessions(shared.now());
    pages::signed_in(&sessions, None)
}

pub(super) async fn sign_out(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let form = Parameters::parse(&body);
    let Some(sub) = form.get("sub") else { return pages::refused("Y000400", "the parameter sub is missing") };
    let told = sign_out_everywhere(&shared, sub).await;
    let sessions = shared.state().sessions(shared.now());
    pages::signed_in(&sessions, Some(&told))
}

/// Ends all sessions of a person. Every client with an address hears of it, not only those that
/// the sessions signed in to: one may know the person from a session that is forgotten here.
pub(super) async fn sign_out_everywhere(shared: &Shared, sub: &str) -> Vec<Delivery> {
    let client_ids: Vec<String> = {
        let mut state = shared.state();
        state.end_sessions(|session| session.agent.sub == sub);
        if state.automatic.as_ref().is_some_and(|agent| agent.sub == sub) {
            state.automatic = None;
        }
        shared.settings.clients.iter().map(|client| client.client_id.clone()).collect()
    };
    let mut told = Vec::new();
    for client_id in client_ids {
        told.extend(logout_token::deliver(shared, &client_id, Some(sub), None).await);
    }
    told
}

/// Ends one session.
pub(super) async fn sign_out_session(shared: &Shared, sid: &str) -> Vec<Delivery> {
    let ended = shared.state().end_sessions(|session| session.sid == sid);
    let mut told = Vec::new();
    for ended in ended {
        for client_id in &ended.clients {
            told.extend(logout_token::deliver(shared, client_id, Some(&ended.sub), Some(&ended.sid)).await);
        }
    }
    told
}
