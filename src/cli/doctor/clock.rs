//! Time zones: this machine's data against that of this program.

use std::fs;

use chrono::{DateTime, Local, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{IANA_TZDB_VERSION, Tz};

use super::{
    super::time::environment_zone_name,
    looks::{Doctor, on_thread},
};
use crate::{
    clock::machine_time,
    config::Config,
    domain::doctor::{
        Area,
        clock::{ZoneFacts, diagnose_zones},
    },
};

/// How far ahead both are compared, and in which steps.
const AHEAD: TimeDelta = TimeDelta::days(400);
const STEP: TimeDelta = TimeDelta::hours(6);
/// The file of the system's data that begins with its version.
const SYSTEM_DATA: &str = "/usr/share/zoneinfo/tzdata.zi";

pub(super) async fn look(doctor: &Doctor, config: &Config) {
    let zone = config.daemon.zone();
    let is_set = config.daemon.timezone.is_some();
    let without_zone = config
        .schedules()
        .filter(|schedule| schedule.recurrences.iter().any(|rule| rule.zone() == Some(Tz::UTC)))
        .count();
    let now = machine_time();
    let looking = async {
        let facts = on_thread(move || facts(zone, is_set, without_zone, now)).await?;
        Ok(diagnose_zones(&facts))
    };
    doctor.look(Area::Clock, "time zones", looking).await;
}

fn facts(of_schedules: Tz, is_set: bool, without_zone: usize, now: DateTime<Utc>) -> ZoneFacts {
    let machine = environment_zone_name();
    let known: Option<Tz> = machine.as_deref().and_then(|name| name.parse().ok());
    let ours = |zone: Tz, at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let theirs = |at: DateTime<Utc>| Local.offset_from_utc_datetime(&at.naive_utc()).fix();
    let mut instants = std::iter::successors(Some(now), |at| Some(*at + STEP)).take_while(|at| *at < now + AHEAD);
    let agrees = instants.clone().all(|at| ours(of_schedules, at) == theirs(at));
    let differs_at = known.and_then(|zone| instants.find(|at| ours(zone, *at) != theirs(*at)));
    ZoneFacts {
        of_schedules: of_schedules.name().to_owned(),
        is_set,
        without_zone,
        of_machine: machine,
        agrees,
        own_data: IANA_TZDB_VERSION.to_owned(),
        machine_data: fs::read_to_string(SYSTEM_DATA).ok().and_then(|text| version(&text)),
        differs_at,
    }
}

/// The version in `# version 2026a`.
fn version(data: &str) -> Option<String> {
    data.lines().next()?.strip_prefix("# version ").map(|version| version.trim().to_owned())
}
