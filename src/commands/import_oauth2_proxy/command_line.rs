//! A command line: words, and the flags among them.
//!
//! Called by `inputs` and `manifest`. Flags are read as oauth2-proxy reads them: `--flag=value` or
//! `--flag value`, a switch without a value is on, lists add up. What it would pass over in silence
//! (a word that belongs to no flag) is a mistake here, and is not repeated: it may be a secret.

use super::env_file::assignment;
use super::flags::{self, Kind};
use super::gathered::{Gathered, Layer, is_name};
use std::collections::BTreeSet;

/// Reads a shell script or a line of one.
pub(super) fn read_shell(text: &str, origin: &str, out: &mut Gathered) {
    let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut found = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some(words) = words(line) else {
            out.mistake(origin, "has a quote that is not closed on its line");
            return;
        };
        // What follows is another command.
        let ends = |word: &String| matches!(word.as_str(), "|" | "||" | "&" | "&&" | ";" | ">" | ">>" | "2>&1" | "<");
        let words: Vec<String> = words.into_iter().take_while(|word| !ends(word)).collect();
        if words.iter().any(|word| is_program(word)) || words.first().is_some_and(|word| word.starts_with("--")) {
            found = true;
            read_words(words, origin, out);
        } else if let Some((name, _)) = words.first().and_then(|word| assignment(word))
            && let [word] = words.as_slice()
        {
            out.variable(origin, name, word.split_once('=').map(|(_, value)| value.to_owned()));
        }
    }
    if !found {
        out.mistake(origin, "holds no command line of oauth2-proxy");
    }
}

/// Reads a systemd unit: its commands and its environment.
pub(super) fn read_unit(text: &str, origin: &str, out: &mut Gathered) {
    let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut found = false;
    for line in text.lines().map(str::trim) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim();
        if key == "EnvironmentFile" {
            out.refers(origin, "EnvironmentFile", Some(value.trim().trim_start_matches('-').trim_matches('"')));
        }
        if !matches!(key, "ExecStart" | "Environment") {
            continue;
        }
        let Some(words) = words(value.trim().trim_start_matches(['-', '@', ':', '+', '!'])) else {
            out.mistake(origin, &format!("{key} has a quote that is not closed"));
            continue;
        };
        if key == "ExecStart" {
            found |= words.iter().any(|word| is_program(word));
            read_words(words, origin, out);
            continue;
        }
        for (name, value) in words.iter().filter_map(|word| assignment(word)) {
            out.variable(origin, name, Some(value.to_owned()));
        }
    }
    if !found {
        out.mistake(origin, "holds no ExecStart of oauth2-proxy");
    }
}

/// Reads the words of one command: what stands before its program is for the shell.
pub(super) fn read_words(words: Vec<String>, origin: &str, out: &mut Gathered) {
    let first_flag = words.iter().position(|word| is_flag(word));
    let program = words.iter().rposition(|word| is_program(word));
    let from = program.map_or(first_flag.unwrap_or(words.len()), |program| program + 1);
    for (name, value) in words.iter().take(from).filter_map(|word| assignment(word)) {
        out.variable(origin, name, Some(value.to_owned()));
    }
    read_flags(words.into_iter().skip(from), origin, out);
}

/// Reads arguments.
pub(super) fn read_flags(words: impl IntoIterator<Item = String>, origin: &str, out: &mut Gathered) {
    let mut words = words.into_iter().peekable();
    let mut seen = BTreeSet::new();
    let mut strays = 0;
    while let Some(word) = words.next() {
        let Some(written) = word.strip_prefix("--").filter(|rest| !rest.is_empty()) else {
            match word.strip_prefix('-').map(|rest| rest.split('=').next().unwrap_or(rest)) {
                Some(name) if flags::named(name).is_some() => {
                    out.mistake(origin, &format!("-{name} has one hyphen, and flags have two: write --{name}"));
                    words.next_if(|next| !word.contains('=') && !next.starts_with('-'));
                }
                _ => strays += 1,
            }
            continue;
        };
        let (name, value) = match written.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (written, None),
        };
        let flag = match flags::of_a_command_line(name) {
            Ok(flag) => flag,
            Err(says) => {
                // A secret that follows its flag's name without a sign between them.
                let secret = flags::FLAGS.iter().find(|flag| flag.kind == Kind::Secret && name.starts_with(flag.name));
                match secret {
                    Some(flag) => out.mistake(origin, &format!("--{} has no = or space behind it", flag.name)),
                    None if is_name(name) => out.mistake(origin, &format!("--{name} {says}")),
                    None => out.mistake(origin, "has a flag that is none of oauth2-proxy's"),
                }
                // What follows may be its value.
                words.next_if(|next| value.is_none() && !next.starts_with('-'));
                continue;
            }
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch(_)) => {
                if words.next_if(|next| matches!(next.as_str(), "true" | "false")).is_some() {
                    let says = format!(
                        "--{name} is a switch, which does not read the word behind it; write --{name}=true or --{name}=false"
                    );
                    out.mistake(origin, &says);
                }
                "true".to_owned()
            }
            (None, _) => {
                let Some(value) = words.next() else {
                    out.mistake(origin, &format!("--{name} has no value"));
                    continue;
                };
                value
            }
        };
        if value.contains(" --") {
            out.mistake(origin, &format!("--{name} holds further flags; look for a quote in the wrong place"));
            continue;
        }
        if !seen.insert(flag.name) && !flag.is_list() {
            out.mistake(origin, &format!("--{name} is given twice; remove one of the two"));
            continue;
        }
        let values = if flag.is_list() { fields(&value) } else { vec![value] };
        out.give(flag, Layer::CommandLine, origin, Some(values));
    }
    if strays > 0 {
        let words = if strays == 1 { "a word that belongs" } else { "words that belong" };
        out.mistake(origin, &format!("has {words} to no flag; a value with spaces goes in quotes"));
    }
}

fn is_flag(word: &str) -> bool {
    word.len() > 2 && word.starts_with("--")
}

/// Whether a word is the program, by its path or by the name of its image.
pub(super) fn is_program(word: &str) -> bool {
    let last = word.rsplit('/').next().unwrap_or(word);
    !word.starts_with('-') && last.split([':', '@']).next() == Some("oauth2-proxy") && assignment(word).is_none()
}

/// The items of one list: commas between them, and quotes around those that hold one.
fn fields(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(String::new()),
            _ => items.iter_mut().last().into_iter().for_each(|item| item.push(c)),
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items.iter().map(|item| item.trim().to_owned()).collect()
}

/// The words of a line, as a shell has them; `$(…)` is one piece. None where a quote stays open.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut depth = 0_u32;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '(') if word.as_deref().is_some_and(|word| word.ends_with('$')) || depth > 0 => {
                depth += 1;
                word.get_or_insert_default().push(c);
            }
            (None, ')') if depth > 0 => {
                depth -= 1;
                word.get_or_insert_default().push(c);
            }
            (None, c) if c.is_whitespace() && depth == 0 => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                let next = rest.next()?;
                // Within quotes only these lose their backslash: a regular expression keeps its own.
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && depth == 0).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, expected) in [
            ("a  b", Some(vec!["a", "b"])),
            ("a='b c' \"d e\"f", Some(vec!["a=b c", "d ef"])),
            (r#"'^/a\.b$' "^/a\.b$" "\"" \#"#, Some(vec![r"^/a\.b$", r"^/a\.b$", "\"", "#"])),
            ("--x=$(cat /run/secret) y # z", Some(vec!["--x=$(cat /run/secret)", "y"])),
            ("'' x", Some(vec!["", "x"])),
            ("'a", None),
            ("$(a", None),
            ("", Some(vec![])),
        ] {
            assert_eq!(words(line), expected.map(|words| words.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }

    fn read(text: &str) -> (Vec<(String, String)>, Vec<String>) {
        let mut out = Gathered::default();
        read_shell(text, "f", &mut out);
        let given = out.given.into_iter().map(|given| (given.name, given.values.unwrap().join("|"))).collect();
        (given, out.mistakes)
    }

    #[test]
    fn flags_are_read_as_oauth2_proxy_reads_them() {
        let text = "#!/bin/sh\nset -e\nID=x\nexec docker run -e OAUTH2_PROXY_SCOPE=openid -p 1:1 quay.io/oauth2-proxy/oauth2-proxy:v7.15.3 \\\n\
                    --client-id \"$ID\" --reverse-proxy --cookie-secure=false --email-domain=a.fr,b.fr --email-domain '*' && echo done\n";
        let (given, mistakes) = read(text);
        let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            given,
            [
                ("scope", "openid"),
                ("client-id", "$ID"),
                ("reverse-proxy", "true"),
                ("cookie-secure", "false"),
                ("email-domain", "a.fr|b.fr"),
                ("email-domain", "*"),
            ]
        );
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn what_would_be_passed_over_is_a_mistake() {
        for (text, says) in [
            (
                "--cookie-secure false",
                "--cookie-secure is a switch, which does not read the word behind it; write --cookie-secure=true or --cookie-secure=false",
            ),
            (
                "--client-secret=hunter2 hunter2",
                "has a word that belongs to no flag; a value with spaces goes in quotes",
            ),
            ("--client-id=a --client-id=b", "--client-id is given twice; remove one of the two"),
            ("--client-id", "--client-id has no value"),
            (
                "--cookie-secret=a -client-secret hunter2",
                "-client-secret has one hyphen, and flags have two: write --client-secret",
            ),
            (
                "--client-secrte hunter2",
                "--client-secrte is no flag of oauth2-proxy 7.15; did you mean \"client-secret\"?",
            ),
            ("--client-secrethunter2", "--client-secret has no = or space behind it"),
            ("--a/b=c", "has a flag that is none of oauth2-proxy's"),
            (
                "--client-id='a --client-secret=hunter2'",
                "--client-id holds further flags; look for a quote in the wrong place",
            ),
            ("--client-id='a", "has a quote that is not closed on its line"),
            ("true", "holds no command line of oauth2-proxy"),
        ] {
            assert_eq!(read(text).1, [format!("f: {says}")], "{text}");
        }
    }
}
