//! The tokens cookie: opened only where a token is needed, split where browsers need it to be.
//!
//! ```text
//! __Host-vestibule-tokens = {number of parts}.{sealed, first part}
//! __Host-vestibule-tokens-1 = {second part} …
//! ```
//!
//! The whole is sealed once, bound to the session's identifier, and then cut: a part that is
//! missing, stale or of another session makes the whole unreadable, never half-read.

use super::{BeginError, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::oidc::Tokens;
use crate::random::Random;
use crate::seal::Purpose;
use crate::secret::{ExposeSecret, SecretString};
use crate::web::cookies::{self, MAX_VALUE_LEN};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// More would not fit into the 32 kB of headers that front proxies take.
const MAX_PARTS: usize = 6;
/// Room for `N.` in front of the first part.
const PART_LEN: usize = MAX_VALUE_LEN - 2;

/// Tokens as they are written, in the cookie and in the store.
#[derive(Serialize, Deserialize)]
pub(super) struct Written<'a> {
    /// Which renewal of the session brought them: with a refresh token of another one the provider
    /// would think of theft.
    pub(super) generation: u32,
    id_token: &'a str,
    access_token: &'a str,
    refresh_token: Option<&'a str>,
    access_token_expires_at: Option<Timestamp>,
}

impl<'a> Written<'a> {
    pub(super) fn of(tokens: &'a Tokens, generation: u32) -> Self {
        Self {
            generation,
            id_token: tokens.id_token.expose_secret(),
            access_token: tokens.access_token.expose_secret(),
            refresh_token: tokens.refresh_token.as_ref().map(ExposeSecret::expose_secret),
            access_token_expires_at: tokens.access_token_expires_at,
        }
    }

    pub(super) fn tokens(&self) -> Tokens {
        Tokens {
            id_token: SecretString::from(self.id_token),
            access_token: SecretString::from(self.access_token),
            refresh_token: self.refresh_token.map(SecretString::from),
            access_token_expires_at: self.access_token_expires_at,
        }
    }
}

impl Sessions {
    fn tokens_place(&self, id: SessionId) -> Vec<u8> {
        [self.cookies.tokens.as_str().as_bytes(), &id.0].concat()
    }

    pub(super) fn seal_tokens(
        &self,
        id: SessionId,
        tokens: &Written<'_>,
        request: &HeaderMap,
        random: &dyn Random,
    ) -> Result<Vec<HeaderValue>, BeginError> {
        let plaintext = Zeroizing::new(postcard::to_stdvec(tokens).map_err(|_| BeginError::TokensTooLarge(0))?);
        let sealed = self.ring.seal(Purpose::Tokens, &plaintext, &self.tokens_place(id), random)?;
        let count = sealed.len().div_ceil(PART_LEN);
        let too_large = BeginError::TokensTooLarge(sealed.len());
        if count > MAX_PARTS {
            return Err(too_large);
        }
        let mut set = Vec::with_capacity(count);
        let mut rest = sealed.as_str();
        for index in 0..count {
            let (part, behind) = rest.split_at(rest.len().min(PART_LEN));
            rest = behind;
            let value = if index == 0 { format!("{count}.{part}") } else { part.to_owned() };
            let name = self.cookies.tokens.part(index);
            match self.cookies.set(&name, &value, self.settings.lifetime) {
                Some(cookie) => set.push(cookie),
                None => return Err(too_large),
            }
        }
        set.extend(self.clear_tokens_from(request, count));
        Ok(set)
    }

    /// The tokens in the request's cookies, and which renewal brought them.
    pub(super) fn open_tokens(&self, request: &HeaderMap, id: SessionId, now: Timestamp) -> Option<(u32, Tokens)> {
        let first = cookies::find(request, &self.cookies.tokens)?;
        let (count, first) = std::str::from_utf8(first).ok()?.split_once('.')?;
        let count: usize = count.parse().ok().filter(|count| (1..=MAX_PARTS).contains(count))?;
        let mut sealed = first.as_bytes().to_vec();
        for index in 1..count {
            sealed.extend_from_slice(cookies::find(request, &self.cookies.tokens.part(index))?);
        }
        let opened = self.ring.open(Purpose::Tokens, &sealed, &self.tokens_place(id), now)?;
        let written: Written<'_> = postcard::from_bytes(opened.plaintext()).ok()?;
        Some((written.generation, written.tokens()))
    }

    /// Removes the parts that the browser shows from `index` on: a smaller value must not leave a
    /// larger one's tail behind.
    pub(super) fn clear_tokens_from(&self, request: &HeaderMap, index: usize) -> Vec<HeaderValue> {
        let names = (index..MAX_PARTS).map(|index| self.cookies.tokens.part(index));
        let shown = names.filter(|name| cookies::find(request, name).is_some());
        shown.filter_map(|name| self.cookies.clear(&name)).collect()
    }
}
