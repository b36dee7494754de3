//! systemd timers, with the services that they start.

use std::time::Duration;

use chrono_tz::Tz;

use super::{
    calendar,
    draft::{Import, ImportNoteKind, ImportedTask, Timing},
    name::Names,
    service,
    unit::{Setting, Unit, flag, service_of, span},
};
use crate::domain::schedule::missed_policy::{Missed, Overlap, Policy};

/// Default of `AccuracySec=`.
const DEFAULT_ACCURACY: Duration = Duration::from_secs(60);
/// Minimum of an interval.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Converts a timer and the unit that it starts; without `started` if that file does not exist.
pub fn read(timer: &Unit, started: Option<&Unit>, zone: Option<Tz>, names: &mut Names) -> Import {
    let mut import = Import::default();
    let wanted = service_of(timer);
    let Some(started) = started.filter(|_| wanted.ends_with(".service")) else {
        let (file, line) = timer.get("Timer", "Unit").map_or((&timer.file, 1), |unit| (&unit.file, unit.line));
        let why =
            if wanted.ends_with(".service") { "there is no such file beside it" } else { "that is not a service" };
        import.note(file, line, ImportNoteKind::LeftOut, format!("it starts {wanted}, and {why}: no task is written"));
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
    let jitter = jitter(timer, &mut import);
    service::report_rest(timer, &["Unit", "Install"], &mut import);
    let service = service::read(started, &mut import);
    service::report_rest(started, &["Unit"], &mut import);
    import.notes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let Some(service) = service else { return import };
    if timings.is_empty() {
        import.note(&timer.file, 1, ImportNoteKind::LeftOut, "the task has no schedule");
        comments.push(" without a schedule: none of its times could be converted".to_owned());
    }
    import.drafts.push(ImportedTask {
        name: names.take(timer.stem()),
        comments,
        command: service.command,
        timings,
        jitter,
        policy: policy(timer),
        mail: None,
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
            _ => rest(setting, import),
        }
    }
    timings
}

/// The policy of a timer: a running service is not started again, and missed runs are caught up with `Persistent=` only.
fn policy(timer: &Unit) -> Policy {
    // `Persistent=` applies to `OnCalendar=` only.
    let is_persistent = timer.get("Timer", "OnCalendar").is_some()
        && timer.get("Timer", "Persistent").is_some_and(|setting| flag(&setting.value));
    let missed = if is_persistent { Missed::Last } else { Missed::Skip };
    Policy { missed, overlap: Overlap::Skip, ..Policy::default() }
}

/// The random delay.
fn jitter(timer: &Unit, import: &mut Import) -> Option<Duration> {
    let setting = timer.get("Timer", "RandomizedDelaySec").filter(|setting| !setting.value.is_empty())?;
    let Some(delay) = span(&setting.value) else {
        service::left_out(import, setting, format!("RandomizedDelaySec={} is not a duration", setting.value));
        return None;
    };
    let fixed = timer.get("Timer", "FixedRandomDelay").filter(|fixed| flag(&fixed.value));
    if let Some(fixed) = fixed.filter(|_| !delay.is_zero()) {
        let text = "FixedRandomDelay: each run has another delay";
        import.note(&fixed.file, fixed.line, ImportNoteKind::Differs, text);
    }
    Some(delay).filter(|delay| *delay >= Duration::from_millis(1))
}

fn interval(setting: &Setting, import: &mut Import) -> Option<Timing> {
    let Some(interval) = span(&setting.value).filter(|interval| *interval >= MIN_INTERVAL) else {
        let text = format!("{}={} is not an interval of at least 100ms", setting.key, setting.value);
        service::left_out(import, setting, text);
        return None;
    };
    let since = if setting.key == "OnUnitActiveSec" { "the last start" } else { "the last end" };
    let text = format!("{}={} counts from {since}; `every` counts from 1970", setting.key, setting.value);
    import.note(&setting.file, setting.line, ImportNoteKind::Differs, text);
    Some(Timing::Every(interval))
}

/// A single time after a start. If the timer has another rule, the first run comes with that one.
fn once(setting: &Setting, repeats: bool, import: &mut Import) {
    let written = format!("{}={}", setting.key, setting.value);
    if repeats {
        let text = format!("{written}: the first run comes with the schedule, not after the start");
        import.note(&setting.file, setting.line, ImportNoteKind::Differs, text);
    } else {
        service::left_out(import, setting, format!("{written} is a single time after a start, not a schedule"));
    }
}

fn rest(setting: &Setting, import: &mut Import) {
    let written = format!("{}={}", setting.key, setting.value);
    match setting.key.as_str() {
        "Unit" | "Persistent" | "RandomizedDelaySec" | "FixedRandomDelay" => {}
        "RandomizedOffsetSec" if span(&setting.value) == Some(Duration::ZERO) => {}
        "AccuracySec" => {
            if span(&setting.value).is_none_or(|accuracy| accuracy > DEFAULT_ACCURACY) {
                let text = format!("{written}: runs are not delayed to coincide with others");
                import.note(&setting.file, setting.line, ImportNoteKind::Differs, text);
            }
        }
        "WakeSystem" | "OnClockChange" | "OnTimezoneChange" | "DeferReactivation" if !flag(&setting.value) => {}
        "RemainAfterElapse" if flag(&setting.value) => {}
        _ => service::left_out(import, setting, format!("{written} has no counterpart")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::UnitText;

    fn unit(name: &str, text: &str) -> Unit {
        Unit::read(name, &[UnitText { file: name.to_owned(), text: text.to_owned() }])
    }

    fn import(timer: &str, service: &str) -> Import {
        read(&unit("x.timer", timer), Some(&unit("x.service", service)), None, &mut Names::default())
    }

    fn notes(import: &Import) -> Vec<String> {
        import.notes.iter().map(ToString::to_string).collect()
    }

    const PLAIN: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";

    #[test]
    fn a_complete_service_is_carried_over_without_a_remark() {
        let import = import(
            "[Timer]\nOnCalendar=daily\nPersistent=yes\nAccuracySec=1min\n",
            "[Service]\nType=oneshot\nExecStart=/bin/a b\nUser=u\nGroup=g\nWorkingDirectory=-/srv\nNice=-5\nUMask=027\n\
             Environment=A=1 'B=2 3'\nPassEnvironment=PHP_INI\nTimeoutStartSec=5min\nTimeoutStopSec=10\nMemoryMax=512M\n\
             LimitNOFILE=1024:2048\nLimitCPU=60\nSuccessExitStatus=3\n",
        );
        assert_eq!(notes(&import), Vec::<String>::new());
        let draft = &import.drafts[0];
        let confines = &draft.command.limits;
        assert_eq!((draft.name.as_str(), draft.command.argv.join(" ").as_str()), ("x", "/bin/a b"));
        assert_eq!((confines.user.as_deref(), confines.group.as_deref()), (Some("u"), Some("g")));
        assert_eq!((confines.nice, confines.umask, confines.cpu), (Some(-5), Some(0o27), Some(60)));
        assert_eq!((confines.memory, confines.open_files), (Some(512 << 20), Some(1024)));
        assert_eq!((draft.timeout, draft.kill_after), (Some(Duration::from_secs(300)), Some(Duration::from_secs(10))));
        assert_eq!(draft.command.env["B"], "2 3");
        assert_eq!(
            (&draft.command.success_codes[..], &draft.command.pass_env[..]),
            (&[0, 3][..], &["PHP_INI".to_owned()][..])
        );
    }

    #[test]
    fn intervals_and_single_times_are_distinguished() {
        let both = import("[Timer]\nOnBootSec=15min\nOnUnitActiveSec=1d\n", PLAIN);
        assert_eq!(both.drafts[0].timings, [Timing::Every(Duration::from_secs(86_400))]);
        assert!(!both.is_incomplete() && both.notes.len() == 2, "{both:?}");
        let single = import("[Timer]\nOnBootSec=15min\n", PLAIN);
        assert!(single.is_incomplete() && single.drafts[0].timings.is_empty());
        assert!(
            notes(&single)[0].starts_with("x.timer:1: left out") || notes(&single)[0].contains("OnBootSec"),
            "{single:?}"
        );
    }

    #[test]
    fn left_out_settings_are_noted_with_their_location() {
        let import = import(
            "[Timer]\nOnCalendar=Mon *-*-13\nRandomizedDelaySec=often\nWakeSystem=true\n",
            "[Unit]\nConditionACPower=true\n[Service]\nExecStart=/bin/a\nEnvironmentFile=-/etc/x\nPrivateTmp=yes\nTimeoutStartSec=9\nMemoryMax=10%\n",
        );
        let notes = notes(&import);
        for place in [
            "x.timer:2: left out",
            "x.timer:3",
            "x.timer:4",
            "x.service:2",
            "x.service:5",
            "x.service:6",
            "x.service:8",
        ] {
            assert!(notes.iter().any(|note| note.starts_with(place)), "{place}: {notes:#?}");
        }
        // For a service that is not oneshot, TimeoutStartSec= is no limit of its run time.
        assert_eq!(import.drafts[0].timeout, None);
    }

    #[test]
    fn what_was_missed_and_what_is_delayed_is_carried_over() {
        let plain = import("[Timer]\nOnCalendar=daily\n", PLAIN).drafts.remove(0);
        assert_eq!((plain.policy.missed, plain.policy.overlap, plain.jitter), (Missed::Skip, Overlap::Skip, None));
        let text = "[Timer]\nOnCalendar=daily\nRandomizedDelaySec=5m\nRandomizedDelaySec=1h\nPersistent=yes\n";
        let kept = import(&format!("{text}FixedRandomDelay=yes\n"), PLAIN);
        assert_eq!(notes(&kept), ["x.timer:6: differs: FixedRandomDelay: each run has another delay"]);
        let draft = &kept.drafts[0];
        assert_eq!((draft.policy.missed, draft.jitter), (Missed::Last, Some(Duration::from_secs(3_600))));
    }

    #[test]
    fn without_anything_to_run_nothing_is_written() {
        let names = &mut Names::default();
        let missing = read(&unit("x.timer", "[Timer]\nOnCalendar=daily\n"), None, None, names);
        assert!(missing.drafts.is_empty() && missing.is_incomplete());
        let target = read(&unit("x.timer", "[Timer]\nUnit=x.target\n"), Some(&unit("x.target", "")), None, names);
        assert!(target.drafts.is_empty() && target.is_incomplete());
        assert!(import("[Timer]\nOnCalendar=daily\n", "[Service]\n").drafts.is_empty());
    }
}
