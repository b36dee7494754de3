//! Names of events, as triggers select them.

use std::{fmt, str::FromStr};

use sexton_client::domain::new_task::check_name;

/// A name, or the beginning of names with a `*` behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This name.
    Name(String),
    /// Every name with this beginning.
    Beginning(String),
}

impl NamePattern {
    /// Whether an event of that name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Beginning(beginning) => name.starts_with(beginning.as_str()),
        }
    }
}

impl FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let beginning = text.strip_suffix('*');
        let name = beginning.unwrap_or(text);
        if name.contains('*') {
            return Err(format!("`{text}`: a `*` may stand at the end only"));
        }
        if beginning != Some("") {
            check_name(name)?;
        }
        Ok(match beginning {
            Some(beginning) => Self::Beginning(beginning.to_owned()),
            None => Self::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Beginning(beginning) => write!(f, "{beginning}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_rest_of_a_name() {
        let matches = |pattern: &str, name: &str| pattern.parse::<NamePattern>().expect(pattern).matches(name);
        assert!(matches("order.paid", "order.paid") && !matches("order.paid", "order.paid.late"));
        assert!(matches("order.*", "order.paid") && !matches("order.*", "orders.paid"));
        assert!(matches("*", "anything"));
        assert_eq!("order.*".parse::<NamePattern>().expect("a pattern").to_string(), "order.*");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*.paid", "order paid", "a**"] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }
}
