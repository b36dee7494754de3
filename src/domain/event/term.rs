//! The parts of a condition, and whether they hold.

use std::{cmp::Ordering, fmt};

use serde_json::{Number, Value};
use sexton_entities::json_text::JsonText;

use super::path::PayloadPath;

/// One part of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Any(Vec<Term>),
    All(Vec<Term>),
    /// The other term does not hold; with its text.
    Not(Box<Term>, String),
    Compare(Operand, Comparison, Operand),
    In(Operand, Operand),
    Has(PayloadPath),
    Test(Operand, TextTest, Operand),
    /// It is `true`.
    Truth(Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Path(PayloadPath),
    Literal(Value),
    /// The number of letters, items or fields.
    Size(PayloadPath),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

impl Term {
    /// Why it does not hold; none if it does.
    pub(super) fn unmet(&self, payload: Option<&JsonText>) -> Option<String> {
        match self {
            Self::All(terms) => terms.iter().find_map(|term| term.unmet(payload)),
            Self::Any(terms) => {
                let reasons: Option<Vec<String>> = terms.iter().map(|term| term.unmet(payload)).collect();
                reasons.map(|reasons| reasons.join(", and "))
            }
            Self::Not(term, text) => term.unmet(payload).is_none().then(|| format!("`{text}` holds")),
            Self::Compare(left, comparison, right) => {
                let holds = comparison.holds(&left.value(payload), &right.value(payload));
                (!holds).then(|| format!("`{left} {} {right}`: {}", comparison.sign(), found(&[left, right], payload)))
            }
            Self::In(item, list) => {
                let holds = match list.value(payload) {
                    Some(Value::Array(items)) => {
                        items.iter().any(|other| Comparison::Equal.holds(&item.value(payload), &Some(other.clone())))
                    }
                    Some(Value::Object(fields)) => item
                        .value(payload)
                        .is_some_and(|name| name.as_str().is_some_and(|name| fields.contains_key(name))),
                    _ => false,
                };
                (!holds).then(|| format!("`{item} in {list}`: {}", found(&[item, list], payload)))
            }
            Self::Has(path) => path.find(payload).is_none().then(|| format!("{path} is missing")),
            Self::Test(tested, test, part) => {
                let holds = match (tested.value(payload), part.value(payload)) {
                    (Some(Value::String(text)), Some(Value::String(part))) => test.holds(&text, &part),
                    _ => false,
                };
                (!holds).then(|| format!("`{tested}.{}({part})`: {}", test.word(), found(&[tested, part], payload)))
            }
            Self::Truth(operand) => {
                (operand.value(payload) != Some(Value::Bool(true))).then(|| found(&[operand], payload))
            }
        }
    }
}

/// `$.amount is 42`.
fn found(operands: &[&Operand], payload: Option<&JsonText>) -> String {
    let one = |operand: &&&Operand| match operand {
        Operand::Literal(_) => None,
        other => Some(match other.value(payload) {
            Some(value) => format!("{other} is {}", shortened(&value.to_string())),
            None => format!("{other} is missing"),
        }),
    };
    let words: Vec<String> = operands.iter().filter_map(|operand| one(&operand)).collect();
    if words.is_empty() { "it never holds".to_owned() } else { words.join(" and ") }
}

/// The beginning of a long value.
fn shortened(text: &str) -> String {
    const MAX: usize = 100;
    if text.chars().count() <= MAX { text.to_owned() } else { text.chars().take(MAX).chain(['…']).collect() }
}

impl Operand {
    fn value(&self, payload: Option<&JsonText>) -> Option<Value> {
        match self {
            Self::Path(path) => path.value(payload),
            Self::Literal(value) => Some(value.clone()),
            Self::Size(path) => match path.value(payload)? {
                Value::String(text) => Some(text.chars().count().into()),
                Value::Array(items) => Some(items.len().into()),
                Value::Object(fields) => Some(fields.len().into()),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path}"),
            Self::Literal(value) => write!(f, "{value}"),
            Self::Size(path) => write!(f, "size({path})"),
        }
    }
}

impl Comparison {
    pub(super) const SIGNS: [(&str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
    ];

    fn sign(self) -> &'static str {
        Self::SIGNS.iter().find(|(_, comparison)| *comparison == self).map_or("", |(sign, _)| sign)
    }

    /// What is missing is the same as null. Values of different kinds are unequal, and neither is less.
    fn holds(self, left: &Option<Value>, right: &Option<Value>) -> bool {
        let (left, right) = (left.as_ref().unwrap_or(&Value::Null), right.as_ref().unwrap_or(&Value::Null));
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => compare(left, right),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => None,
        };
        let is_equal = order.map_or_else(|| left == right, Ordering::is_eq);
        match self {
            Self::Equal => is_equal,
            Self::Unequal => !is_equal,
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

impl TextTest {
    pub(super) const WORDS: [(&str, Self); 3] =
        [("startsWith", Self::StartsWith), ("endsWith", Self::EndsWith), ("contains", Self::Contains)];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, test)| *test == self).map_or("", |(word, _)| word)
    }

    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
            Self::Contains => text.contains(part),
        }
    }
}
