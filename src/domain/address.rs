//! Addresses as they may be shown.

use url::Url;

/// The address without its password.
pub fn redacted(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let _ = parsed.set_password(Some("***"));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redacted("postgres://app:secret@db/shop"), "postgres://app:***@db/shop");
        assert_eq!(redacted("sqlite://var/sexton.db"), "sqlite://var/sexton.db");
    }
}
