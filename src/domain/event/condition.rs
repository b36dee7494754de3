//! The condition of a trigger over the payload of an event: a small part of the Common Expression Language, with `$` for
//! the payload. docs/EVENTS.md describes it.

use std::{fmt, str::FromStr};

use sexton_entities::json_text::JsonText;

use super::{parser, term::Term};

/// A condition, with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    root: Term,
}

impl Condition {
    /// Why the condition does not hold; none if it does.
    pub fn unmet(&self, payload: Option<&JsonText>) -> Option<String> {
        self.root.unmet(payload)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let root = parser::parse(text)
            .map_err(|(at, problem)| format!("{problem}, at character {}", text[..at].chars().count() + 1))?;
        Ok(Self { text: text.to_owned(), root })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> JsonText {
        json!({ "amount": 120, "total": 99.5, "big": 9_007_199_254_740_993_u64, "country": "DE", "customer": { "tier": "gold", "tags": ["a", "b"] },
                "urgent": true, "note": null })
        .into()
    }

    fn unmet(text: &str) -> Option<String> {
        text.parse::<Condition>().unwrap_or_else(|why| panic!("{text}: {why}")).unmet(Some(&payload()))
    }

    #[test]
    fn what_holds() {
        for text in [
            "$.amount > 100",
            "$.amount >= 120 && $.amount <= 120.0 && $.total < 100",
            "$.big == 9007199254740993 && $.big != 9007199254740992",
            "$.country in [\"AT\", 'DE'] || $.amount == 0",
            "\"b\" in $.customer.tags && \"tier\" in $.customer",
            "$.urgent && !($.amount < 100)",
            "has($.customer.tier) && !has($.customer.name)",
            "$.customer.tier.startsWith(\"go\") && $.customer.tier.endsWith(\"ld\") && $.customer.tier.contains(\"ol\")",
            "size($.customer.tags) == 2 && size($.country) == 2",
            "$.note == null && $.missing == null && $.country != null",
            "$.country < \"DF\" && $.customer.tags[1] == \"b\"",
            "$.amount == 1 || $.amount == 2 || $.urgent == true",
        ] {
            assert_eq!(unmet(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_hold_says_why() {
        for (text, why) in [
            ("$.amount > 200", "`$.amount > 200`: $.amount is 120"),
            ("$.urgent && $.price > 1", "`$.price > 1`: $.price is missing"),
            ("$.country > 3", "`$.country > 3`: $.country is \"DE\""),
            (
                "$.amount == 1 || $.country == \"AT\"",
                "`$.amount == 1`: $.amount is 120, and `$.country == \"AT\"`: $.country is \"DE\"",
            ),
            ("!($.amount > 100 && $.urgent)", "`$.amount > 100 && $.urgent` holds"),
            ("has($.price)", "$.price is missing"),
            ("$.country in [\"AT\"]", "`$.country in [\"AT\"]`: $.country is \"DE\""),
            ("$.customer.tier.startsWith(\"x\")", "`$.customer.tier.startsWith(\"x\")`: $.customer.tier is \"gold\""),
            ("$.note", "$.note is null"),
            ("size($.amount) > 0", "`size($.amount) > 0`: size($.amount) is missing"),
            ("1 == 2", "`1 == 2`: it never holds"),
        ] {
            assert_eq!(unmet(text).as_deref(), Some(why), "{text}");
        }
        let condition: Condition = "$.a == 1".parse().expect("a condition");
        assert_eq!(condition.unmet(None).as_deref(), Some("`$.a == 1`: $.a is missing"));
    }

    #[test]
    fn a_mistake_has_its_place() {
        for (text, why) in [
            ("", "expected a value or a place in the payload, and found the end, at character 1"),
            ("$.a = 1", "a single `=`: write `==` to compare, at character 5"),
            ("$.a == ", "expected a value or a place in the payload, and found the end, at character 8"),
            ("$.a == 1 &&", "expected a value or a place in the payload, and found the end, at character 12"),
            ("($.a == 1", "expected `)`, and found the end, at character 10"),
            ("$.a == 1 $.b", "expected `&&`, `||` or the end, and found `$.b`, at character 10"),
            (
                "ü == 1",
                "`ü` is not known: write a place in the payload as `$.ü`, a text in quotes, or `true`, `false` or `null`, at character 1",
            ),
            ("$.a == \"x", "the text is not closed, at character 8"),
            (
                "$.a.matches(\"x\")",
                "`matches` is not known, expected `startsWith`, `endsWith` or `contains`, at character 5",
            ),
            ("$. == 1", "expected the name of a field behind the dot, at character 3"),
            ("$.a in 3", "expected a list such as `[1, 2]`, or a place in the payload, and found `3`, at character 8"),
            ("$.a == 1x", "`1x` is not a number, at character 8"),
            ("has(1)", "expected a place in the payload, and found `1`, at character 5"),
            ("$.a < $.b < $.c", "expected `&&`, `||` or the end, and found `<`, at character 11"),
        ] {
            assert_eq!(text.parse::<Condition>().expect_err(text), why, "{text}");
        }
        let deep = "(".repeat(5_000);
        assert!(deep.parse::<Condition>().expect_err("too deep").contains("nested too deeply"));
    }
}
