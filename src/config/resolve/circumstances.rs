//! Conditions on the circumstances: from where somebody asks, and when; and expressions, which may
//! look at both.
//!
//! Called by `conditions`.

use super::Resolver;
use super::network::{is_private, network_of};
use super::rules::Policies;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{OneOrMore, Time, Values, defaults};
use crate::gate::rules::{Condition, DAYS, Hours, Listed, Window, Zone};
use crate::server;
use std::sync::Arc;

impl Resolver<'_> {
    pub(super) fn network(&mut self, at: &KeyPath, written: &Values, policies: &mut Policies) -> Option<Condition> {
        policies.by_address.get_or_insert_with(|| at.clone());
        match written {
            Values::File(path) => match policies.lists.networks(path, self.environment) {
                Ok(listed) => Some(Condition::Network(listed)),
                Err(unfit) => {
                    self.fault(&at.key("file"), format!("the file {} {unfit}", path.display()));
                    None
                }
            },
            Values::Here(OneOrMore(texts)) => {
                let mut networks = Vec::new();
                for text in texts {
                    match network_of(text) {
                        Ok(network) => {
                            if network.prefix_len() == 0 {
                                self.found(Code::Dangerous, at, format!("{text:?} is every address of its family"));
                            }
                            networks.push(network);
                        }
                        Err(wrong) => self.fault(at, wrong),
                    }
                }
                Some(Condition::Network(Listed::here(networks.into_iter().collect())))
            }
        }
    }

    pub(super) fn time(&mut self, at: &KeyPath, written: &Time) -> Option<Condition> {
        if written.days.is_none() && written.hours.is_none() && written.from.is_none() && written.until.is_none() {
            // What cannot be read is a mistake of its own.
            if self.excused.iter().any(|faulty| at.covers(faulty)) {
                return None;
            }
            self.fault(
                at,
                "says nothing; write days, hours, from or until, such as {days: mon-fri, hours: \"08:00-19:00\"}",
            );
            return None;
        }
        let name = written.zone.as_deref().unwrap_or(defaults::ZONE);
        let zone = Zone::named(name);
        if zone.is_none() {
            self.fault(
                &at.key("zone"),
                format!("{name:?} is no time zone; write such as Europe/Paris, Indian/Reunion or UTC"),
            );
        }
        let days = written.days.as_ref().map_or(Some([true; 7]), |days| self.days(&at.key("days"), days));
        let mut hours = Vec::new();
        for text in written.hours.iter().flat_map(|OneOrMore(hours)| hours) {
            match Hours::parse(text) {
                Some(parsed) => hours.push(parsed),
                None => self.fault(
                    &at.key("hours"),
                    format!("{text:?} are no hours; write such as 08:00-19:00, or 22:00-06:00 for a night"),
                ),
            }
        }
        let mut moment = |key: &str, text: Option<&String>, zone: &Zone, whole_day: bool| match text {
            None => Some(None),
            Some(text) => {
                let parsed = match text.split_once('T') {
                    Some((date, time)) => zone.moment(date, time),
                    None if whole_day => zone.day_after(text),
                    None => zone.moment(text, "00:00"),
                };
                if parsed.is_none() {
                    let at = at.key(key);
                    self.fault(&at, format!("{text:?} is no moment; write such as 2027-06-30 or 2027-06-30T18:00"));
                }
                parsed.map(Some)
            }
        };
        let zone = zone?;
        let from = moment("from", written.from.as_ref(), &zone, false);
        let until = moment("until", written.until.as_ref(), &zone, true);
        let (from, until) = (from?, until?);
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            self.fault(&at.key("until"), "is not after from, so it would never hold");
        }
        if until.is_some_and(|until| until <= self.environment.now()) {
            self.idle(&at.key("until"), "is over: it will never hold again");
        }
        Some(Condition::During(Arc::new(Window { zone, days: days?, hours, from, until })))
    }

    /// `fri`, or `mon-fri`, or `sat-mon` around the end of the week.
    fn days(&mut self, at: &KeyPath, OneOrMore(written): &OneOrMore) -> Option<[bool; 7]> {
        let number = |name: &str| DAYS.iter().position(|day| *day == name);
        let mut days = [false; 7];
        for text in written {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let Some((first, last)) = number(first).zip(number(last)) else {
                self.fault(at, format!("{text:?} are no days; write mon, tue, wed, thu, fri, sat, sun or mon-fri"));
                return None;
            };
            for day in 0..=(last + 7 - first) % 7 {
                if let Some(day) = days.get_mut((first + day) % 7) {
                    *day = true;
                }
            }
        }
        Some(days)
    }

    pub(super) fn when(&mut self, at: &KeyPath, source: &str, policies: &mut Policies) -> Option<Condition> {
        match policies.compiler.compile(source) {
            Ok(expression) => {
                if expression.looks_at_the_address() {
                    policies.by_address.get_or_insert_with(|| at.clone());
                }
                Some(Condition::When(Arc::new(expression)))
            }
            Err(mistake) => {
                self.fault(at, mistake.to_string());
                None
            }
        }
    }

    /// Whether what rules say of the client's address can be meant.
    pub(super) fn addresses(&mut self, policies: &Policies, server: Option<&server::Settings>) {
        let Some(server) = server else { return };
        let (is_behind_somebody, trusts_somebody) =
            (is_private(&server.proxy.address), !server.trusted_proxies.is_empty());
        if let Some(at) = policies.by_address.as_ref().filter(|_| is_behind_somebody && !trusts_somebody) {
            self.found(
                Code::Dangerous,
                at,
                "looks at the client's address, which here is that of whoever is in front: listeners.proxy is \
                 reached from this machine alone; write the front proxy's address in trusted_proxies",
            );
        }
    }
}
