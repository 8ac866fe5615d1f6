//! What an expression may say, and of which type each part of it is.
//!
//! Called when an expression is compiled. The `cel` library finds out types while it computes, which
//! is too late for whoever is kept out by a slip; here they are known before. The language is a part of
//! CEL: true and false, whole numbers, texts, lists of them, and the operators, functions and macros
//! that are listed below. Everything else is refused by name, so that no new version of the library can
//! let in what nobody has looked at.

use cel::IdedExpr;
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr};
use std::collections::BTreeSet;
use std::fmt;

/// How many parts an expression may have, and how deep they may be inside each other.
const MOST_PARTS: usize = 300;
const DEEPEST: usize = 40;

/// What is asked of the world by a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Now,
    Client,
    Claim(String),
    HasClaim(String),
    Values(String),
    HasValues(String),
}

impl Slot {
    /// As the checked tree has it: with a character in it that no name in the text can have.
    fn name(&self) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::Client => "client".to_owned(),
            Self::Claim(name) => format!("claims:{name}"),
            Self::HasClaim(name) => format!("has-claims:{name}"),
            Self::Values(name) => format!("values:{name}"),
            Self::HasValues(name) => format!("has-values:{name}"),
        }
    }

    /// What the checked tree means by a name.
    pub(super) fn read(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "now" => Some(Self::Now),
            None if name == "client" => Some(Self::Client),
            Some(("claims", claim)) => Some(Self::Claim(claim.to_owned())),
            Some(("has-claims", claim)) => Some(Self::HasClaim(claim.to_owned())),
            Some(("values", claim)) => Some(Self::Values(claim.to_owned())),
            Some(("has-values", claim)) => Some(Self::HasValues(claim.to_owned())),
            _ => None,
        }
    }

    /// The claim that it is about.
    pub(super) fn claim(&self) -> Option<&str> {
        match self {
            Self::Now | Self::Client => None,
            Self::Claim(name) | Self::HasClaim(name) | Self::Values(name) | Self::HasValues(name) => Some(name),
        }
    }
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Over 1,000 bytes.
    #[error("is longer than 1000 bytes; say it with all, any and none, or in several rules")]
    TooLong,
    /// Brackets or signs inside each other, or too many parts.
    #[error("is nested too deep, or has too many parts; say it with all, any and none, or in several rules")]
    TooDeep,
    /// It is no CEL.
    #[error("is no expression{}", .0.as_ref().map(|why| format!(" ({why})")).unwrap_or_default())]
    Syntax(Option<String>),
    /// A name that means nothing.
    #[error("there is no {0}; there are claims.NAME, values.NAME, client and now")]
    Name(String),
    /// A function that is not there.
    #[error(
        "there is no {0}; there are has, size, int, string, startsWith, endsWith, contains, exists, all and exists_one"
    )]
    Function(String),
    /// Something of CEL that is not taken.
    #[error("holds {0}, which expressions here cannot have")]
    NotTaken(&'static str),
    /// Something is of the wrong type.
    #[error("{what} is for {wanted}, and not for {found}{hint}")]
    Type {
        /// What stands there.
        what: String,
        /// What it takes.
        wanted: &'static str,
        /// What it gets.
        found: String,
        /// What to write.
        hint: &'static str,
    },
    /// It is neither true nor false.
    #[error("comes to {0}, and has to be true or false")]
    NoTruth(String),
}

/// Of which type something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Truth,
    Number,
    Text,
    Truths,
    Numbers,
    Texts,
}

impl Type {
    fn list(self) -> Option<Self> {
        match self {
            Self::Truth => Some(Self::Truths),
            Self::Number => Some(Self::Numbers),
            Self::Text => Some(Self::Texts),
            Self::Truths | Self::Numbers | Self::Texts => None,
        }
    }

    fn item(self) -> Option<Self> {
        match self {
            Self::Truths => Some(Self::Truth),
            Self::Numbers => Some(Self::Number),
            Self::Texts => Some(Self::Text),
            Self::Truth | Self::Number | Self::Text => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truth => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Truths => "a list of truths",
            Self::Numbers => "a list of numbers",
            Self::Texts => "a list of texts",
        })
    }
}

/// The check of one expression.
#[derive(Default)]
pub(super) struct Check {
    slots: BTreeSet<Slot>,
    /// The names that a macro gives to what it looks at, the innermost last.
    scope: Vec<(String, Type)>,
    parts: usize,
    depth: usize,
    in_macro: bool,
}

impl Check {
    /// Checks an expression, and writes each name of a claim in one piece.
    pub(super) fn whole(tree: &mut IdedExpr) -> Result<BTreeSet<Slot>, Mistake> {
        let mut check = Self::default();
        match check.part(tree)? {
            Type::Truth => Ok(check.slots),
            other => Err(Mistake::NoTruth(other.to_string())),
        }
    }

    fn part(&mut self, part: &mut IdedExpr) -> Result<Type, Mistake> {
        self.parts += 1;
        self.depth += 1;
        if self.parts > MOST_PARTS || self.depth > DEEPEST {
            return Err(Mistake::TooDeep);
        }
        let found = self.expression(&mut part.expr)?;
        self.depth -= 1;
        Ok(found)
    }

    fn expression(&mut self, expr: &mut Expr) -> Result<Type, Mistake> {
        if let Some((slot, kind)) = self.claim(expr)? {
            *expr = Expr::Ident(slot.name());
            self.slots.insert(slot);
            return Ok(kind);
        }
        match expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Truth),
            Expr::Literal(LiteralValue::Int(_)) => Ok(Type::Number),
            Expr::Literal(LiteralValue::String(_)) => Ok(Type::Text),
            Expr::Literal(LiteralValue::Double(_)) => Err(Mistake::NotTaken("a number with decimals")),
            Expr::Literal(LiteralValue::UInt(_)) => Err(Mistake::NotTaken("a number without a sign, such as 3u")),
            Expr::Literal(LiteralValue::Bytes(_)) => Err(Mistake::NotTaken("bytes")),
            Expr::Literal(LiteralValue::Null) => Err(Mistake::NotTaken("null")),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => Err(Mistake::Name(written(select))),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let mut kind = None;
                for element in &mut list.elements {
                    let found = self.part(element)?;
                    if kind.is_some_and(|kind| kind != found) {
                        return Err(wrong("a list", "values of one type", found, ""));
                    }
                    kind = Some(found);
                }
                let kind = kind.ok_or(Mistake::NotTaken("an empty list, in which nothing ever is"))?;
                kind.list().ok_or(Mistake::NotTaken("a list of lists"))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Map(_) => Err(Mistake::NotTaken("a map")),
            Expr::Struct(_) => Err(Mistake::NotTaken("a structure")),
            Expr::Unspecified => Err(Mistake::Syntax(None)),
        }
    }

    fn name(&mut self, name: &str) -> Result<Type, Mistake> {
        if let Some((_, kind)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(*kind);
        }
        let (slot, kind) = match name {
            "now" => (Slot::Now, Type::Number),
            "client" => (Slot::Client, Type::Text),
            _ => return Err(Mistake::Name(name.to_owned())),
        };
        self.slots.insert(slot);
        Ok(kind)
    }

    /// What `claims.a.b`, `values["a:b"]` or `has(claims.a)` means.
    fn claim(&self, expr: &Expr) -> Result<Option<(Slot, Type)>, Mistake> {
        let mut names = Vec::new();
        let mut at = expr;
        let root = loop {
            match at {
                Expr::Select(select) => {
                    // `has` is the outermost, or it is about something else.
                    if select.test && !names.is_empty() {
                        return Ok(None);
                    }
                    names.push(select.field.as_str());
                    at = &select.operand.expr;
                }
                Expr::Call(call) if call.func_name == op::INDEX && call.target.is_none() => {
                    let [of, index] = call.args.as_slice() else { return Ok(None) };
                    let Expr::Literal(LiteralValue::String(name)) = &index.expr else { return Ok(None) };
                    names.push(name.inner());
                    at = &of.expr;
                }
                Expr::Ident(root) => break root.as_str(),
                _ => return Ok(None),
            }
        };
        let is_test = matches!(expr, Expr::Select(select) if select.test);
        if !matches!(root, "claims" | "values") || self.scope.iter().any(|(known, _)| known == root) {
            return Ok(None);
        }
        names.reverse();
        let name = names.join(".");
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == ' ') {
            return Err(Mistake::Name(if name.is_empty() { root.to_owned() } else { format!("claim {name:?}") }));
        }
        Ok(Some(match (root, is_test) {
            ("claims", false) => (Slot::Claim(name), Type::Text),
            ("claims", true) => (Slot::HasClaim(name), Type::Truth),
            (_, false) => (Slot::Values(name), Type::Texts),
            (_, true) => (Slot::HasValues(name), Type::Truth),
        }))
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<Type, Mistake> {
        let name = call.func_name.as_str();
        let known_here = ["startsWith", "endsWith", "contains"];
        let known = ["size", "int", "string"];
        match &mut call.target {
            Some(target) => {
                let of = if known_here.contains(&name) || name == "size" {
                    self.part(target)?
                } else {
                    return Err(Mistake::Function(format!("{name}()")));
                };
                match (name, call.args.as_mut_slice()) {
                    ("size", []) => sized(of),
                    ("size", _) => Err(Mistake::Function("size() with something in it".to_owned())),
                    (_, [with]) => {
                        let with = self.part(with)?;
                        for found in [of, with] {
                            if found != Type::Text {
                                return Err(wrong(&format!("{name}()"), "texts", found, LIST_HINT));
                            }
                        }
                        Ok(Type::Truth)
                    }
                    _ => Err(Mistake::Function(format!("{name}() of so many"))),
                }
            }
            None if known.contains(&name) => {
                let [of] = call.args.as_mut_slice() else {
                    return Err(Mistake::Function(format!("{name}() of so many")));
                };
                let of = self.part(of)?;
                match (name, of) {
                    ("size", of) => sized(of),
                    ("int", Type::Text | Type::Number) => Ok(Type::Number),
                    ("string", Type::Text | Type::Number | Type::Truth) => Ok(Type::Text),
                    (name, of) => Err(wrong(&format!("{name}()"), "one value", of, "")),
                }
            }
            None => self.operator(call),
        }
    }

    fn operator(&mut self, call: &mut CallExpr) -> Result<Type, Mistake> {
        let kinds = call.args.iter_mut().map(|arg| self.part(arg)).collect::<Result<Vec<_>, _>>();
        let shown = shown(&call.func_name);
        let Some(shown) = shown else { return Err(Mistake::Function(format!("{}()", call.func_name))) };
        let kinds = kinds?;
        let all_are = |wanted: Type, words, hint| match kinds.iter().find(|kind| **kind != wanted) {
            Some(found) => Err(wrong(shown, words, *found, hint)),
            None => Ok(()),
        };
        match (call.func_name.as_str(), kinds.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, [_, _]) | (op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE, [_]) => {
                all_are(Type::Truth, "what is true or false", "")?;
                Ok(Type::Truth)
            }
            (op::EQUALS | op::NOT_EQUALS, [one, two]) if one == two && one.list().is_some() => Ok(Type::Truth),
            (op::EQUALS | op::NOT_EQUALS, [one, two]) => {
                Err(wrong(shown, "two values of one type", if one.list().is_none() { *one } else { *two }, NUMBER_HINT))
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [_, _]) => {
                all_are(Type::Number, "numbers", NUMBER_HINT)?;
                Ok(Type::Truth)
            }
            (op::ADD, [Type::Text, Type::Text]) => Ok(Type::Text),
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [_, _]) | (op::NEGATE, [_]) => {
                all_are(Type::Number, "numbers", NUMBER_HINT)?;
                Ok(Type::Number)
            }
            (op::IN, [one, many]) if many.item() == Some(*one) => Ok(Type::Truth),
            (op::IN, [_, many]) => Err(wrong(shown, "a value and a list of such", *many, LIST_HINT)),
            (op::CONDITIONAL, [Type::Truth, one, two]) if one == two => Ok(*one),
            (op::CONDITIONAL, [Type::Truth, _, two]) => Err(wrong(shown, "two values of one type", *two, "")),
            (op::CONDITIONAL, [asked, _, _]) => Err(wrong(shown, "what is true or false before it", *asked, "")),
            _ => Err(Mistake::NotTaken("an operator with so many values")),
        }
    }

    /// What `exists`, `all` and `exists_one` are written out to.
    fn comprehension(&mut self, made: &mut ComprehensionExpr) -> Result<Type, Mistake> {
        if self.in_macro {
            return Err(Mistake::NotTaken("a macro within a macro"));
        }
        if made.iter_var2.is_some() || !matches!(made.accu_init.expr, Expr::Literal(_)) {
            return Err(Mistake::Function("map() or filter()".to_owned()));
        }
        if matches!(made.iter_var.as_str(), "claims" | "values" | "client" | "now") {
            return Err(Mistake::NotTaken("a name of its own that stands for something else"));
        }
        let range = self.part(&mut made.iter_range)?;
        let item = range.item().ok_or_else(|| {
            wrong("exists() or all()", "a list", range, "; write values.NAME for all values of a claim")
        })?;
        let result = self.part(&mut made.accu_init)?;
        let outer = self.scope.len();
        self.in_macro = true;
        self.scope.push((made.accu_var.clone(), result));
        let condition = self.part(&mut made.loop_cond)?;
        self.scope.push((made.iter_var.clone(), item));
        let step = self.part(&mut made.loop_step)?;
        self.scope.truncate(outer + 1);
        let found = self.part(&mut made.result)?;
        self.scope.truncate(outer);
        self.in_macro = false;
        if condition != Type::Truth || step != result || found != Type::Truth {
            return Err(wrong("exists() or all()", "what is true or false", step, ""));
        }
        Ok(Type::Truth)
    }
}

const NUMBER_HINT: &str = "; write int(claims.NAME) for the number that a claim says";
const LIST_HINT: &str = "; values.NAME are all values of a claim, claims.NAME is the one";

fn wrong(what: &str, wanted: &'static str, found: Type, hint: &'static str) -> Mistake {
    Mistake::Type { what: what.to_owned(), wanted, found: found.to_string(), hint }
}

fn sized(of: Type) -> Result<Type, Mistake> {
    match of {
        Type::Text | Type::Truths | Type::Numbers | Type::Texts => Ok(Type::Number),
        Type::Truth | Type::Number => Err(wrong("size()", "a text or a list", of, "")),
    }
}

/// How an operator is written; none where it is none.
fn shown(name: &str) -> Option<&'static str> {
    Some(match name {
        op::LOGICAL_AND => "&&",
        op::LOGICAL_OR => "||",
        op::LOGICAL_NOT => "!",
        op::NOT_STRICTLY_FALSE => "a macro",
        op::EQUALS => "==",
        op::NOT_EQUALS => "!=",
        op::LESS => "<",
        op::LESS_EQUALS => "<=",
        op::GREATER => ">",
        op::GREATER_EQUALS => ">=",
        op::ADD => "+",
        op::SUBSTRACT | op::NEGATE => "-",
        op::MULTIPLY => "*",
        op::DIVIDE => "/",
        op::MODULO => "%",
        op::IN => "in",
        op::CONDITIONAL => "?",
        _ => return None,
    })
}

/// A selection of fields as it is written, as far as it is names.
fn written(select: &SelectExpr) -> String {
    match &select.operand.expr {
        Expr::Ident(root) => format!("{root}.{}", select.field),
        Expr::Select(inner) => format!("{}.{}", written(inner), select.field),
        _ => format!(".{}", select.field),
    }
}
