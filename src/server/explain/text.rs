//! An explanation as a terminal shows it.

use super::Explanation;
use crate::gate::trace::Step;
use std::fmt;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.url)?;
        if let Some(site) = &self.site {
            writeln!(f, "site: {site}")?;
        }
        writeln!(f, "from: {}", self.client_kind)?;
        writeln!(f, "by: {}", self.who)?;
        writeln!(f, "at: {}", self.at)?;
        writeln!(f, "decision: {}: {}", self.decision, self.reason)?;
        if self.ours.is_none() && self.decision != "bad_request" {
            writeln!(f, "route: {}", self.route.as_deref().unwrap_or("none"))?;
        }
        for other in &self.others {
            writeln!(f, "  not {}, which {}", other.route, other.why)?;
        }
        if !self.readings.is_empty() {
            writeln!(f, "readings of the path:")?;
        }
        for reading in &self.readings {
            let route = reading.route.as_deref().unwrap_or("no route");
            match &reading.taken_for {
                None => writeln!(f, "  {}: {route}", reading.path)?,
                Some(other) => writeln!(f, "  {}: {route}, and a lenient app takes it for {other}", reading.path)?,
            }
        }
        if !self.rules.rules.is_empty() {
            writeln!(f, "rules:")?;
        }
        for rule in &self.rules.rules {
            writeln!(f, "  {} {}: {}", rule.list, rule.name, rule.step.outcome())?;
            write_step(f, &rule.step, 0)?;
        }
        if let Some(forwarded) = &self.forwarded {
            writeln!(f, "forwarded:")?;
            match (&forwarded.upstream, &forwarded.address) {
                (Some(name), Some(address)) => writeln!(f, "  to {name}, {address}")?,
                _ => writeln!(f, "  to the app of the front proxy that asks (here itself it is answered 404)")?,
            }
            writeln!(f, "  path {}", forwarded.target)?;
            writeln!(f, "  host {}", forwarded.host)?;
            for (name, value) in &forwarded.identity {
                writeln!(f, "  sets {name}: {value}")?;
            }
            for name in &forwarded.stripped {
                writeln!(f, "  takes away {name}")?;
            }
            if let Some(credential) = &forwarded.credential {
                writeln!(f, "  credential {credential} (its value is not shown)")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step, depth: usize) -> fmt::Result {
    let mark = match step.holds {
        Some(true) => "yes",
        Some(false) => "no ",
        None => "?  ",
    };
    let indent = "  ".repeat(depth);
    write!(f, "    {mark} {indent}{}", step.says)?;
    if step.parts.is_empty() {
        let saw = if step.saw.is_empty() { "nothing".to_owned() } else { step.saw.join(", ") };
        write!(f, " (there is {saw})")?;
    }
    writeln!(f)?;
    step.parts.iter().try_for_each(|part| write_step(f, part, depth + 1))
}
