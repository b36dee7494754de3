//! Timers of systemd, with the services that they start.

use std::time::Duration;

use chrono_tz::Tz;

use super::{
    Draft, Import, Names, RemarkKind, Timing, calendar, service,
    unit::{Setting, Unit, flag, service_of, span},
};

/// How exactly timers are kept unless they say otherwise.
const ACCURACY: Duration = Duration::from_secs(60);
/// The shortest interval there is.
const SHORTEST: Duration = Duration::from_millis(100);

/// Reads a timer and what it starts, which is none if there was no such file.
pub fn read(timer: &Unit, started: Option<&Unit>, zone: Option<Tz>, names: &mut Names) -> Import {
    let mut import = Import::default();
    let wanted = service_of(timer);
    let Some(started) = started.filter(|_| wanted.ends_with(".service")) else {
        let (file, line) = timer.get("Timer", "Unit").map_or((&timer.file, 1), |unit| (&unit.file, unit.line));
        let why = if wanted.ends_with(".service") { "there is no such file beside it" } else { "that is no service" };
        import.note(
            file,
            line,
            RemarkKind::LeftOut,
            format!("it starts {wanted}, and {why}: nothing is written for it"),
        );
        return import;
    };
    let mut comments = Vec::new();
    for unit in [timer, started] {
        for setting in
            unit.section("Unit").iter().filter(|one| matches!(one.key.as_str(), "Description" | "Documentation"))
        {
            let line = format!(" {}", setting.value);
            if !comments.contains(&line) {
                comments.push(line);
            }
        }
    }
    let timings = timings(timer, zone, &mut comments, &mut import);
    service::report_rest(timer, &["Unit", "Install"], &mut import);
    let service = service::read(started, &mut import);
    service::report_rest(started, &["Unit"], &mut import);
    let Some(service) = service else { return import };
    if timings.is_empty() {
        import.note(&timer.file, 1, RemarkKind::LeftOut, "the task is written without a schedule");
        comments.push(" without a schedule: nothing of its times could be carried over".to_owned());
    }
    import.drafts.push(Draft {
        name: names.take(timer.stem()),
        comments,
        command: service.command,
        timings,
        timeout: service.timeout,
        kill_after: service.kill_after,
    });
    import
}

fn timings(timer: &Unit, zone: Option<Tz>, comments: &mut Vec<String>, import: &mut Import) -> Vec<Timing> {
    let settings = timer.section("Timer");
    let repeats =
        settings.iter().any(|one| matches!(one.key.as_str(), "OnUnitActiveSec" | "OnUnitInactiveSec" | "OnCalendar"));
    let mut timings = Vec::new();
    for setting in &settings {
        match setting.key.as_str() {
            "OnCalendar" => match calendar::timings(&setting.value, zone) {
                Ok(more) => timings.extend(more),
                Err(problem) => {
                    comments.push(format!(" left out: OnCalendar={}", setting.value));
                    service::left_out(import, setting, format!("OnCalendar={}: {problem}", setting.value));
                }
            },
            "OnUnitActiveSec" | "OnUnitInactiveSec" => timings.extend(interval(setting, import)),
            "OnBootSec" | "OnStartupSec" | "OnActiveSec" => once(setting, repeats, import),
            _ => rest(setting, comments, import),
        }
    }
    // Without the setting, systemd keeps no account of what was missed.
    let is_persistent = timer.get("Timer", "Persistent").is_some_and(|setting| flag(&setting.value));
    if let (false, Some(first)) = (is_persistent, settings.iter().find(|one| one.key == "OnCalendar")) {
        let text =
            "without Persistent=yes nothing is caught up; here, the last missed instant runs once after a downtime";
        import.note(&first.file, first.line, RemarkKind::Differs, text);
    }
    timings
}

fn interval(setting: &Setting, import: &mut Import) -> Option<Timing> {
    let Some(interval) = span(&setting.value).filter(|interval| *interval >= SHORTEST) else {
        let text = format!("{}={} is no interval of at least 100ms", setting.key, setting.value);
        service::left_out(import, setting, text);
        return None;
    };
    let since = if setting.key == "OnUnitActiveSec" { "the last start" } else { "the last end" };
    let text = format!("{}={} counts from {since}; `every` counts from 1970 on", setting.key, setting.value);
    import.note(&setting.file, setting.line, RemarkKind::Differs, text);
    Some(Timing::Every(interval))
}

/// A single time after the start of something: with another rule beside it, that one brings the first run.
fn once(setting: &Setting, repeats: bool, import: &mut Import) {
    let written = format!("{}={}", setting.key, setting.value);
    if repeats {
        let text = format!("{written}: the first run comes with the schedule, not after the start");
        import.note(&setting.file, setting.line, RemarkKind::Differs, text);
    } else {
        service::left_out(import, setting, format!("{written} is a single time after a start, and no schedule"));
    }
}

fn rest(setting: &Setting, comments: &mut Vec<String>, import: &mut Import) {
    let written = format!("{}={}", setting.key, setting.value);
    match setting.key.as_str() {
        "Unit" | "Persistent" => {}
        "RandomizedDelaySec" | "RandomizedOffsetSec" => {
            if span(&setting.value) != Some(Duration::ZERO) {
                comments.push(format!(" {written}"));
                service::left_out(import, setting, format!("{written}: no random delay is added"));
            }
        }
        "AccuracySec" => {
            if span(&setting.value).is_none_or(|accuracy| accuracy > ACCURACY) {
                let text = format!("{written}: nothing is put off in order to be done together with something else");
                import.note(&setting.file, setting.line, RemarkKind::Differs, text);
            }
        }
        "FixedRandomDelay" | "WakeSystem" | "OnClockChange" | "OnTimezoneChange" | "DeferReactivation"
            if !flag(&setting.value) => {}
        "RemainAfterElapse" if flag(&setting.value) => {}
        _ => service::left_out(import, setting, format!("{written} has no counterpart")),
    }
}
