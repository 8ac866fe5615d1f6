//! The page that offers to send a form which was kept over a sign-in.
//!
//! Rendered by `mod`. It shows where the form was going and the names of its fields, by which the
//! reader knows it again, and no value: a password is a field like any other. The values are in hidden
//! fields, for the browser to send. A file has to be chosen again; its name helps to find it.

use super::contact::Contact;
use super::{Frame, html};
use crate::web::submitted::{Content, Submitted};
use askama::Template;

/// How many names are shown, and how much of each.
const SHOWN_NAMES: usize = 20;
const SHOWN_LEN: usize = 60;

#[derive(Template)]
#[template(path = "kept_form.html")]
struct KeptFormPage<'a> {
    frame: Frame<'a>,
    send: String,
    discard: String,
    to: &'a str,
    form: &'a Submitted,
    names: String,
    files: bool,
}

pub(super) fn page(frame: Frame<'_>, id: &str, to: &str, form: &Submitted) -> String {
    let mut names: Vec<&str> = Vec::new();
    for field in &form.fields {
        if !names.contains(&field.name.as_str()) {
            names.push(&field.name);
        }
    }
    let more = if names.len() > SHOWN_NAMES { "…" } else { "" };
    let shown = names.iter().take(SHOWN_NAMES).map(|name| shortened(name));
    let names = shown.chain((!more.is_empty()).then(|| more.to_owned())).collect::<Vec<_>>().join(", ");
    let files = form.fields.iter().any(|field| matches!(&field.content, Content::File(file) if !file.is_empty()));
    let send = format!("form?id={id}");
    html(&KeptFormPage { frame, send, discard: discard(id), to, form, names, files })
}

/// Below the prefix, what discards a form.
pub(super) fn discard(id: &str) -> String {
    format!("form?discard={id}")
}

/// As much of a name as helps to know it.
fn shortened(name: &str) -> String {
    let mut shown: String = name.chars().take(SHOWN_LEN).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}
