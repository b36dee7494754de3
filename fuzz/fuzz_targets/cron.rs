//! Any bytes are parsed as a crontab expression or refused, and an accepted expression can be used. Nothing panics.
#![no_main]

use chrono::NaiveDateTime;
use libfuzzer_sys::fuzz_target;
use sexton::domain::cron::CronExpr;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Ok(expr) = CronExpr::parse(&text, &text) else { return };
    assert!(!expr.describe().is_empty());
    for wall in [NaiveDateTime::MIN, NaiveDateTime::MAX, NaiveDateTime::default()] {
        if let Some(next) = expr.next_after(wall) {
            assert!(next > wall);
        }
    }
});
