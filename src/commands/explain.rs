//! `vestibule explain`: which route and rule decide a request, and why.
//!
//! The configuration is read and nothing is started: no provider, no store and no app is asked. What
//! is said is the gate's own word (`server/explain`). A cookie is a secret: it is never printed, and
//! may come out of a file.

use super::{Failure, load, say};
use clap::Args;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use vestibule::app;
use vestibule::clock::{Clock, Timestamp};
use vestibule::random::SystemRandom;
use vestibule::server::explain::{Explanation, Question, SupposedClaims, Who};

/// A mistake, as distinct from a request that is not forwarded.
const MISTAKE: u8 = 2;

#[derive(Args)]
pub(crate) struct ExplainCommand {
    /// The configuration, in YAML; given several times, each file goes over those before it
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// The method, such as GET
    method: String,
    /// The URL that a client asks for, or a path where there is one site alone
    url: String,
    /// Who asks: a file with what the provider says of them, as a JSON object of claims
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Who asks: a session cookie (its value or a whole Cookie header), or @FILE to read it from a file
    #[arg(long, value_name = "COOKIE", conflicts_with = "claims")]
    cookie: Option<String>,
    /// A program asks, with a token or certificate that this rule of `bearer` takes, and of which --claims says what is in it
    #[arg(long, value_name = "RULE", conflicts_with = "cookie")]
    bearer: Option<String>,
    /// A header of the request; where none says otherwise it is a browser's window, in a page of the site itself
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// At which moment, such as 2026-11-21T18:00:00+01:00; now by default
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("write such as 'Accept: application/json'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::from_rfc3339(text).ok_or("write a moment with its time and zone, such as 2026-11-21T18:00:00+01:00")
}

pub(crate) fn run(command: ExplainCommand) -> ExitCode {
    let json = command.json;
    let explained = explain(command).and_then(|explanation| {
        if json {
            say::line(&say::json(&explanation)?)?;
        } else {
            say::print(&explanation.to_string())?;
        }
        Ok(explanation.is_forwarded())
    });
    match explained {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say::note(&failure.to_string());
            ExitCode::from(MISTAKE)
        }
    }
}

fn explain(command: ExplainCommand) -> Result<Explanation, Failure> {
    let ExplainCommand { config, method, url, claims, cookie, bearer, headers, client, at, json: _ } = command;
    let config = load(&config)?;
    let claims = claims.as_deref().map(claims_of).transpose()?;
    let who = match (bearer, cookie, claims) {
        (Some(rule), _, claims) => Who::Caller { rule, claims: claims.unwrap_or_default() },
        (None, Some(cookie), _) => Who::Cookie(cookie_of(cookie)?),
        (None, None, Some(claims)) => Who::Person(claims),
        (None, None, None) => Who::Nobody,
    };
    let at = at.unwrap_or_else(|| Clock::System.now());
    let question = Question { method, url, headers, client, at, who };
    Ok(app::explainer(&config, Arc::new(SystemRandom::new()))?.explain(&question)?)
}

fn claims_of(path: &Path) -> Result<SupposedClaims, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    SupposedClaims::parse(&text).map_err(|error| format!("{name}: {error}").into())
}

fn cookie_of(written: String) -> Result<String, Failure> {
    match written.strip_prefix('@') {
        None => Ok(written),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            Ok(text.trim().to_owned())
        }
    }
}
