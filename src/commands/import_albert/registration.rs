//! The part about the provider: our address, our registration there, and what is asked for.
//!
//! Called by `translate`. An address may hold a password, and none is repeated before it is known
//! to hold none.

use super::found::Text;
use super::translate::Import;
use crate::commands::import::{address, is_proconnect_identite, list, proconnect_environment, scopes};
use std::fmt::Write as _;
use url::Url;
use vestibule::web::public_url::{BadPublicUrl, PublicUrl};

const METADATA: &str = "/.well-known/openid-configuration";

impl Import<'_> {
    /// The host of `public_url`; where the callback's path stays as it is registered, that with its
    /// key path.
    pub(super) fn public_url(&mut self) -> (Option<String>, Option<(String, String)>) {
        let front = self.source.text("settings.front_url");
        let home = self.source.text("playground.home_url");
        let redirect = self.source.text(&self.of_block("redirect_uri"));
        let urls = [&front, &home, &redirect].map(|setting| self.url(setting.as_ref()));
        let origins = urls.each_ref().map(|url| url.as_ref().map(|url| url.origin().ascii_serialization()));
        let chosen = [(&front, 0), (&home, 1), (&redirect, 2)].into_iter().find(|(setting, _)| setting.is_some());
        self.line("");
        let Some((Some(setting), index)) = chosen else {
            self.missing(
                "",
                "public_url",
                "settings.front_url",
                "write the address that browsers use for the playground",
            );
            return (None, None);
        };
        let origin = origins.get(index).cloned().flatten();
        self.value("", "public_url", &Text { value: origin.clone(), ..setting.clone() });
        let Some(origin) = origin else { return (None, None) };
        if PublicUrl::parse(&origin) == Err(BadPublicUrl::Insecure) {
            self.note(&setting.at, "is http, which Vestibule takes on loopback only; write the https address");
        }
        if let (Some(home), Some(Some(at_home))) = (&home, origins.get(1))
            && *at_home != origin
        {
            let says = "has another origin than public_url; set it to that address in the playground: \
                        its sign-in button leads there";
            self.note(&home.at, says);
        }
        let mut callback = None;
        if let (Some(redirect), Some(Some(registered)), Some(Some(url))) = (&redirect, origins.get(2), urls.get(2)) {
            if *registered != origin {
                let says =
                    format!("has another origin than public_url; register {origin}/oauth2/callback at the provider");
                self.note(&redirect.at, &says);
            } else if url.query().is_some() || url.fragment().is_some() || url.path() == "/" {
                let says = format!("cannot be kept; register {origin}/oauth2/callback at the provider");
                self.note(&redirect.at, &says);
            } else if url.path() != "/oauth2/callback" {
                callback = Some((redirect.at.clone(), url.path().to_owned()));
            }
        } else if redirect.is_none() {
            let says = format!("is not set; register {origin}/oauth2/callback at the provider");
            self.note(&self.of_block("redirect_uri"), &says);
        }
        let says = format!("register {origin}/oauth2/signed_out at the provider too, as post-logout redirect URI");
        self.note(&self.of_block("redirect_uri"), &says);
        let host = urls.get(index).and_then(Option::as_ref).and_then(Url::host_str);
        (host.map(str::to_owned), callback)
    }

    pub(super) fn provider(&mut self) {
        self.line("\nproviders:\n  proconnect:");
        let metadata = self.source.text(&self.of_block("server_metadata_url"));
        let url = self.url(metadata.as_ref());
        let mut is_proconnect = false;
        match (&metadata, url) {
            (Some(metadata), Some(url)) => is_proconnect = self.issuer(metadata, &url),
            (Some(metadata), None) => self.value("    ", "issuer", metadata),
            (None, _) => {
                let at = self.of_block("server_metadata_url");
                let says = "write `preset: proconnect` with its environment, or an issuer";
                self.missing("    ", "preset", &at, says);
            }
        }
        let at = self.of_block("client_id");
        match self.source.text(&at) {
            Some(client_id) => self.value("    ", "client_id", &client_id),
            None => self.missing("    ", "client_id", &at, "write the one of your registration"),
        }
        let at = self.of_block("client_secret");
        match self.source.secret(&at) {
            Some(secret) => {
                let reference = self.reference(&secret, "PROCONNECT_CLIENT_SECRET");
                let _ = writeln!(self.out, "    # From {at}.\n    client_secret: {reference}");
            }
            None => self.missing("    ", "client_secret", &at, "write where the one of your registration is"),
        }
        let at = self.of_block("scope");
        if let Some(scope) = self.source.text(&at) {
            self.scopes(&scope, is_proconnect);
        }
    }

    /// The preset or the issuer that a metadata URL stands for; whether it is ProConnect.
    fn issuer(&mut self, metadata: &Text, url: &Url) -> bool {
        if let Some(environment) = url.host_str().and_then(proconnect_environment) {
            self.value("    ", "preset", &Text { value: Some("proconnect".to_owned()), ..metadata.clone() });
            let _ = writeln!(self.out, "    environment: {environment}");
            return true;
        }
        let Some(issuer) = url.as_str().strip_suffix(METADATA) else {
            self.source.mistake(&metadata.at, &format!("must end with {METADATA}, before which the issuer stands"));
            return false;
        };
        self.value("    ", "issuer", &Text { value: Some(issuer.to_owned()), ..metadata.clone() });
        if url.host_str().is_some_and(is_proconnect_identite) {
            let says = "is ProConnect Identité, one of the identity providers behind ProConnect and not ProConnect; \
                        register there, and write `preset: proconnect` instead of the issuer";
            self.note(&metadata.at, says);
        }
        false
    }

    fn scopes(&mut self, scope: &Text, is_proconnect: bool) {
        let Some(value) = &scope.value else {
            self.value("    ", "scopes", scope);
            return;
        };
        let (scopes, of_profile) = scopes(value, is_proconnect);
        let list = list(scopes);
        let profile = if of_profile { ": ProConnect has no `profile`, but given_name and usual_name" } else { "" };
        let _ = writeln!(self.out, "    # From {}{profile}.\n    scopes: {list}", scope.at);
        if !scope.variables.is_empty() {
            self.note(&scope.at, "depends on a variable, of which the default was taken; write what it is into scopes");
        }
    }

    /// An address with a host and no password. Its text may hold one and is not repeated.
    pub(super) fn url(&mut self, setting: Option<&Text>) -> Option<Url> {
        let Text { at, value: Some(value), .. } = setting? else { return None };
        address(value).map_err(|says| self.source.mistake(at, says)).ok()
    }
}
