//! What an answer means: done, failed for now, or failed for good.

use std::time::Duration;

use crate::domain::{
    task::verdict::Wish,
    text::{clean::telling_line, duration},
};

/// The longest time for which a server may ask to wait.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// How much of an answer an error quotes, in characters.
const MAX_QUOTE: usize = 200;

/// An answer, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// What the status code is called; empty if it has no name.
    pub reason: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// Where it redirects to, without a query.
    pub location: Option<String>,
    /// The beginning of a body that people can read.
    pub text: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFailure {
    /// The error, for people.
    pub error: String,
    /// What follows.
    pub wish: Wish,
}

impl HttpAnswer {
    /// Whether the work is done. `success_codes` may be empty: then 200 to 299 count.
    ///
    /// # Errors
    /// If it is not. 4xx means that this request is never accepted, except for 408 (too slow), 425 (too early) and 429
    /// (too many). Everything else may pass.
    pub fn judge(&self, success_codes: &[i32]) -> Result<(), HttpFailure> {
        let is_success = match success_codes {
            [] => (200..300).contains(&self.status),
            codes => codes.contains(&i32::from(self.status)),
        };
        if is_success {
            return Ok(());
        }
        let is_permanent = (400..500).contains(&self.status) && !matches!(self.status, 408 | 425 | 429);
        let mut error = format!("the server answered {}", self.words());
        if let Some(location) = self.location.as_ref().filter(|_| (300..400).contains(&self.status)) {
            error += &format!(", a redirect to {location}, which is not followed");
        }
        if let Some(line) = self.text.as_ref().and_then(|text| telling_line(text, MAX_QUOTE)) {
            error += &format!(": {line}");
        }
        let wait = self.retry_after.filter(|_| !is_permanent).map(|wait| wait.min(MAX_RETRY_AFTER));
        if let Some(wait) = wait {
            error += &format!("; it asks to wait for {}", duration::text(wait));
        }
        let wish = match wait {
            _ if is_permanent => Wish::Discard,
            Some(wait) => Wish::NotBefore(wait),
            None => Wish::Policy,
        };
        Err(HttpFailure { error, wish })
    }

    /// The status in words, such as `404 Not Found`.
    pub fn words(&self) -> String {
        format!("{} {}", self.status, self.reason).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(status: u16, codes: &[i32]) -> Option<Wish> {
        HttpAnswer { status, ..HttpAnswer::default() }.judge(codes).err().map(|failure| failure.wish)
    }

    #[test]
    fn permanent_errors_are_told_from_passing_ones() {
        for status in [200, 201, 204, 299] {
            assert_eq!(wish(status, &[]), None, "{status}");
        }
        for status in [400, 401, 403, 404, 409, 410, 422, 451] {
            assert_eq!(wish(status, &[]), Some(Wish::Discard), "{status}");
        }
        for status in [301, 302, 408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(wish(status, &[]), Some(Wish::Policy), "{status}");
        }
        assert_eq!((wish(404, &[200, 404]), wish(202, &[200])), (None, Some(Wish::Policy)));
    }

    #[test]
    fn a_server_may_ask_to_wait() {
        let busy = |status| HttpAnswer { status, retry_after: Some(Duration::from_secs(120)), ..HttpAnswer::default() };
        let failure = busy(503).judge(&[]).expect_err("busy");
        assert_eq!(failure.wish, Wish::NotBefore(Duration::from_secs(120)));
        assert_eq!(failure.error, "the server answered 503; it asks to wait for 2m");
        assert_eq!(busy(404).judge(&[]).expect_err("gone").wish, Wish::Discard);
        let long = HttpAnswer { retry_after: Some(Duration::from_secs(1_000_000)), ..busy(429) };
        assert_eq!(long.judge(&[]).expect_err("busy").wish, Wish::NotBefore(MAX_RETRY_AFTER));
    }

    #[test]
    fn the_error_says_what_the_server_said() {
        let answer = HttpAnswer {
            status: 422,
            reason: "Unprocessable Entity".to_owned(),
            text: Some("{\"error\": \"no such order\"}\n".to_owned()),
            ..HttpAnswer::default()
        };
        let expected = "the server answered 422 Unprocessable Entity: {\"error\": \"no such order\"}";
        assert_eq!(answer.judge(&[]).expect_err("refused").error, expected);
        let moved = HttpAnswer { status: 302, location: Some("https://x/y".to_owned()), ..HttpAnswer::default() };
        let expected = "the server answered 302, a redirect to https://x/y, which is not followed";
        assert_eq!(moved.judge(&[]).expect_err("moved").error, expected);
    }
}
