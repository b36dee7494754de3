//! Instants as people write them on the command line, and the time zone of the reader.

use std::path::Path;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::text::instant::{self, Sense};

/// Reads an instant on the wall clocks of `zone`, as it is meant at `now`.
///
/// # Errors
/// If the text is not a time, or the clocks of the zone never show it.
pub(super) fn parse(written: &str, zone: Tz, sense: Sense, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    instant::parse(written, zone, now, sense).map_err(anyhow::Error::msg)
}

/// The time zone of the environment: `TZ`, otherwise that of the machine.
pub(super) fn environment_zone() -> Tz {
    environment_zone_name().and_then(|name| named(&name)).unwrap_or(Tz::UTC)
}

/// The name of that zone; none if it has none.
pub(super) fn environment_zone_name() -> Option<String> {
    let wanted = std::env::var_os("TZ").and_then(|zone| zone.into_string().ok()).filter(|zone| !zone.is_empty());
    wanted.or_else(|| iana_time_zone::get_timezone().ok())
}

/// The names of UTC. Its instants are shown with a `Z`.
const UTC: [Tz; 6] = [Tz::UTC, Tz::Etc__UTC, Tz::UCT, Tz::Etc__UCT, Tz::Zulu, Tz::Universal];

/// The zone of a value of `TZ`: a name, or the path of a file, with or without a colon.
fn named(name: &str) -> Option<Tz> {
    let name = name.strip_prefix(':').unwrap_or(name);
    let below = Path::new(name).strip_prefix("/usr/share/zoneinfo").ok().and_then(Path::to_str);
    let zone = below.unwrap_or(name).parse().ok()?;
    Some(if UTC.contains(&zone) { Tz::UTC } else { zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_as_the_c_library_finds_them() {
        for name in ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"] {
            assert_eq!(named(name), Some(Tz::Europe__Berlin), "{name}");
        }
        assert_eq!((named("Etc/UTC"), named("CET-1CEST")), (Some(Tz::UTC), None));
    }
}
