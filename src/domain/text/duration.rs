//! Durations as people write and read them.

use std::time::Duration;

/// `1m 30s` for 90 seconds. Longer durations are rounded: whole seconds from a minute on, hundredths below.
pub fn text(span: Duration) -> String {
    let rounded = match span.as_secs() {
        0 if span < Duration::from_millis(1) => span,
        0 => Duration::from_millis(span.as_millis() as u64),
        1..60 => Duration::from_millis(span.as_millis() as u64 / 10 * 10),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(rounded).to_string()
}

/// `350 ms`, `1.2 s`, `2m 5s`: a short form for columns, from milliseconds. A negative number counts as 0.
pub fn short(millis: i64) -> String {
    match u64::try_from(millis).unwrap_or(0) {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis @ 1_000..60_000 => format!("{:.1} s", millis as f64 / 1_000.0),
        millis => text(Duration::from_secs(millis / 1_000)),
    }
}

/// Reads `90s`, `1h 30m` or `250ms`.
///
/// # Errors
/// If the text is not a number with a unit, or several of them. The error is a sentence for people.
pub fn parse(written: &str) -> Result<Duration, String> {
    humantime::parse_duration(written.trim()).map_err(|_| {
        format!("`{written}` is not a duration: write a number and a unit, such as 250ms, 30s, 5m, 2h or 1d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back() {
        assert_eq!(parse("1h 30m").expect("a length"), Duration::from_secs(5_400));
        assert!(parse("5").expect_err("no unit").contains("a number and a unit"));
        assert_eq!(text(Duration::from_millis(90_250)), "1m 30s");
        assert_eq!(text(Duration::from_nanos(4_003_680_778)), "4s");
        assert_eq!(text(Duration::from_micros(20_400)), "20ms");
        assert_eq!(short(350), "350 ms");
        assert_eq!(short(1_234), "1.2 s");
        assert_eq!(short(125_000), "2m 5s");
    }
}
