//! `when`: an expression in CEL, for what the lists cannot say.
//!
//! `config` compiles one for each `when`, `condition` asks it at every request that gets that far. The
//! `cel` library reads and computes; what may be written, and of which type everything is, is decided
//! here (`check`) and when the file is read. Must never let anybody in because something went wrong:
//! whatever does is an answer that cannot be told, and keeps out in every list.
//!
//! | name | is |
//! |---|---|
//! | `claims.NAME` | the one value of a claim, as text |
//! | `values.NAME` | all values of a claim, as a list of texts |
//! | `has(claims.NAME)`, `has(values.NAME)` | whether there is one |
//! | `client` | the client's address, as text |
//! | `now` | the seconds since 1970 |

use super::Asker;
use super::condition::{claims_of, values_of};
use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::parser::PrattParser;
use cel::{Context, Env, IdedExpr, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

mod check;

pub use check::Mistake;
use check::{Check, Slot};

/// The longest expression, in bytes: whoever needs more writes it where it can be tested.
const LONGEST: usize = 1000;

/// How deep brackets, and signs before a value, may be inside each other.
const DEEPEST: usize = 16;

/// Compiles expressions, which share what they compute with.
#[derive(Clone)]
pub struct Compiler {
    env: Arc<Env>,
}

/// An expression that is true or false.
pub struct Expression {
    source: String,
    /// With every name of a claim in one piece, as [`Slot`] writes it.
    tree: IdedExpr,
    env: Arc<Env>,
    slots: BTreeSet<Slot>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self { env: Arc::new(Env::stdlib()) }
    }
}

impl Compiler {
    /// Reads an expression and sees to it that every name is known, every operator fits, and the
    /// outcome is true or false.
    ///
    /// # Errors
    /// [`Mistake`], by cause; the first one.
    pub fn compile(&self, source: &str) -> Result<Expression, Mistake> {
        if source.len() > LONGEST {
            return Err(Mistake::TooLong);
        }
        if depth_of(source) > DEEPEST {
            return Err(Mistake::TooDeep);
        }
        let parser = PrattParser::new().max_recursion_depth(24).error_recovery_limit(1).error_reporting_limit(1);
        // A library that panics on a text is no reason to fall over.
        let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(source)));
        let mut tree = match parsed {
            Ok(Ok(tree)) => tree,
            Ok(Err(errors)) => return Err(Mistake::Syntax(errors.errors.first().map(|error| error.msg.clone()))),
            Err(_) => return Err(Mistake::Syntax(None)),
        };
        let slots = Check::whole(&mut tree)?;
        Ok(Expression { source: source.to_owned(), tree, env: Arc::clone(&self.env), slots })
    }
}

/// How deep a text goes at most, for a parser that follows it on the stack. Brackets in quotes count:
/// so many are nobody's.
fn depth_of(source: &str) -> usize {
    let (mut depth, mut deepest, mut signs) = (0_usize, 0, 0);
    for character in source.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        signs = match character {
            '!' | '-' => signs + 1,
            _ if character.is_whitespace() => signs,
            _ => 0,
        };
        deepest = deepest.max(depth + signs);
    }
    deepest
}

impl Expression {
    /// Whether it is true of somebody. `None` where it cannot be told.
    pub(super) fn holds(&self, asker: &Asker<'_>) -> Option<bool> {
        let names = Names(asker);
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(&names);
        let outcome = catch_unwind(AssertUnwindSafe(|| context.resolve(&self.tree)));
        match outcome {
            Ok(Ok(Value::Bool(holds))) => Some(holds),
            _ => None,
        }
    }

    /// As it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it looks at where somebody asks from.
    pub fn looks_at_the_address(&self) -> bool {
        self.slots.contains(&Slot::Client)
    }

    /// Whether it may be true at one moment and not at the next.
    pub(super) fn looks_at_the_time(&self) -> bool {
        self.slots.contains(&Slot::Now)
    }

    /// What it looks at, for somebody: each claim with its values, and the circumstances.
    pub(in crate::gate) fn saw(&self, asker: &Asker<'_>) -> Vec<String> {
        let mut saw = Vec::new();
        if self.slots.contains(&Slot::Client) {
            saw.extend(asker.at.client.map(|client| format!("client: {}", client.to_canonical())));
        }
        if self.slots.contains(&Slot::Now) {
            saw.push(format!("now: {}", asker.at.now.as_unix()));
        }
        let claims: BTreeSet<&str> = self.slots.iter().filter_map(Slot::claim).collect();
        for claim in claims {
            let values = values_of(asker.claims, claim).filter(|values| !values.is_empty());
            saw.extend(values.map(|values| format!("{claim}: {}", values.join(", "))));
        }
        saw
    }

    /// The claims that it looks at.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(Slot::claim).flat_map(claims_of)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

/// What the names of an expression mean for somebody.
struct Names<'a>(&'a Asker<'a>);

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let Asker { claims, at, .. } = self.0;
        // The one value of a claim; with several nobody can say which is meant.
        let one = |claim: &str| {
            let values = values_of(claims, claim)?;
            <[_; 1]>::try_from(values).ok().map(|[value]| value).filter(|value| !value.is_empty())
        };
        match Slot::read(name)? {
            Slot::Now => i64::try_from(at.now.as_unix()).ok().map(|now| CowVal::owned(CelInt::from(now))),
            Slot::Client => at.client.map(|client| CowVal::owned(CelString::from(client.to_canonical().to_string()))),
            Slot::Claim(claim) => one(&claim).map(|value| CowVal::owned(CelString::from(value))),
            Slot::HasClaim(claim) => Some(CowVal::owned(cel::common::types::CelBool::from(one(&claim).is_some()))),
            Slot::Values(claim) => {
                let texts = values_of(claims, &claim)?.into_iter();
                let texts: Vec<Box<dyn Val + 'b>> =
                    texts.map(|text| Box::new(CelString::from(text)) as Box<dyn Val + 'b>).collect();
                Some(CowVal::owned(CelList::from(texts)))
            }
            Slot::HasValues(claim) => {
                let has_some =
                    values_of(claims, &claim).is_some_and(|values| values.iter().any(|text| !text.is_empty()));
                Some(CowVal::owned(cel::common::types::CelBool::from(has_some)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Circumstances;
    use super::*;
    use crate::claims::Claims;
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn compile(source: &str) -> Result<Expression, Mistake> {
        Compiler::default().compile(source)
    }

    /// What an expression comes to for somebody who is known well.
    fn outcome(source: &str) -> Option<bool> {
        let claims = json!({
            "sub": "s-1", "email": "h.moreau@dinum.gouv.fr", "level": 4, "roles": ["agent_public", "agent_public_etat"],
            "empty": "", "nobody": [], "custom": {"unit": {"code": "X7"}, "rooms": ["1", "2"]}, "odd:name": "odd",
            "until": "1800000000", "big": "9223372036854775807", "team": "a",
        });
        let claims = Claims::from_json(claims.as_object().unwrap());
        let at = Circumstances {
            now: Timestamp::from_unix(1_795_000_000),
            client: Some("::ffff:192.0.2.7".parse().unwrap()),
        };
        let expression = compile(source).unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        expression.holds(&Asker { claims: &claims.view(), provider: None, authenticated_at: None, at })
    }

    #[test]
    fn an_expression_says_what_the_lists_cannot() {
        for (source, expected) in [
            ("claims.email.endsWith('@dinum.gouv.fr')", true),
            ("claims.email.startsWith(claims.team + '.')", false),
            ("claims.custom.unit.code == 'X7'", true),
            ("claims[\"custom.unit.code\"] == 'X7' && claims.custom['unit']['code'] == 'X7'", true),
            ("claims[\"odd:name\"] == 'odd'", true),
            ("'agent_public_etat' in values.roles", true),
            ("'agent' in values.roles", false),
            ("claims.team in ['a', 'b']", true),
            ("int(claims.level) >= 4 && int(claims.level) * 2 % 3 == 2 && -int(claims.level) < 0", true),
            ("now < int(claims.until)", true),
            ("client == '192.0.2.7'", true),
            ("client in ['192.0.2.8']", false),
            ("values.roles.exists(role, role.startsWith('agent_public_'))", true),
            ("values.roles.all(role, role.startsWith('agent_public_'))", false),
            ("values.roles.exists_one(role, role.endsWith('etat'))", true),
            ("values['custom.rooms'].size() == 2 && size(claims.team) == 1", true),
            ("has(claims.email) && !has(claims.phone) && !has(claims.empty) && !has(claims.roles)", true),
            ("has(values.roles) && !has(values.nobody) && has(values.custom.rooms) && !has(values.custom)", true),
            ("has(claims.phone) ? claims.phone == '1' : claims.team == 'a'", true),
            // Nothing is among nothing.
            ("values.nobody.exists(one, one == 'x')", false),
            // One side settles it, whatever becomes of the other.
            ("claims.phone == 'x' || claims.team == 'a'", true),
            ("claims.phone == 'x' && claims.team == 'b'", false),
            ("values.roles.exists(now_, now_ == string(now)) || true", true),
        ] {
            assert_eq!(outcome(source), Some(expected), "{source}");
        }
    }

    #[test]
    fn what_goes_wrong_can_not_be_told_and_neither_can_its_opposite() {
        for source in [
            "claims.phone == 'x'",
            "claims.phone != 'x'",
            "claims.roles == 'agent_public'",
            "claims.empty == ''",
            "claims.custom == 'x'",
            "'x' in values.phone",
            "values.phone.all(one, one == 'x')",
            "int(claims.team) >= 0",
            "int(claims.big) + 1 > 0",
            "int(claims.level) / (int(claims.level) - 4) == 1",
            "(int(claims.level) % (int(claims.level) - 4)) == 1",
            "claims.phone == 'x' || claims.team == 'b'",
            "claims.phone == 'x' ? true : true",
        ] {
            assert_eq!(outcome(source), None, "{source}");
            assert_eq!(outcome(&format!("!({source})")), None, "{source}");
        }
    }

    #[test]
    fn a_name_a_function_and_a_type_that_are_wrong_are_mistakes_of_the_file() {
        for (source, says) in [
            ("", "is no expression"),
            ("claims.email ==", "is no expression"),
            ("claims.email == 'x", "is no expression"),
            ("claim.email == 'x'", "there is no claim.email"),
            ("email == 'x'", "there is no email"),
            ("claims == 'x'", "there is no claims"),
            ("request.path == '/'", "there is no request.path"),
            ("claims.email.matches('.*')", "there is no matches()"),
            ("matches(claims.email, '.*')", "there is no matches()"),
            ("claims.email.lowerAscii() == 'x'", "there is no lowerAscii()"),
            ("duration('1h') == duration('1h')", "there is no duration()"),
            ("timestamp(now) == timestamp(now)", "there is no timestamp()"),
            ("double(claims.level) > 3", "there is no double()"),
            ("optional.none() == optional.none()", "there is no none()"),
            ("type(claims.email) == string", "there is no type()"),
            ("dyn(claims.email) == 3", "there is no dyn()"),
            ("values.roles.map(r, r + 'x') == values.roles", "there is no map() or filter()"),
            ("values.roles.filter(r, r == 'x').size() == 1", "there is no map() or filter()"),
            ("values.a.exists(x, values.b.exists(y, x == y))", "a macro within a macro"),
            ("values.a.exists(claims, claims == 'x')", "a name of its own"),
            ("claims.email", "comes to a text"),
            ("now", "comes to a number"),
            ("values.roles", "comes to a list of texts"),
            ("claims.level >= 3", "int(claims.NAME)"),
            ("claims.level == 3", "two values of one type"),
            ("values.roles == 'x'", "two values of one type"),
            ("'x' in claims.roles", "values.NAME"),
            ("3 in values.roles", "a value and a list of such"),
            ("claims.email.exists(x, x == 'x')", "values.NAME"),
            ("values.roles.startsWith('x')", "is for texts"),
            ("has(claims)", "is no expression"),
            ("has(client)", "is no expression"),
            ("!claims.email", "true or false"),
            ("claims.a && true", "true or false"),
            ("values.roles.all(r, r)", "true or false"),
            ("true ? 1 : 2", "comes to a number"),
            ("1.5 < 2.5", "decimals"),
            ("3u == 3u", "without a sign"),
            ("b'x' == b'x'", "bytes"),
            ("claims.a == null", "null"),
            ("{'a': 1}.size() == 1", "a map"),
            ("claims.a in []", "an empty list"),
            ("[[1]] == [[1]]", "a list of lists"),
            ("[1, 'a'] == [1]", "values of one type"),
            ("values.roles[0] == 'x'", "there is no"),
            ("claims[client] == 'x'", "there is no"),
            ("claims['a b'] == 'x'", "there is no"),
            ("claims.?a == 'x'", "is no expression"),
            ("claims.email == 'x' // all of them\n || true x", "is no expression"),
        ] {
            let mistake = compile(source).err().unwrap_or_else(|| panic!("{source} is taken"));
            assert!(mistake.to_string().contains(says), "{source}: {mistake}");
        }
    }

    #[test]
    fn no_expression_is_so_large_that_it_could_bring_the_program_down() {
        let nested = |open: &str, close: &str| format!("{}true{}", open.repeat(200), close.repeat(200));
        for source in [
            nested("(", ")"),
            nested("[", "]"),
            nested("!", ""),
            nested("! ", ""),
            nested("-", ""),
            nested("{1:", "}"),
            nested("true?", ":true"),
            nested("has(", ")"),
            "true || ".repeat(90) + &"!".repeat(40) + "true",
            "claims".to_owned() + &".a".repeat(400),
            "1+".repeat(400) + "1 == 1",
            "(".repeat(900),
            "'".repeat(900),
            "[".repeat(900),
            "\u{1F600}".repeat(200),
        ] {
            let mistake = compile(&source).err();
            // A long name is a name; all else is refused before it costs anything.
            assert!(mistake.is_some(), "{}", source.get(..20).unwrap_or_default());
        }
        assert_eq!(compile(&("true".to_owned() + &" ".repeat(1000))).err(), Some(Mistake::TooLong));
        // As much as there can be, on a thread as small as any.
        let large = (0..70).map(|_| "now>1").collect::<Vec<_>>().join("&&");
        let small = std::thread::Builder::new().stack_size(512 * 1024);
        let holds = small.spawn(move || outcome(&large)).unwrap().join().unwrap();
        assert_eq!(holds, Some(true));
    }

    #[test]
    fn what_it_looks_at_is_known_before() {
        let expression = compile("claims.custom.unit == 'x' && has(values.roles) && client == 'x'").unwrap();
        let claims: BTreeSet<&str> = expression.claims().collect();
        assert_eq!(claims, ["custom", "custom.unit", "roles"].into());
        assert!(!expression.looks_at_the_time() && compile("now > 3").unwrap().looks_at_the_time());
    }

    proptest! {
        /// Whatever is written is taken or refused, and what is taken never panics.
        #[test]
        fn no_text_panics(source in "(claims\\.[a-z]+|values\\.[a-z]+|now|client|has\\(|'[a-z]*'|[0-9]+|==|&&|\\|\\||!|-|in|\\?|:|\\(|\\)|\\[|\\]|\\.all\\(x,|\\.size\\(\\)| |[ -~]){0,24}") {
            let claims = Claims::default();
            let at = Circumstances { now: Timestamp::from_unix(0), client: None };
            if let Ok(expression) = compile(&source) {
                let _ = expression.holds(&Asker { claims: &claims.view(), provider: None, authenticated_at: None, at });
            }
        }

        /// Of somebody of whom nothing is known no claim says anything.
        #[test]
        fn what_is_not_known_satisfies_nothing(name in "[a-z]{1,8}", value in "[a-z]{0,8}") {
            let claims = Claims::default();
            let at = Circumstances { now: Timestamp::from_unix(0), client: None };
            let asker = Asker { claims: &claims.view(), provider: None, authenticated_at: None, at };
            for source in [
                format!("claims.c_{name} == '{value}'"),
                format!("claims.c_{name} != '{value}'"),
                format!("'{value}' in values.c_{name}"),
                format!("!('{value}' in values.c_{name})"),
                format!("values.c_{name}.all(one, one == '{value}')"),
                "client != 'x'".to_owned(),
            ] {
                prop_assert_eq!(compile(&source).unwrap().holds(&asker), None, "{}", source);
            }
        }
    }
}
