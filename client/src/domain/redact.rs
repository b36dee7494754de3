//! URLs without their passwords.

use url::Url;

/// Shown in place of a password.
const HIDDEN: &str = "***";

/// The scheme of a URL; `***` if the text is no URL, because any part of it may then be a password.
pub fn scheme(url: &str) -> &str {
    let is_name = |text: &&str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '+');
    url.split_once(':').map(|(scheme, _)| scheme).filter(is_name).unwrap_or(HIDDEN)
}

/// The URL with `***` in place of a password, in the user part or in the query.
pub fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return format!("{}://{HIDDEN}", scheme(url));
    };
    // A URL without a user but with an `@` is misspelt, and may contain a password: `mysql:u:pw@h`, `mysql://u:1/2@h`.
    let is_user_missing = parsed.username().is_empty() && parsed.password().is_none();
    if is_user_missing && url.contains('@') && parsed.scheme() != "sqlite" {
        return format!("{}://{HIDDEN}", scheme(url));
    }
    if parsed.password().is_some() {
        let _ = parsed.set_password(Some(HIDDEN));
    }
    if parsed.query_pairs().any(|(key, _)| key == "password") {
        let pairs: Vec<(String, String)> = parsed
            .query_pairs()
            .map(|(key, value)| {
                let value = if key == "password" { HIDDEN.into() } else { value };
                (key.into_owned(), value.into_owned())
            })
            .collect();
        parsed.query_pairs_mut().clear().extend_pairs(pairs);
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redacted("postgres://app:secret@db/shop"), "postgres://app:***@db/shop");
        assert_eq!(redacted("postgres://db/shop?user=a&password=secret"), "postgres://db/shop?user=a&password=***");
        assert_eq!(redacted("postgres://app:sec ret@[db/shop"), "postgres://***");
        assert_eq!(redacted("mysql:app:secret@db/shop"), "mysql://***");
        assert_eq!(redacted("mysql://app:12/secret@db/shop"), "mysql://***");
        assert_eq!(redacted("secret@db/shop"), "***://***");
        assert_eq!(redacted("postgres://app@db/shop"), "postgres://app@db/shop");
        assert_eq!(redacted("sqlite://var/a@b.db"), "sqlite://var/a@b.db");
        assert_eq!(redacted("sqlite://var/sexton.db"), "sqlite://var/sexton.db");
        assert_eq!(redacted("sqlite:///srv/sexton.db?mode=rwc"), "sqlite:///srv/sexton.db?mode=rwc");
    }
}
