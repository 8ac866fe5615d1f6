//! A request as its operation sees it: path parameters, query and JSON body, each read as FastAPI
//! and pydantic read them, faults collected for one 422.

use super::reply::Reply;
use super::version::Version;
use serde_json::{Map, Value, json};

/// A request that has found its operation.
pub(super) struct Asked {
    /// Method and path as declared: `GET /v1/admin/users/{user}`.
    pub(super) operation: String,
    /// The parameter in the path; empty where there is none.
    pub(super) parameter: String,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
}

/// Finds the operation of a path, and the value of its parameter.
///
/// # Errors
/// 404 for a path that is not there, 405 for a method that it does not have.
pub(super) fn operation(version: Version, method: &str, path: &str) -> Result<(String, String), Reply> {
    let mut known = false;
    for (template, methods) in version.paths() {
        let Some(parameter) = parameter_of(template, path) else { continue };
        if methods.contains(&method) {
            return Ok((format!("{method} {template}"), parameter));
        }
        known = true;
    }
    Err(if known { Reply::detail(405, "Method Not Allowed") } else { Reply::detail(404, "Not Found") })
}

/// None when the path is not of this form.
fn parameter_of(template: &str, path: &str) -> Option<String> {
    let Some((before, _)) = template.split_once('{') else { return (template == path).then(String::new) };
    let value = path.strip_prefix(before).filter(|value| !value.is_empty() && !value.contains('/'))?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

impl Asked {
    /// # Errors
    /// 422 for a body that is not JSON: found before anybody asks who is calling.
    pub(super) fn new(operation: String, parameter: String, query: &str, body: &[u8]) -> Result<Self, Reply> {
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let takes_a_body = operation.starts_with("POST") || operation.starts_with("PATCH");
        let body = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(_) | Err(_) if !takes_a_body => Map::new(),
            Ok(other) => {
                let message = "Input should be a valid dictionary or object to extract fields from";
                return Err(Reply::invalid(vec![fault("model_attributes_type", &json!(["body"]), message, &other)]));
            }
            Err(_) if body.is_empty() => {
                return Err(Reply::invalid(vec![fault("missing", &json!(["body"]), "Field required", &Value::Null)]));
            }
            Err(error) => {
                let mut fault =
                    fault("json_invalid", &json!(["body", error.column()]), "JSON decode error", &json!({}));
                fault["ctx"] = json!({ "error": "Expecting value" });
                return Err(Reply::invalid(vec![fault]));
            }
        };
        Ok(Self { operation, parameter, query, body })
    }

    /// What is asked for, to be read field by field.
    pub(super) fn read(&self) -> Reading<'_> {
        Reading { asked: self, faults: Vec::new() }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.body.contains_key(field)
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.body.get(field).and_then(Value::as_bool) == Some(true)
    }

    /// The items of a field, none where it is no list.
    pub(super) fn array(&self, field: &str) -> Vec<Value> {
        self.body.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
    }
}

fn fault(kind: &str, place: &Value, message: &str, input: &Value) -> Value {
    json!({ "type": kind, "loc": place, "msg": message, "input": input })
}

/// Reads fields and keeps what is wrong with them until the end.
pub(super) struct Reading<'a> {
    asked: &'a Asked,
    faults: Vec<Value>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Page {
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

impl Reading<'_> {
    /// The integer in the path.
    pub(super) fn id(&mut self) -> u64 {
        let value = &self.asked.parameter;
        value.parse().unwrap_or_else(|_| {
            let name = self.asked.operation.split(['{', '}']).nth(1).unwrap();
            self.not_an_integer(&json!(["path", name]), &json!(value));
            0
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.asked.query.iter().rev().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn query_id(&mut self, name: &str) -> Option<u64> {
        let value = self.query(name)?.to_owned();
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.not_an_integer(&json!(["query", name]), &json!(value));
        }
        parsed
    }

    /// `offset` and `limit`: 10 unless told, 100 at most.
    pub(super) fn page(&mut self) -> Page {
        let offset = self.query_id("offset").unwrap_or(0);
        let limit = self.query_id("limit").unwrap_or(10);
        let wrong = match limit {
            0 => Some(("greater_than_equal", "Input should be greater than or equal to 1")),
            1..=100 => None,
            _ => Some(("less_than_equal", "Input should be less than or equal to 100")),
        };
        if let Some((kind, message)) = wrong {
            self.faults.push(fault(kind, &json!(["query", "limit"]), message, &json!(limit.to_string())));
        }
        Page { offset: usize::try_from(offset).unwrap(), limit: usize::try_from(limit).unwrap() }
    }

    fn field(&mut self, name: &str) -> Option<Value> {
        self.asked.body.get(name).filter(|value| !value.is_null()).cloned()
    }

    /// Refuses a body without the field; null will do where the declaration says so.
    pub(super) fn present(&mut self, name: &str) {
        if !self.asked.body.contains_key(name) {
            self.missing("body", name);
        }
    }

    /// Also what this says is told in an answer: `input` is the whole body, secrets included.
    pub(super) fn missing(&mut self, place: &str, name: &str) {
        let input = if place == "body" { Value::Object(self.asked.body.clone()) } else { Value::Null };
        self.faults.push(fault("missing", &json!([place, name]), "Field required", &input));
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.field(name)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        self.faults.push(fault("string_type", &json!(["body", name]), "Input should be a valid string", &value));
        None
    }

    pub(super) fn compulsory_text(&mut self, name: &str) -> String {
        self.present(name);
        self.text(name).unwrap_or_default()
    }

    /// A text of 1 to `most` characters.
    pub(super) fn bounded(&mut self, name: &str, text: &str, most: usize) {
        let message = match text.chars().count() {
            0 => Some(("string_too_short", "String should have at least 1 character".to_owned())),
            length if length > most => {
                Some(("string_too_long", format!("String should have at most {most} characters")))
            }
            _ => None,
        };
        if let Some((kind, message)) = message.filter(|_| self.asked.has(name)) {
            self.faults.push(fault(kind, &json!(["body", name]), &message, &json!(text)));
        }
    }

    pub(super) fn integer(&mut self, name: &str) -> Option<u64> {
        let value = self.field(name)?;
        let read = value.as_u64();
        if read.is_none() {
            self.not_an_integer(&json!(["body", name]), &value);
        }
        read
    }

    pub(super) fn compulsory_integer(&mut self, name: &str) -> u64 {
        self.present(name);
        self.integer(name).unwrap_or_default()
    }

    pub(super) fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.field(name)?;
        let read = value.as_f64();
        if read.is_none() {
            self.faults.push(fault("float_parsing", &json!(["body", name]), "Input should be a valid number", &value));
        }
        read
    }

    /// A moment after `now`.
    pub(super) fn future(&mut self, name: &str, now: u64, message: &str) -> Option<u64> {
        let moment = self.integer(name)?;
        if moment <= now {
            self.faults.push(fault("value_error", &json!(["body", name]), message, &json!(moment)));
        }
        Some(moment)
    }

    fn not_an_integer(&mut self, place: &Value, input: &Value) {
        let message = "Input should be a valid integer, unable to parse string as an integer";
        self.faults.push(fault("int_parsing", place, message, input));
    }

    /// # Errors
    /// 422 with every fault so far.
    pub(super) fn done(self) -> Result<(), Reply> {
        if self.faults.is_empty() { Ok(()) } else { Err(Reply::invalid(self.faults)) }
    }
}
