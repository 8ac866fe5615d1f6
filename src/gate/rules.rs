//! What a route asks of whoever passes, besides being signed in: conditions on verified claims.
//!
//! Made by `config`, judged by `policy`, explained by `gate` for the log and the page. Pure. What is
//! not known of somebody satisfies no condition: only `none` holds without it.
//!
//! | key of a route | somebody passes where |
//! |---|---|
//! | `deny` | none of these holds: it wins over the others |
//! | `require` | each of these holds |
//! | `allow` | one of these holds |

use crate::claims::{ClaimValue, ClaimsView};
use crate::clock::Timestamp;
use crate::session::Session;
use crate::web::domain;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// In which circumstances a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The present moment.
    pub now: Timestamp,
    /// The client's address, as far as it can be known.
    pub client: Option<IpAddr>,
}

/// Whom the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// What was verified of them.
    pub claims: &'a ClaimsView<'a>,
    /// The name of the provider that they have signed in with; none of whoever shows a bearer token.
    pub provider: Option<&'a str>,
    /// When they proved who they are to the provider (`auth_time`), where it said so.
    pub authenticated_at: Option<Timestamp>,
    /// When, and from where, they ask.
    pub at: Circumstances,
}

impl<'a> Asker<'a> {
    /// Whoever has this session.
    pub fn of(session: &'a Session<'a>, at: Circumstances) -> Self {
        let (claims, provider) = (session.claims(), Some(session.provider()));
        Self { claims, provider, authenticated_at: session.authenticated_at(), at }
    }
}

/// The rules of a route. Without any it is open to whoever is signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Each holds, or nobody passes.
    pub require: Vec<Rule>,
    /// One holds, or nobody passes; nothing where it is empty.
    pub allow: Vec<Rule>,
    /// None holds, or nobody passes.
    pub deny: Vec<Rule>,
}

/// A condition under the name that the log gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of a policy, or the place in the file where it is written.
    pub name: Arc<str>,
    /// What has to hold.
    pub condition: Condition,
    /// Who may enter by it, in the operator's words, for people whom it keeps out.
    pub who: Option<Arc<Who>>,
}

/// Who may enter, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// In French.
    pub fr: String,
    /// In English.
    pub en: String,
}

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Each of them.
    All(Vec<Self>),
    /// One of them.
    Any(Vec<Self>),
    /// None of them.
    None(Vec<Self>),
    /// They proved who they are no longer ago than this. A moment that is not known is no recent one.
    MaxAge(Duration),
    /// One of the values of something that is known of somebody passes a test.
    Is(Subject, Test),
}

/// What is known of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A claim, by its name; with dots, what is below it in an object.
    Claim(String),
    /// The groups: the first that is there of `groups` and `roles`.
    Groups,
    /// The domain of the e-mail address, in lower case.
    EmailDomain,
    /// The e-mail address, in lower case.
    Email,
    /// The provider that they have signed in with, by its name here.
    Provider,
    /// The SIREN: its own claim, or else the first nine digits of the SIRET.
    Siren,
    /// When they proved who they are: [`Condition::MaxAge`] looks at it, and no test.
    AuthTime,
}

const AUTH_TIME: &Subject = &Subject::AuthTime;

/// What a value has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// There, and not empty.
    Present,
    /// One of these.
    OneOf(Arc<HashSet<String>>),
    /// All of these are among the values.
    AllOf(Vec<String>),
    /// A domain, one of these or below one of the second.
    Domain(Arc<Domains>),
    /// Begins with one of these.
    Prefix(Vec<String>),
    /// A number, this or more.
    AtLeast(Number),
    /// A number, this or less.
    AtMost(Number),
}

/// Domains, in lower case: as they are, and with all that is below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    /// These alone.
    pub exactly: HashSet<String>,
    /// These and all below them, at a dot.
    pub below: HashSet<String>,
}

/// A number of the configuration: a whole one, or with decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

/// `config` lets no NaN in.
impl Eq for Number {}

/// Which rule kept somebody out. Small, so that a decision can carry it; [`Rules::explain`] has the
/// words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    list: List,
    /// Which of the list; none where none of it held.
    rule: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Require,
    Allow,
    Deny,
}

/// Why somebody was kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'r> {
    /// The name of the rule; of the first where none of several held.
    pub rule: &'r str,
    /// Who may enter, where the operator says so.
    pub who: Vec<&'r Who>,
    /// For the log: the list, the rule and what it looks at. Nothing of anybody's.
    pub cause: String,
}

impl Rules {
    /// Whether nobody is kept out.
    pub fn is_empty(&self) -> bool {
        self.require.is_empty() && self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether what these say of somebody can become another without a reload and a renewal: with the
    /// time, or with a list that is read again. Then whoever has a live connection is judged again and
    /// again.
    pub fn may_change(&self) -> bool {
        !self.is_empty()
    }

    /// Judges somebody.
    ///
    /// # Errors
    /// Which rule keeps them out; `deny` before `require` before `allow`.
    pub fn judge(&self, asker: &Asker<'_>) -> Result<(), Refusal> {
        let refusal = |list, rule| Err(Refusal { list, rule });
        if let Some(denied) = self.deny.iter().position(|rule| rule.condition.holds(asker)) {
            return refusal(List::Deny, Some(denied));
        }
        if let Some(missed) = self.require.iter().position(|rule| !rule.condition.holds(asker)) {
            return refusal(List::Require, Some(missed));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|rule| rule.condition.holds(asker)) {
            return refusal(List::Allow, None);
        }
        Ok(())
    }

    /// Puts a refusal of these rules into words.
    pub fn explain(&self, refusal: Refusal) -> Option<Explanation<'_>> {
        let (word, list) = match refusal.list {
            List::Require => ("require", &self.require),
            List::Allow => ("allow", &self.allow),
            List::Deny => ("deny", &self.deny),
        };
        let asked: Vec<&Rule> = match refusal.rule {
            Some(index) => list.get(index).into_iter().collect(),
            None => list.iter().collect(),
        };
        let rule = &asked.first()?.name;
        let names: Vec<&str> = asked.iter().map(|rule| &*rule.name).collect();
        let mut looks_at = BTreeSet::new();
        for rule in &asked {
            rule.condition.subjects(&mut |subject| {
                looks_at.insert(subject.name());
            });
        }
        let looks_at: Vec<&str> = looks_at.into_iter().collect();
        let outcome = match refusal.list {
            List::Deny => "holds",
            List::Require => "does not hold",
            List::Allow => "none holds",
        };
        let cause = format!("{word} {}: {outcome} (by {})", names.join(", "), looks_at.join(", "));
        // Whom one denies is no answer to who may enter.
        let who = if refusal.list == List::Deny { Vec::new() } else { asked };
        Some(Explanation { rule, who: who.into_iter().filter_map(|rule| rule.who.as_deref()).collect(), cause })
    }

    /// The claims that these rules look at.
    pub fn claims(&self) -> BTreeSet<String> {
        let mut claims = BTreeSet::new();
        for rule in self.require.iter().chain(&self.allow).chain(&self.deny) {
            rule.condition.subjects(&mut |subject| claims.extend(subject.claims().into_iter().map(str::to_owned)));
        }
        claims
    }
}

impl Condition {
    /// Whether it holds for somebody.
    pub fn holds(&self, asker: &Asker<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(asker)),
            Self::Any(any) => any.iter().any(|one| one.holds(asker)),
            Self::None(none) => !none.iter().any(|one| one.holds(asker)),
            Self::MaxAge(age) => asker.authenticated_at.is_some_and(|at| asker.at.now.since(at) < *age),
            Self::Is(Subject::Provider, test) => test.passes(asker.provider.map(Cow::Borrowed).as_slice()),
            Self::Is(subject, test) => test.passes(&subject.values(asker.claims)),
        }
    }

    /// Everything that it looks at.
    pub(crate) fn subjects<'c>(&'c self, note: &mut impl FnMut(&'c Subject)) {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => {
                for part in parts {
                    part.subjects(note);
                }
            }
            Self::MaxAge(_) => note(AUTH_TIME),
            Self::Is(subject, _) => note(subject),
        }
    }

    /// Each condition in it that has no others in it.
    pub(super) fn leaves<'c>(&'c self, note: &mut impl FnMut(&'c Self)) {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => {
                for part in parts {
                    part.leaves(note);
                }
            }
            Self::MaxAge(_) | Self::Is(..) => note(self),
        }
    }
}

impl Subject {
    /// As the log and the configuration call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Claim(name) => name,
            Self::Groups => "groups",
            Self::EmailDomain => "email_domain",
            Self::Email => "email",
            Self::Provider => "provider",
            Self::Siren => "siren",
            Self::AuthTime => "auth_time",
        }
    }

    /// The claims that say it.
    pub(crate) fn claims(&self) -> Vec<&str> {
        match self {
            Self::Claim(name) => {
                std::iter::once(name.as_str()).chain(name.split_once('.').map(|(top, _)| top)).collect()
            }
            Self::Groups => crate::claims::GROUPS.to_vec(),
            Self::EmailDomain | Self::Email => vec!["email"],
            Self::Provider => Vec::new(),
            Self::Siren => vec!["siren", "siret"],
            // Sessions keep it beside the claims.
            Self::AuthTime => Vec::new(),
        }
    }

    pub(super) fn values<'a>(&self, claims: &'a ClaimsView<'_>) -> Vec<Cow<'a, str>> {
        let plain = |values: &[&'a str]| values.iter().map(|value| Cow::Borrowed(*value)).collect();
        let folded = |text: &'a str| vec![Cow::Owned(text.to_ascii_lowercase())];
        match self {
            Self::Claim(name) => match claims.get(name) {
                Some(value) => plain(value.values()),
                None => below(claims, name).unwrap_or_default(),
            },
            // No claim says it.
            Self::Provider => Vec::new(),
            Self::Groups => plain(claims.groups()),
            // One address; with several nobody can say which is meant.
            Self::Email => claims.text("email").map(folded).unwrap_or_default(),
            // With a dot at its end it is the same domain (RFC 1034 §3.1): no way round a `deny`.
            Self::EmailDomain => {
                let domain = claims.text("email").and_then(domain::of_email);
                domain.map(|domain| folded(domain.strip_suffix('.').unwrap_or(domain))).unwrap_or_default()
            }
            Self::Siren => {
                let own = claims.text("siren");
                let of_siret =
                    || claims.text("siret").filter(|siret| siret.len() == 14).and_then(|siret| siret.get(..9));
                own.or_else(of_siret).map(|siren| vec![Cow::Borrowed(siren)]).unwrap_or_default()
            }
            Self::AuthTime => Vec::new(),
        }
    }
}

/// What `custom.unit.code` names in the object of the claim `custom`.
fn below(claims: &ClaimsView<'_>, path: &str) -> Option<Vec<Cow<'static, str>>> {
    let (top, rest) = path.split_once('.')?;
    let ClaimValue::Json(object) = claims.get(top)? else { return None };
    let object: serde_json::Value = serde_json::from_str(object).ok()?;
    let found = rest.split('.').try_fold(&object, |value, name| value.get(name))?;
    let held = crate::claims::Claims::from_json(&serde_json::Map::from_iter([(String::new(), found.clone())]));
    let view = held.view();
    Some(view.get("")?.values().iter().map(|value| Cow::Owned((*value).to_owned())).collect())
}

impl Test {
    fn passes(&self, values: &[Cow<'_, str>]) -> bool {
        let any = |passes: &dyn Fn(&str) -> bool| values.iter().any(|value| !value.is_empty() && passes(value));
        match self {
            Self::Present => any(&|_| true),
            Self::OneOf(these) => any(&|value| these.contains(value)),
            Self::AllOf(these) => these.iter().all(|wanted| any(&|value| value == wanted)),
            Self::Domain(domains) => any(&|value| domains.hold(value)),
            Self::Prefix(these) => any(&|value| these.iter().any(|prefix| value.starts_with(prefix.as_str()))),
            Self::AtLeast(Number(least)) => any(&|value| number(value).is_some_and(|number| number >= *least)),
            Self::AtMost(Number(most)) => any(&|value| number(value).is_some_and(|number| number <= *most)),
        }
    }
}

/// A number as JSON writes it; `inf`, `NaN` and `1e999` are none.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && text.bytes().any(|byte| byte.is_ascii_digit()))
}

impl Domains {
    /// Whether a domain, in lower case, is one of these.
    pub(crate) fn hold(&self, domain: &str) -> bool {
        self.exactly.contains(domain)
            || std::iter::successors(Some(domain), |above| above.split_once('.').map(|(_, above)| above))
                .any(|above| self.below.contains(above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn set(values: &[&str]) -> Arc<HashSet<String>> {
        Arc::new(values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn claim(name: &str, test: Test) -> Condition {
        Condition::Is(Subject::Claim(name.to_owned()), test)
    }

    /// Somebody of these claims, nowhere and at no particular moment.
    #[test]
    fn a_provider_is_the_one_of_the_session_whatever_a_claim_says() {
        let claims = Claims::from_json(json!({"sub": "s", "provider": "claimed"}).as_object().unwrap());
        let view = claims.view();
        let is = |name: &str| Condition::Is(Subject::Provider, Test::OneOf(set(&[name, "third"])));
        for (provider, name, expected) in [
            (Some("one"), "one", true),
            (Some("one"), "two", false),
            (Some("one"), "claimed", false),
            (None, "one", false),
            (None, "", false),
            (Some(""), "", false),
        ] {
            let asker = Asker { provider, ..asker(&view) };
            assert_eq!(is(name).holds(&asker), expected, "{provider:?} {name}");
        }
    }

    fn asker<'a>(claims: &'a ClaimsView<'a>) -> Asker<'a> {
        let at = Circumstances { now: Timestamp::from_unix(0), client: None };
        Asker { claims, provider: None, authenticated_at: None, at }
    }

    fn holds(condition: &Condition, claims: &Value) -> bool {
        condition.holds(&asker(&Claims::from_json(claims.as_object().unwrap()).view()))
    }

    fn rule(condition: Condition) -> Rule {
        Rule { name: "r".into(), condition, who: None }
    }

    #[test]
    fn each_test_looks_at_the_values_of_a_claim() {
        let somebody = json!({
            "roles": ["a", "b"], "level": 3, "siret": "13002526500013", "on": true, "empty": "", "none": [],
            "custom": {"unit": {"code": "X7", "rooms": ["1", 2]}, "flag": false}, "a.b": "dotted",
            "email": "Helene.Moreau@Interieur.Gouv.FR",
        });
        let domains = |exactly: &[&str], below: &[&str]| {
            let these = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
            Test::Domain(Arc::new(Domains { exactly: these(exactly), below: these(below) }))
        };
        let email = |test| Condition::Is(Subject::EmailDomain, test);
        let cases = [
            (claim("roles", Test::OneOf(set(&["x", "b"]))), true),
            (claim("roles", Test::OneOf(set(&["A"]))), false),
            (claim("roles", Test::AllOf(vec!["a".into(), "b".into()])), true),
            (claim("roles", Test::AllOf(vec!["a".into(), "c".into()])), false),
            (claim("level", Test::AtLeast(Number(3.0))), true),
            (claim("level", Test::AtLeast(Number(3.1))), false),
            (claim("level", Test::AtMost(Number(3.0))), true),
            (claim("roles", Test::AtLeast(Number(0.0))), false),
            (claim("siret", Test::Prefix(vec!["130025265".into()])), true),
            (claim("siret", Test::Prefix(vec!["999".into()])), false),
            (claim("on", Test::OneOf(set(&["true"]))), true),
            (claim("on", Test::Present), true),
            (claim("empty", Test::Present), false),
            (claim("none", Test::Present), false),
            (claim("nowhere", Test::Present), false),
            (claim("custom.unit.code", Test::OneOf(set(&["X7"]))), true),
            (claim("custom.unit.rooms", Test::OneOf(set(&["2"]))), true),
            (claim("custom.flag", Test::OneOf(set(&["false"]))), true),
            (claim("custom.unit", Test::Present), false),
            (claim("custom", Test::Present), false),
            (claim("custom.unit.code.more", Test::Present), false),
            (claim("a.b", Test::OneOf(set(&["dotted"]))), true),
            (Condition::Is(Subject::Siren, Test::OneOf(set(&["130025265"]))), true),
            (Condition::Is(Subject::Groups, Test::OneOf(set(&["a"]))), true),
            (Condition::Is(Subject::Email, Test::OneOf(set(&["helene.moreau@interieur.gouv.fr"]))), true),
            (email(domains(&["interieur.gouv.fr"], &[])), true),
            (email(domains(&["gouv.fr"], &[])), false),
            (email(domains(&[], &["gouv.fr"])), true),
            (email(domains(&[], &["interieur.gouv.fr"])), true),
            (email(domains(&[], &["ouv.fr"])), false),
        ];
        for (condition, expected) in cases {
            assert_eq!(holds(&condition, &somebody), expected, "{condition:?}");
        }
    }

    #[test]
    fn an_address_that_could_be_read_in_two_ways_is_of_no_domain() {
        let domains = Domains { exactly: ["example.fr".to_owned()].into(), below: ["example.fr".to_owned()].into() };
        let condition = Condition::Is(Subject::EmailDomain, Test::Domain(Arc::new(domains)));
        for bad in [
            json!("a@evil.org@example.fr"),
            json!("a@example.fr@evil.org"),
            json!("example.fr"),
            json!("a@badexample.fr"),
            json!("a@example.fr.evil.org"),
            json!("a@example.fr "),
            json!(["a@example.fr", "b@evil.org"]),
            json!({"x": "a@example.fr"}),
            json!(null),
            json!(""),
        ] {
            assert!(!holds(&condition, &json!({ "email": bad })), "{bad}");
        }
        assert!(holds(&condition, &json!({"email": "A@Example.FR"})));
        assert!(holds(&condition, &json!({"email": "a@b.example.fr"})));
        assert!(
            holds(&condition, &json!({"email": "a@Example.fr."}))
                && !holds(&condition, &json!({"email": "a@example.fr.."}))
        );
    }

    #[test]
    fn what_is_not_a_number_is_neither_much_nor_little() {
        for text in ["", "NaN", "inf", "-inf", "1e999", "0x10", "three", " 3", "3 "] {
            let claims = json!({ "level": text });
            assert!(!holds(&claim("level", Test::AtLeast(Number(-1e300))), &claims), "{text}");
            assert!(!holds(&claim("level", Test::AtMost(Number(1e300))), &claims), "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_rule_and_what_it_looks_at_and_nothing_of_the_person() {
        let named = |name: &str, condition| Rule {
            name: name.into(),
            condition,
            who: Some(Arc::new(Who { fr: format!("fr {name}"), en: format!("en {name}") })),
        };
        let rules = Rules {
            require: vec![named("agents", claim("roles", Test::OneOf(set(&["agent_public"]))))],
            allow: vec![
                named("one", claim("idp_id", Test::Present)),
                named("two", Condition::Is(Subject::EmailDomain, Test::Present)),
            ],
            deny: vec![named("banned", claim("sub", Test::OneOf(set(&["s-7"]))))],
        };
        let refused = |claims: Value| {
            let claims = Claims::from_json(claims.as_object().unwrap());
            let refusal = rules.judge(&asker(&claims.view())).unwrap_err();
            let told = rules.explain(refusal).unwrap();
            (told.cause, told.who.iter().map(|who| who.en.clone()).collect::<Vec<_>>())
        };
        let (cause, who) = refused(json!({"sub": "s-7", "roles": ["agent_public"], "idp_id": "x"}));
        assert_eq!((cause.as_str(), who.len()), ("deny banned: holds (by sub)", 0));
        let (cause, who) = refused(json!({"sub": "s-8", "idp_id": "x"}));
        assert_eq!(cause, "require agents: does not hold (by roles)");
        assert_eq!(who, ["en agents"]);
        let (cause, who) = refused(json!({"sub": "s-8", "roles": ["agent_public"]}));
        assert_eq!(cause, "allow one, two: none holds (by email_domain, idp_id)");
        assert_eq!(who, ["en one", "en two"]);
    }

    /// Claims and conditions over few names and values, so that they meet.
    fn claims_strategy() -> impl Strategy<Value = Value> {
        let value = prop_oneof![
            Just(json!("x")),
            Just(json!("y")),
            Just(json!(["x", "y"])),
            Just(json!(3)),
            Just(json!({"x": "y"}))
        ];
        proptest::collection::btree_map("[abc]", value, 0..4).prop_map(|map| json!(map))
    }

    fn condition_strategy() -> impl Strategy<Value = Condition> {
        let test = prop_oneof![
            Just(Test::Present),
            Just(Test::OneOf(set(&["x"]))),
            Just(Test::OneOf(set(&["y", "3"]))),
            Just(Test::AllOf(vec!["x".into(), "y".into()])),
            Just(Test::Prefix(vec!["x".into()])),
            Just(Test::AtLeast(Number(2.0))),
        ];
        let leaf = ("[abcd]|a\\.x", test).prop_map(|(name, test)| claim(&name, test));
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::All),
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::Any),
                proptest::collection::vec(inner, 1..3).prop_map(Condition::None),
            ]
        })
    }

    fn rules_strategy() -> impl Strategy<Value = Rules> {
        let list = || proptest::collection::vec(condition_strategy().prop_map(rule), 0..3);
        (list(), list(), list()).prop_map(|(require, allow, deny)| Rules { require, allow, deny })
    }

    proptest! {
        #[test]
        fn a_further_rule_lets_nobody_in_who_was_out(rules in rules_strategy(), more in condition_strategy(), claims in claims_strategy()) {
            let claims = Claims::from_json(claims.as_object().unwrap());
            let passes = |rules: &Rules| rules.judge(&asker(&claims.view())).is_ok();
            let mut required = rules.clone();
            required.require.push(rule(more.clone()));
            let mut denied = rules.clone();
            denied.deny.push(rule(more.clone()));
            prop_assert!(passes(&rules) || !passes(&required));
            prop_assert!(passes(&rules) || !passes(&denied));
            if rules.allow.is_empty() {
                let mut allowed = rules.clone();
                allowed.allow.push(rule(more));
                prop_assert!(passes(&rules) || !passes(&allowed));
            }
        }

        #[test]
        fn the_order_of_rules_changes_nothing(rules in rules_strategy(), claims in claims_strategy()) {
            let claims = Claims::from_json(claims.as_object().unwrap());
            let mut turned = rules.clone();
            turned.require.reverse();
            turned.allow.reverse();
            turned.deny.reverse();
            prop_assert_eq!(rules.judge(&asker(&claims.view())).is_ok(), turned.judge(&asker(&claims.view())).is_ok());
        }

        #[test]
        fn what_denies_wins_over_all_that_lets_in(rules in rules_strategy(), claims in claims_strategy()) {
            let claims = Claims::from_json(claims.as_object().unwrap());
            if rules.deny.iter().any(|rule| rule.condition.holds(&asker(&claims.view()))) {
                prop_assert!(rules.judge(&asker(&claims.view())).is_err());
            }
        }

        #[test]
        fn what_is_not_known_satisfies_no_test(condition in condition_strategy()) {
            fn without_none(condition: &Condition) -> bool {
                match condition {
                    Condition::None(_) => false,
                    Condition::All(parts) | Condition::Any(parts) => parts.iter().all(without_none),
                    Condition::Is(..) | Condition::MaxAge(_) => true,
                }
            }
            if without_none(&condition) {
                prop_assert!(!condition.holds(&asker(&ClaimsView::default())));
            }
        }
    }
}
