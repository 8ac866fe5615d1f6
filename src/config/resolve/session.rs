//! Sessions, their keys, their cookies, and the sign-in that begins them.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::key_files::KeyFiles;
use crate::config::problem::KeyPath;
use crate::config::scalar::written_span;
use crate::config::until::Until;
use crate::config::written::{self, defaults};
use crate::seal::KeyMaterial;
use crate::secret::ExposeSecret;
use crate::web::cookies::SameSite;
use crate::web::domain::is_at_or_below;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::{Prefix, ReturnTo};
use crate::{login, session, web};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Session limits count whole seconds.
const LEAST: Duration = Duration::from_secs(1);
const LONG_SESSION: Duration = Duration::from_secs(30 * 86_400);
const LONG_SIGN_IN: Duration = Duration::from_secs(2 * 3600);

/// What a session key is, and where one comes from.
const KEY: &str = "a session key is 32 random bytes in base64url, as `vestibule keys new` prints them";

/// base64url with its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Domains under which anybody in France can register a name: no cookie may be for all of one.
/// (Browsers refuse them too, and every other one of the Public Suffix List; these are the likely ones.)
const PUBLIC_SUFFIXES: [&str; 6] = ["gouv.fr", "asso.fr", "com.fr", "nom.fr", "prd.fr", "tm.fr"];

impl Resolver<'_> {
    pub(super) fn session(
        &mut self,
        at: &KeyPath,
        whole: &written::Written,
    ) -> (session::Settings, Vec<KeyMaterial>, KeyFiles) {
        let written = whole.session.as_ref();
        let default = defaults::session();
        let idle = self.span(&at.key("idle"), written.and_then(|s| s.idle), default.idle, LEAST);
        let lifetime = self.span(&at.key("lifetime"), written.and_then(|s| s.lifetime), default.lifetime, LEAST);
        if idle > lifetime {
            let (idle, lifetime) = (written_span(idle), written_span(lifetime));
            let message = format!("idle ({idle}) is longer than lifetime ({lifetime}); write {lifetime} or less");
            let at = if written.is_some_and(|s| s.idle.is_some()) { at.key("idle") } else { at.key("lifetime") };
            self.fault(&at, message);
        } else if lifetime > LONG_SESSION {
            self.found(Code::LifetimeLong, &at.key("lifetime"), "a stolen session works for more than 30 days");
        }
        let written_keys = written.and_then(|session| session.keys.as_ref());
        let keys = self.session_keys(&at.key("keys"), written_keys);
        let key_files = KeyFiles::of(written_keys, self.environment);
        let sign_in_age = written.and_then(|s| s.sign_in_age);
        let sign_in_age = sign_in_age.map(|age| self.span(&at.key("sign_in_age"), Some(age), lifetime, LEAST));
        let keep = written.and_then(|s| s.keep).unwrap_or_default();
        let refresh = self.refresh(&at.key("refresh"), written.and_then(|s| s.refresh.as_ref()));
        let app_data = self.app_data(&at.key("data"), whole);
        let settings = session::Settings { idle, lifetime, sign_in_age, keep, refresh, access_token: None, app_data };
        (settings, keys, key_files)
    }

    /// What is kept for the app.
    fn app_data(&mut self, at: &KeyPath, whole: &written::Written) -> Option<session::AppData> {
        let written = whole.session.as_ref()?.data.as_ref()?;
        let forget_at = at.key("forget_after");
        let forget_after = self.span(&forget_at, written.forget_after, defaults::FORGET_DATA_AFTER, LEAST);
        let of = self.required(&at.key("of"), written.of.as_ref(), "session or person")?;
        if matches!(whole.store, None | Some(written::Store::Memory)) {
            self.found(
                Code::DataInMemory,
                at,
                "is kept in the memory of this process (store: memory): a restart loses it, other replicas do not have it, and where there is no room left what was not used for the longest time goes; write store: {file: /var/lib/vestibule/state.db} or {redis: rediss://host:6379}",
            );
        }
        Some(match of {
            written::DataOf::Session => {
                if written.forget_after.is_some() {
                    self.fault(
                        &forget_at,
                        "is for a person's data; a session's ends with it: write of: person, or remove this",
                    );
                }
                session::AppData::OfSession
            }
            written::DataOf::Person => session::AppData::OfPerson { forget_after },
        })
    }

    fn refresh(&mut self, at: &KeyPath, written: Option<&written::Refresh>) -> Option<session::RefreshSettings> {
        let default = session::RefreshSettings::default();
        match written {
            None => Some(default),
            Some(written::Refresh::Never) => None,
            Some(written::Refresh::So(written)) => Some(session::RefreshSettings {
                margin: self.span(&at.key("margin"), written.margin, default.margin, LEAST),
                outage: self.span(&at.key("outage"), written.outage, default.outage, Duration::ZERO),
            }),
        }
    }

    /// Every key, the one that seals first. Also what rereads the keys of a program that runs.
    pub(super) fn session_keys(
        &mut self,
        list_at: &KeyPath,
        written: Option<&written::List<written::SessionKey>>,
    ) -> Vec<KeyMaterial> {
        if written.is_none_or(Vec::is_empty) {
            let write = "[{id: \"2026-11\", secret: {file: /run/secrets/session-key}}]";
            self.fault(list_at, format!("is missing; write {write}, with a secret from `vestibule keys new`"));
        }
        let mut keys: Vec<(KeyPath, KeyMaterial)> = Vec::new();
        let mut ids: HashMap<&str, KeyPath> = HashMap::new();
        for (at, key) in self.items(list_at, written) {
            let id_at = at.key("id");
            let id = self.required_text(&id_at, key.id.as_ref(), "a name, such as \"2026-11\"");
            if let Some(id) = id {
                if !is_key_name(id) {
                    self.fault(&id_at, "is no key name; write up to 32 letters, digits, dots, hyphens or underscores");
                } else if let Some(first) = ids.insert(id, id_at.clone()) {
                    self.fault(&id_at, format!("is also the name of {first}; every key has its own"));
                }
            }
            if let Some(until) = key.until {
                self.end_of_key(&at, until, at == list_at.item(0));
            }
            let secret_at = at.key("secret");
            let Some(secret) = self.required(&secret_at, key.secret.as_ref(), "{file: PATH} or {env: NAME}") else {
                continue;
            };
            let Some(secret) = self.secret(&secret_at, secret) else { continue };
            let Some(secret) = self.key_bytes(&secret_at, secret.expose_secret()) else { continue };
            if let Some((first, _)) = keys.iter().find(|(_, key)| key.secret == secret) {
                self.fault(
                    &secret_at,
                    format!("is the same secret as that of {first}; make a new one with `vestibule keys new`"),
                );
            }
            let until = key.until.map(|until| until.0);
            keys.push((at, KeyMaterial { id: id.unwrap_or_default().to_owned(), secret, until }));
        }
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn end_of_key(&mut self, at: &KeyPath, until: Until, is_first: bool) {
        let at = at.key("until");
        if is_first {
            self.fault(&at, "the first key seals, so it has no end; put a new key in front of it, or remove until");
        } else if self.environment.now() >= until.0 {
            // Not a mistake: a date must not keep a restart from succeeding.
            self.found(
                Code::EntryEnded,
                &at,
                format!("this key has opened nothing since {}; remove it from the list", until.0.date_and_time()),
            );
        }
    }

    fn key_bytes(&mut self, at: &KeyPath, text: &str) -> Option<Zeroizing<[u8; 32]>> {
        let urlsafe: Zeroizing<String> = Zeroizing::new(
            text.trim()
                .chars()
                .map(|c| {
                    if c == '+' {
                        '-'
                    } else if c == '/' {
                        '_'
                    } else {
                        c
                    }
                })
                .collect(),
        );
        let Ok(bytes) = BASE64.decode(urlsafe.as_bytes()).map(Zeroizing::new) else {
            self.fault(at, format!("is not base64url; {KEY}"));
            return None;
        };
        let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new) else {
            self.fault(at, format!("holds {} bytes; {KEY}", bytes.len()));
            return None;
        };
        if key.iter().all(|byte| Some(byte) == key.first()) {
            self.fault(at, format!("is one byte repeated, which anybody can guess; {KEY}"));
            return None;
        }
        // 32 random bytes are all printable once in 10^13 keys.
        if key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            self.found(Code::SecretTyped, at, format!("looks typed, not random; {KEY}"));
        }
        Some(key)
    }

    pub(super) fn cookies(
        &mut self,
        at: &KeyPath,
        written: Option<&written::Cookies>,
        public_url: Option<&PublicUrl>,
    ) -> Option<web::cookies::Settings> {
        let same_site = written.and_then(|cookies| cookies.same_site).unwrap_or_default();
        if same_site == SameSite::None && public_url.is_some_and(|url| !url.is_secure()) {
            self.fault(&at.key("same_site"), "needs https in public_url: browsers drop such a cookie over http");
        }
        let Some(domain) = written.and_then(|cookies| cookies.domain.as_deref()) else {
            return Some(web::cookies::Settings { same_site, ..web::cookies::Settings::default() });
        };
        let at = at.key("domain");
        let host = public_url?.host();
        let wrong = if domain.starts_with('.') {
            Some(format!(
                "begins with a dot; write {:?}, which means its subdomains too",
                domain.trim_start_matches('.')
            ))
        } else if domain.parse::<std::net::IpAddr>().is_ok() || domain.starts_with('[') {
            Some("is an IP address, for which browsers take no domain; remove the key".to_owned())
        } else if domain != domain.to_ascii_lowercase() {
            Some(format!("is not in lower case; write {:?}", domain.to_ascii_lowercase()))
        } else if !domain.contains('.') || PUBLIC_SUFFIXES.contains(&domain) {
            Some(format!("{domain:?} is a domain that strangers share; write the part of it that is yours"))
        } else if !is_at_or_below(host, domain) {
            Some(format!("{domain:?} is neither the host of public_url ({host}) nor a domain above it"))
        } else {
            None
        };
        if let Some(message) = wrong {
            self.fault(&at, message);
            return None;
        }
        self.found(
            Code::CookieDomain,
            &at,
            format!("every host below {domain} gets the session cookie and can set one of its own"),
        );
        Some(web::cookies::Settings { domain: Some(domain.to_owned()), same_site, ..web::cookies::Settings::default() })
    }

    /// `ours` is the address and the prefix, where they are known.
    pub(super) fn sign_in(
        &mut self,
        at: &KeyPath,
        written: Option<&written::SignIn>,
        ours: Option<(&PublicUrl, &Prefix)>,
    ) -> login::Settings {
        let entry = written.and_then(|sign_in| sign_in.entry).unwrap_or_default();
        let timeout = written.and_then(|sign_in| sign_in.timeout);
        let return_hosts = self.return_hosts(&at.key("return_to"), written);
        let mut after = ReturnTo::root();
        if let (Some(text), Some((public_url, prefix))) = (written.and_then(|sign_in| sign_in.after.as_deref()), ours) {
            match ReturnTo::parse_listed(text, public_url, prefix, &return_hosts) {
                Ok(parsed) => after = parsed,
                Err(bad) => self.fault(
                    &at.key("after"),
                    format!("{bad}; write a path such as /chat, or an address on a host of sign_in.return_to"),
                ),
            }
        }
        let at = at.key("timeout");
        let attempt_lifetime = self.span(&at, timeout, defaults::sign_in().attempt_lifetime, Duration::from_secs(10));
        if attempt_lifetime > LONG_SIGN_IN {
            self.found(Code::SignInOpenLong, &at, "a sign-in that was begun stays open for more than two hours");
        }
        let keep_forms = written.and_then(|sign_in| sign_in.keep_forms).unwrap_or(true);
        login::Settings {
            entry,
            attempt_lifetime,
            return_hosts,
            after,
            origins: Vec::new(),
            domain_owners: Arc::default(),
            by_app: None,
            keep_forms,
        }
    }
}

/// Whether this can be the name of a session key.
pub fn is_key_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=32).contains(&text.len()) && text.chars().all(plain)
}
