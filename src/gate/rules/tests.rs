//! Tests of the rules as a whole.

use super::*;
use crate::claims::Claims;
use arc_swap::ArcSwap;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

fn set(values: &[&str]) -> Listed<HashSet<String>> {
    Listed::here(values.iter().map(|value| (*value).to_owned()).collect())
}

fn claim(name: &str, test: Test) -> Condition {
    Condition::Is(Subject::Claim(name.to_owned()), test)
}

/// Somebody of these claims, nowhere and at no particular moment.
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

#[test]
fn each_test_looks_at_the_values_of_a_claim() {
    let somebody = json!({
        "roles": ["a", "b"], "level": 3, "siret": "13002526500013", "on": true, "empty": "", "none": [],
        "custom": {"unit": {"code": "X7", "rooms": ["1", 2]}, "flag": false}, "a.b": "dotted",
        "email": "Helene.Moreau@Interieur.Gouv.FR",
    });
    let domains = |these: &[&str]| Test::Domain(set(these));
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
        (email(domains(&["interieur.gouv.fr"])), true),
        (email(domains(&["gouv.fr"])), false),
        (email(domains(&[".gouv.fr"])), true),
        (email(domains(&[".interieur.gouv.fr"])), false),
        (email(domains(&[".ouv.fr", "ouv.fr"])), false),
    ];
    for (condition, expected) in cases {
        assert_eq!(holds(&condition, &somebody), expected, "{condition:?}");
    }
}

#[test]
fn an_address_that_could_be_read_in_two_ways_is_of_no_domain() {
    let condition = Condition::Is(Subject::EmailDomain, Test::Domain(set(&["example.fr", ".example.fr"])));
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

/// What another may be at any moment.
fn in_file<T>(values: T) -> Listed<T> {
    Listed::File { path: "list.txt".into(), held: Arc::new(ArcSwap::from_pointee(values)) }
}

#[test]
fn what_rules_look_at_is_known_before_anybody_asks() {
    let networks = || ["192.0.2.0/24".parse::<ipnet::IpNet>().unwrap()].into_iter().collect::<Networks>();
    let at_night = Window {
        zone: Zone::named("Europe/Paris").unwrap(),
        days: [true; 7],
        hours: Hours::parse("22:00-06:00").into_iter().collect(),
        from: None,
        until: None,
    };
    let compiler = Compiler::default();
    let when = |source: &str| Condition::When(Arc::new(compiler.compile(source).unwrap()));
    let of = |subject| Condition::Is(subject, Test::Present);
    // Whether it changes by itself, whether it looks at the address, and the claims that it looks at.
    let cases: [(Condition, bool, bool, &[&str]); 16] = [
        (claim("roles", Test::OneOf(set(&["x"]))), false, false, &["roles"]),
        (claim("roles", Test::OneOf(in_file(HashSet::new()))), true, false, &["roles"]),
        (claim("custom.unit", Test::Present), false, false, &["custom", "custom.unit"]),
        (Condition::Is(Subject::EmailDomain, Test::Domain(set(&["x.fr"]))), false, false, &["email"]),
        (Condition::Is(Subject::EmailDomain, Test::Domain(in_file(HashSet::new()))), true, false, &["email"]),
        (of(Subject::Email), false, false, &["email"]),
        (of(Subject::Groups), false, false, &["groups", "roles"]),
        (of(Subject::Siren), false, false, &["siren", "siret"]),
        (of(Subject::Provider), false, false, &[]),
        (Condition::MaxAge(Duration::from_secs(60)), true, false, &[]),
        (Condition::Network(Listed::here(networks())), false, true, &[]),
        (Condition::Network(in_file(networks())), true, true, &[]),
        (Condition::During(Arc::new(at_night)), true, false, &[]),
        (when("claims.a == 'x'"), false, false, &["a"]),
        (when("client == '192.0.2.7'"), false, true, &[]),
        (when("now > 0"), true, false, &[]),
    ];
    let said = |rules: &Rules| {
        let claims: Vec<String> = rules.claims().into_iter().collect();
        (rules.is_empty(), rules.change_by_themselves(), rules.look_at_the_address(), claims)
    };
    assert_eq!(said(&Rules::default()), (true, false, false, Vec::new()));
    // What says nothing of the kind stands before it.
    let other = || claim("a", Test::Present);
    for (condition, changes, looks_at_the_address, claims) in cases {
        let inner = || condition.clone();
        for within in [
            inner(),
            Condition::All(vec![other(), inner()]),
            Condition::Any(vec![other(), inner()]),
            Condition::None(vec![other(), Condition::All(vec![inner()])]),
        ] {
            let mut claims: BTreeSet<&str> = claims.iter().copied().collect();
            if within != condition {
                claims.insert("a");
            }
            let claims: Vec<String> = claims.into_iter().map(str::to_owned).collect();
            let expected = (false, changes, looks_at_the_address, claims);
            let list = || vec![rule(within.clone())];
            assert_eq!(said(&Rules { require: list(), ..Rules::default() }), expected, "{within:?}");
            assert_eq!(said(&Rules { allow: list(), ..Rules::default() }), expected, "{within:?}");
            assert_eq!(said(&Rules { deny: list(), ..Rules::default() }), expected, "{within:?}");
        }
    }
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

/// Where and when somebody asks: an unknown address among them.
fn circumstances_strategy() -> impl Strategy<Value = Circumstances> {
    let client = prop_oneof![
        Just(None),
        Just(Some("192.0.2.7".parse().unwrap())),
        Just(Some("::ffff:10.0.0.1".parse().unwrap())),
        Just(Some("2001:db8::1".parse().unwrap())),
    ];
    // Within a week, by the hour.
    let now = (0_u64..168).prop_map(|hour| Timestamp::from_unix(1_795_000_000 + hour * 3600));
    (client, now).prop_map(|(client, now)| Circumstances { now, client })
}

/// Conditions on what is no claim.
fn circumstantial() -> impl Strategy<Value = Condition> {
    let networks = |texts: &[&str]| {
        let networks = texts.iter().map(|text| text.parse::<ipnet::IpNet>().unwrap()).collect();
        Condition::Network(Listed::here(networks))
    };
    let during = |days: [bool; 7], hours: &str| {
        let zone = Zone::named("Europe/Paris").unwrap();
        let hours = Hours::parse(hours).into_iter().collect();
        Condition::During(Arc::new(Window { zone, days, hours, from: None, until: None }))
    };
    let compiler = Compiler::default();
    let when = |source: &str| Condition::When(Arc::new(compiler.compile(source).unwrap()));
    let all = vec![
        networks(&["192.0.2.0/24"]),
        networks(&["10.0.0.0/8", "2001:db8::/32"]),
        during([true; 7], "08:00-19:00"),
        during([true, true, false, false, false, true, true], "22:00-06:00"),
        when("claims.a == 'x'"),
        when("claims.a != 'x' || claims.b == 'y'"),
        when("client == '192.0.2.7'"),
        when("now % 7200 < 3600"),
    ];
    proptest::sample::select(all)
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
    let on_claims = ("[abcd]|a\\.x", test).prop_map(|(name, test)| claim(&name, test));
    prop_oneof![on_claims, circumstantial()].prop_recursive(3, 12, 3, |inner| {
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
    fn a_further_rule_lets_nobody_in_who_was_out(
        rules in rules_strategy(), more in condition_strategy(), claims in claims_strategy(), at in circumstances_strategy(),
    ) {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let passes = |rules: &Rules| rules.judge(&Asker { at, ..asker(&claims.view()) }).is_ok();
        let mut required = rules.clone();
        required.require.push(rule(more.clone()));
        let mut denied = rules.clone();
        denied.deny.push(rule(more.clone()));
        prop_assert!(passes(&rules) || !passes(&required));
        prop_assert!(passes(&rules) || !passes(&denied));
        if rules.allow.is_empty() {
            let mut allowed = rules.clone();
            allowed.allow.push(rule(more.clone()));
            prop_assert!(passes(&rules) || !passes(&allowed));
        }
        // Within a condition too.
        let mut narrowed = rules.clone();
        if let Some(first) = narrowed.require.first_mut() {
            first.condition = Condition::All(vec![first.condition.clone(), more.clone()]);
        }
        if let Some(first) = narrowed.deny.first_mut() {
            first.condition = Condition::Any(vec![first.condition.clone(), more]);
        }
        prop_assert!(passes(&rules) || !passes(&narrowed));
    }

    #[test]
    fn the_order_of_rules_changes_nothing(
        rules in rules_strategy(), claims in claims_strategy(), at in circumstances_strategy(),
    ) {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let mut turned = rules.clone();
        turned.require.reverse();
        turned.allow.reverse();
        turned.deny.reverse();
        for list in [&mut turned.require, &mut turned.allow, &mut turned.deny] {
            for rule in list {
                if let Condition::All(parts) | Condition::Any(parts) | Condition::None(parts) = &mut rule.condition {
                    parts.reverse();
                }
            }
        }
        let passes = |rules: &Rules| rules.judge(&Asker { at, ..asker(&claims.view()) }).is_ok();
        prop_assert_eq!(passes(&rules), passes(&turned));
    }

    #[test]
    fn what_denies_wins_over_all_that_lets_in(
        rules in rules_strategy(), claims in claims_strategy(), at in circumstances_strategy(),
    ) {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let asker = Asker { at, ..asker(&view) };
        if rules.deny.iter().any(|rule| rule.condition.outcome(&asker) != Outcome::Fails) {
            prop_assert!(rules.judge(&asker).is_err());
        }
    }

    #[test]
    fn what_is_not_known_satisfies_no_test(condition in condition_strategy(), now in 0_u64..1_000_000) {
        fn on_what_is_known(condition: &Condition) -> bool {
            match condition {
                Condition::None(_) | Condition::During(_) => false,
                // `now` is always known.
                Condition::When(expression) => !expression.source().contains("now"),
                Condition::All(parts) | Condition::Any(parts) => parts.iter().all(on_what_is_known),
                Condition::Is(..) | Condition::MaxAge(_) | Condition::Network(_) => true,
            }
        }
        if on_what_is_known(&condition) {
            let at = Circumstances { now: Timestamp::from_unix(now), client: None };
            let nobody = ClaimsView::default();
            let holds = condition.holds(&Asker { at, ..asker(&nobody) });
            prop_assert!(!holds);
        }
    }

    /// Whatever stands around it, a condition of which it cannot be told lets nobody in, nor does its
    /// opposite.
    #[test]
    fn nobody_passes_by_what_cannot_be_told(
        rest in condition_strategy(), claims in claims_strategy(), at in circumstances_strategy(), depth in 0_usize..4,
    ) {
        let nowhere = Circumstances { client: None, ..at };
        let everywhere: Condition =
            Condition::Network(Listed::here(["0.0.0.0/0", "::/0"].iter().map(|net| net.parse::<ipnet::IpNet>().unwrap()).collect()));
        let turned = (0..depth).fold(everywhere, |inner, _| Condition::None(vec![inner]));
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let asker = Asker { at: nowhere, ..asker(&view) };
        let passes = |require: Condition| {
            Rules { require: vec![rule(require)], ..Rules::default() }.judge(&asker).is_ok()
        };
        prop_assert!(!passes(turned.clone()));
        prop_assert!(!passes(Condition::All(vec![turned.clone(), rest.clone()])));
        prop_assert!(!passes(Condition::All(vec![rest, turned.clone()])));
        let denies = Rules { deny: vec![rule(turned)], ..Rules::default() };
        prop_assert!(denies.judge(&asker).is_err());
    }
}
