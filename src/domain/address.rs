//! Addresses as they may be shown.

use url::Url;

/// What stands for a password.
const HIDDEN: &str = "***";

/// The address without its password, wherever in it that stands.
pub fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        let scheme = url.split(':').next().unwrap_or_default();
        return format!("{scheme}://{HIDDEN}");
    };
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
        assert_eq!(redacted("sqlite://var/sexton.db"), "sqlite://var/sexton.db");
        assert_eq!(redacted("sqlite:///srv/sexton.db?mode=rwc"), "sqlite:///srv/sexton.db?mode=rwc");
    }
}
