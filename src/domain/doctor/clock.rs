//! The clock of this machine, and time zone data.

use chrono::{DateTime, Utc};

use super::{Area, Diagnosis};

/// A difference of more seconds is worth a warning, and of more than the other one an error.
const FAR: f64 = 2.0;
const VERY_FAR: f64 = 60.0;

/// What is known of time zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFacts {
    /// The zone of schedules that name none.
    pub of_schedules: String,
    /// Whether `daemon.timezone` says so.
    pub is_set: bool,
    /// The schedules that name no zone and depend on the time of day.
    pub without_zone: usize,
    /// The zone of this machine; none if it has no name.
    pub of_machine: Option<String>,
    /// Whether the clocks of both zones show the same time within the next year.
    pub agrees: bool,
    /// The version of the data in this program.
    pub own_data: String,
    /// The version of the data of this machine; none if it is not known.
    pub machine_data: Option<String>,
    /// When the data of this machine and of this program first differ about the machine's zone.
    pub differs_at: Option<DateTime<Utc>>,
}

/// The finding about the clock of this machine. `ahead` is in seconds.
pub fn diagnose_clock(ahead: f64) -> Diagnosis {
    let how = if ahead < 0.0 { "behind" } else { "ahead of" };
    let found = format!("The clock of this machine is {:.1} s {how} that of the database.", ahead.abs());
    let why =
        "Sexton decides by the database's time. Times in logs differ, and certificates and other programs may fail.";
    let remedy = "Let the time of both machines be set by NTP: timedatectl set-ntp true";
    match ahead.abs() {
        far if far > VERY_FAR => Diagnosis::error(Area::Clock, found, why, remedy),
        far if far > FAR => Diagnosis::warning(Area::Clock, found, why, remedy),
        _ => Diagnosis::ok(Area::Clock, found),
    }
}

/// The findings about time zones.
pub fn diagnose_zones(zones: &ZoneFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let machine = zones.of_machine.as_deref().unwrap_or("a zone without a name");
    if !zones.is_set && !zones.agrees && zones.without_zone > 0 {
        let (count, run) =
            (zones.without_zone, if zones.without_zone == 1 { "schedule runs" } else { "schedules run" });
        found.push(Diagnosis::note(
            Area::Clock,
            format!("{count} {run} in UTC; this machine is in {machine}."),
            "cron would run schedules on the clocks of the machine.",
            format!(
                "If that is not meant, set daemon.timezone = \"{}\". If it is, set it to \"UTC\".",
                zones.of_machine.as_deref().unwrap_or("UTC")
            ),
        ));
    }
    if let Some(at) = zones.differs_at {
        let (own, data) = (&zones.own_data, zones.machine_data.as_deref().unwrap_or("unknown"));
        found.push(Diagnosis::warning(
            Area::Clock,
            format!(
                "The time zone data of this machine (version {data}) and of Sexton (version {own}) differ about {machine}, \
                 from {} on.",
                at.format("%Y-%m-%d")
            ),
            "From that day on, schedules run an hour or so earlier or later than the clocks of this machine show.",
            "Upgrade the older one: the package tzdata, or Sexton.",
        ));
    }
    if found.is_empty() {
        let (zone, own) = (&zones.of_schedules, &zones.own_data);
        let data = zones.machine_data.as_ref().map(|data| format!("; this machine has {data}")).unwrap_or_default();
        found
            .push(Diagnosis::ok(Area::Clock, format!("Schedules run in {zone}. Time zone data: version {own}{data}.")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    fn zones() -> ZoneFacts {
        ZoneFacts {
            of_schedules: "UTC".to_owned(),
            is_set: false,
            without_zone: 2,
            of_machine: Some("Europe/Berlin".to_owned()),
            agrees: false,
            own_data: "2026b".to_owned(),
            machine_data: Some("2026a".to_owned()),
            differs_at: None,
        }
    }

    #[test]
    fn the_clock_may_differ_a_little() {
        let severity = |ahead| diagnose_clock(ahead).severity;
        assert_eq!(
            [0.1, -1.9, 2.1, -30.0, 61.0, -3_600.0].map(severity),
            [Gravity::Ok, Gravity::Ok, Gravity::Warning, Gravity::Warning, Gravity::Error, Gravity::Error]
        );
        assert!(diagnose_clock(-5.0).found.contains("5.0 s behind that of the database"));
    }

    #[test]
    fn a_machine_in_another_zone_is_a_note() {
        let found = diagnose_zones(&zones());
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Note));
        assert_eq!(found[0].found, "2 schedules run in UTC; this machine is in Europe/Berlin.");
        assert!(found[0].remedy.as_deref().is_some_and(|text| text.contains("daemon.timezone = \"Europe/Berlin\"")));
        for fine in [
            ZoneFacts { agrees: true, ..zones() },
            ZoneFacts { is_set: true, ..zones() },
            ZoneFacts { without_zone: 0, ..zones() },
        ] {
            assert_eq!(diagnose_zones(&fine)[0].severity, Gravity::Ok);
        }
    }

    #[test]
    fn data_that_differs_is_a_warning() {
        let at = "2027-03-28T01:00:00Z".parse().expect("an instant");
        let found = diagnose_zones(&ZoneFacts { differs_at: Some(at), is_set: true, ..zones() });
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Warning));
        assert!(found[0].found.contains("(version 2026a) and of Sexton (version 2026b)"), "{}", found[0].found);
        assert!(found[0].found.ends_with("about Europe/Berlin, from 2027-03-28 on."), "{}", found[0].found);
    }
}
