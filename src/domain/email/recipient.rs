//! Who may get the mail of a task.

use std::str::FromStr;

/// An address, or all addresses of a domain: `*@shop.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRecipient {
    /// None for all of the domain.
    local: Option<String>,
    domain: String,
}

impl AllowedRecipient {
    /// Whether a mail may go to this address. An address with a name, a comment or a line break is refused.
    pub fn allows(&self, address: &str) -> bool {
        let Some((local, domain)) = parts(address) else { return false };
        let is_known = self.local.as_ref().is_none_or(|known| known.eq_ignore_ascii_case(local));
        is_known && self.domain.eq_ignore_ascii_case(domain)
    }

    /// The setting as it is written.
    pub fn written(&self) -> String {
        format!("{}@{}", self.local.as_deref().unwrap_or("*"), self.domain)
    }
}

/// What stands before and behind the `@` of a plain address.
fn parts(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.split_once('@')?;
    let is_plain = |letter: char| {
        letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '+' | '=' | '\'' | '~' | '&' | '#')
    };
    let is_domain = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-');
    let is_sound =
        !local.is_empty() && !domain.is_empty() && local.chars().all(is_plain) && domain.chars().all(is_domain);
    is_sound.then_some((local, domain))
}

impl FromStr for AllowedRecipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is neither an address nor all those of a domain, such as \"*@shop.example\"");
        let of_domain = text.strip_prefix('*').filter(|rest| rest.starts_with('@'));
        match of_domain {
            Some(rest) => {
                let (_, domain) =
                    parts(&format!("x{rest}")).map(|(x, y)| (x.to_owned(), y.to_owned())).ok_or_else(wanted)?;
                Ok(Self { local: None, domain })
            }
            None => {
                let (local, domain) = parts(text).ok_or_else(wanted)?;
                Ok(Self { local: Some(local.to_owned()), domain: domain.to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, address: &str) -> bool {
        pattern.parse::<AllowedRecipient>().expect("a pattern").allows(address)
    }

    #[test]
    fn a_domain_and_an_address_are_allowed() {
        assert!(allows("*@shop.example", "me+you@Shop.Example"));
        assert!(allows("boss@shop.example", "Boss@shop.example"));
        for other in ["me@shop.example.org", "me@evil.example", "shop.example", "@shop.example", "me@sub.shop.example"]
        {
            assert!(!allows("*@shop.example", other), "{other}");
        }
        assert!(!allows("boss@shop.example", "me@shop.example"));
    }

    #[test]
    fn what_is_more_than_an_address_is_none() {
        for trick in [
            "me@shop.example\r\nBcc: all@evil.example",
            "me@evil.example, you@shop.example",
            "Me <me@shop.example>",
            "\"me@evil.example\"@shop.example",
            "me@evil.example(@shop.example",
            "me@evil.example@shop.example",
            "me @shop.example",
        ] {
            assert!(!allows("*@shop.example", trick), "{trick}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for wrong in ["*", "shop.example", "*@*", "*@", "a*@shop.example", "*@shop.example, x@y"] {
            assert!(wrong.parse::<AllowedRecipient>().is_err(), "{wrong}");
        }
    }
}
