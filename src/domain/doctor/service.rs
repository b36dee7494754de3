//! The unit of systemd.

use std::{collections::BTreeMap, time::Duration};

use super::{Area, Diagnosis, Gravity};
use crate::domain::text::duration;

/// The properties that are asked for.
pub const PROPERTIES: [&str; 15] = [
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "Type",
    "KillMode",
    "WatchdogUSec",
    "TimeoutStopUSec",
    "Restart",
    "RestartPreventExitStatus",
    "OOMPolicy",
    "PrivateTmp",
    "User",
    "Delegate",
    "ExecStart",
];

/// What systemd says about a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// Its name.
    pub name: String,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// `daemon.stop_timeout`.
    pub stop_timeout: Duration,
    /// Whether a command has a limit of memory.
    pub limits_memory: bool,
    /// The configuration file that is looked at.
    pub config: Option<String>,
}

impl UnitFacts {
    /// Reads what `systemctl show` prints.
    pub fn read(name: &str, printed: &str) -> Self {
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        let properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), properties, ..Self::default() }
    }

    fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// Whether a property is known, and has none of these values.
    fn is_other(&self, name: &str, good: &[&str]) -> bool {
        self.property(name).is_some_and(|value| !good.contains(&value))
    }

    /// Whether there is such a unit.
    pub fn is_there(&self) -> bool {
        !self.is_other("LoadState", &["loaded"])
    }

    /// Whether it runs a daemon with another configuration.
    fn is_of_another(&self) -> bool {
        let runs = |file: &String| self.property("ExecStart").is_none_or(|command| command.contains(file.as_str()));
        self.config.as_ref().is_some_and(|file| !runs(file))
    }

    /// The account of the daemon: root, unless the unit says another one. None if no unit runs this configuration.
    pub fn user(&self) -> Option<&str> {
        (self.is_there() && !self.is_of_another())
            .then(|| self.property("User").filter(|user| !user.is_empty()).unwrap_or("root"))
    }
}

/// A rule about one property: it, its good values, how bad the others are, why, and what to do.
struct UnitRule {
    property: &'static str,
    good: &'static [&'static str],
    severity: Gravity,
    why: &'static str,
    remedy: &'static str,
}

const RULES: [UnitRule; 8] = [
    UnitRule {
        property: "UnitFileState",
        good: &["enabled", "enabled-runtime", "static", "linked", "generated", "transient", "alias", "indirect"],
        severity: Gravity::Warning,
        why: "It does not start after a reboot.",
        remedy: "systemctl enable {unit}",
    },
    UnitRule {
        property: "ActiveState",
        good: &["active", "activating", "reloading", "inactive", "deactivating"],
        severity: Gravity::Error,
        why: "The daemon does not run, and systemd has given it up.",
        remedy: "journalctl -u {unit} -p err; then systemctl restart {unit}",
    },
    UnitRule {
        property: "NeedDaemonReload",
        good: &["no"],
        severity: Gravity::Warning,
        why: "The file of the unit has changed, and systemd still uses the old one.",
        remedy: "systemctl daemon-reload; systemctl restart {unit}",
    },
    UnitRule {
        property: "KillMode",
        good: &["process"],
        severity: Gravity::Warning,
        why: "Each restart or crash of the daemon kills all running commands.",
        remedy: "KillMode=process, by systemctl edit {unit}",
    },
    UnitRule {
        property: "Type",
        good: &["notify", "notify-reload"],
        severity: Gravity::Warning,
        why: "systemd knows neither when the daemon is ready nor that it hangs.",
        remedy: "Type=notify, by systemctl edit {unit}",
    },
    UnitRule {
        property: "Restart",
        good: &["on-failure", "always", "on-abnormal"],
        severity: Gravity::Warning,
        why: "A daemon that crashes is not started again.",
        remedy: "Restart=on-failure, by systemctl edit {unit}",
    },
    UnitRule {
        property: "OOMPolicy",
        good: &["continue"],
        severity: Gravity::Warning,
        why: "One command that needs too much memory stops the daemon.",
        remedy: "OOMPolicy=continue, by systemctl edit {unit}",
    },
    UnitRule {
        property: "PrivateTmp",
        good: &["no"],
        severity: Gravity::Note,
        why: "Each restart takes the files in /tmp away from commands that continue.",
        remedy: "PrivateTmp=no, by systemctl edit {unit}",
    },
];

/// The findings about a unit.
pub fn diagnose(unit: &UnitFacts) -> Vec<Diagnosis> {
    let name = &unit.name;
    if !unit.is_there() {
        return vec![Diagnosis::note(
            Area::Systemd,
            format!("systemd has no unit {name}."),
            "Nothing starts the daemon after a reboot, unless another service manager does.",
            "Install the unit (docs/SYSTEMD.md), or name it: sexton doctor --unit NAME",
        )];
    }
    if unit.is_of_another() {
        let file = unit.config.as_deref().unwrap_or_default();
        return vec![Diagnosis::note(
            Area::Systemd,
            format!("{name} does not run the configuration {file}."),
            "It is the unit of another daemon, and was not looked at.",
            format!("Name the unit of this one: sexton doctor --unit NAME, or --config with the file of {name}"),
        )];
    }
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| unit.is_other(rule.property, rule.good)) {
        let value = unit.property(rule.property).filter(|value| !value.is_empty()).unwrap_or("not set");
        found.push(Diagnosis::new(
            rule.severity,
            Area::Systemd,
            format!("{} of {name} is {value}.", rule.property),
            rule.why,
            rule.remedy.replace("{unit}", name),
        ));
    }
    found.extend(times(unit));
    if !unit.property("RestartPreventExitStatus").unwrap_or("78").split(' ').any(|code| code == "78") {
        found.push(Diagnosis::note(
            Area::Systemd,
            format!("{name} is restarted after a mistake in the configuration (exit code 78)."),
            "It fails again and again, and fills the journal.",
            format!("RestartPreventExitStatus=78, by systemctl edit {name}"),
        ));
    }
    if unit.limits_memory && unit.is_other("Delegate", &["yes"]) {
        found.push(Diagnosis::warning(
            Area::Systemd,
            format!("Delegate of {name} is {}.", unit.property("Delegate").unwrap_or_default()),
            "Commands get no control group, so that limits.memory has no effect on the sum of their processes.",
            format!("Delegate=yes, by systemctl edit {name}"),
        ));
    }
    if unit.user() == Some("root") {
        found.push(Diagnosis::note(
            Area::Systemd,
            format!("{name} runs as root."),
            "Only tasks with `user` need that. A fault in a command can destroy everything.",
            format!("User=sexton, by systemctl edit {name}; and chown its directories."),
        ));
    }
    if found.is_empty() {
        let state = unit.property("ActiveState").unwrap_or("unknown");
        found.push(Diagnosis::ok(Area::Systemd, format!("{name} is set up well; it is {state}.")));
    }
    found
}

fn times(unit: &UnitFacts) -> Vec<Diagnosis> {
    let (name, mut found) = (&unit.name, Vec::new());
    if matches!(unit.property("WatchdogUSec"), Some("0" | "infinity")) {
        found.push(Diagnosis::warning(
            Area::Systemd,
            format!("{name} has no watchdog."),
            "A daemon that hangs is not noticed.",
            format!("WatchdogSec=30s, by systemctl edit {name}"),
        ));
    }
    // A daemon that reports to systemd asks for more time.
    let can_extend = unit.property("Type").is_some_and(|kind| kind.starts_with("notify"));
    let limit = unit.property("TimeoutStopUSec").and_then(|text| duration::parse(text).ok());
    if let Some(limit) = limit.filter(|limit| *limit < unit.stop_timeout && !can_extend) {
        let (limit, wanted) = (duration::text(limit), duration::text(unit.stop_timeout));
        found.push(Diagnosis::warning(
            Area::Systemd,
            format!("TimeoutStopSec of {name} is {limit}, and daemon.stop_timeout is {wanted}."),
            "systemd kills the daemon while it still waits for its tasks.",
            format!("TimeoutStopSec={}, by systemctl edit {name}", unit.stop_timeout.as_secs() + 10),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What systemd says about the unit that comes with Sexton, with one property changed.
    fn unit(changed: &[(&str, &str)]) -> UnitFacts {
        let printed = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nType=notify\n\
                       KillMode=process\nWatchdogUSec=30s\nTimeoutStopUSec=40s\nRestart=on-failure\n\
                       RestartPreventExitStatus=78\nOOMPolicy=continue\nPrivateTmp=no\nUser=sexton\nDelegate=yes\n\
                       ExecStart={ path=/usr/bin/sexton ; argv[]=/usr/bin/sexton run --config /etc/sexton/sexton.toml ; }\n";
        let mut facts = UnitFacts::read("sexton.service", printed);
        facts.stop_timeout = Duration::from_secs(30);
        for (name, value) in changed {
            facts.properties.insert((*name).to_owned(), (*value).to_owned());
        }
        facts
    }

    #[test]
    fn the_unit_that_comes_with_sexton_is_well() {
        let found = diagnose(&unit(&[]));
        assert_eq!(found, [Diagnosis::ok(Area::Systemd, "sexton.service is set up well; it is active.")]);
        assert_eq!(unit(&[]).user(), Some("sexton"));
        assert!(PROPERTIES.iter().all(|name| unit(&[]).property(name).is_some()), "each one is asked for");
    }

    #[test]
    fn each_bad_property_is_found() {
        let cases = [
            ("LoadState", "not-found", Gravity::Note, "no unit sexton.service"),
            ("UnitFileState", "disabled", Gravity::Warning, "UnitFileState of sexton.service is disabled."),
            ("ActiveState", "failed", Gravity::Error, "ActiveState of sexton.service is failed."),
            ("NeedDaemonReload", "yes", Gravity::Warning, "NeedDaemonReload"),
            ("KillMode", "control-group", Gravity::Warning, "KillMode of sexton.service is control-group."),
            ("Type", "simple", Gravity::Warning, "Type of sexton.service is simple."),
            ("Restart", "no", Gravity::Warning, "Restart of sexton.service is no."),
            ("WatchdogUSec", "0", Gravity::Warning, "has no watchdog"),
            ("RestartPreventExitStatus", "", Gravity::Note, "exit code 78"),
            ("OOMPolicy", "stop", Gravity::Warning, "OOMPolicy of sexton.service is stop."),
            ("PrivateTmp", "yes", Gravity::Note, "PrivateTmp"),
            ("User", "", Gravity::Note, "runs as root"),
        ];
        for (name, value, severity, words) in cases {
            let found = diagnose(&unit(&[(name, value)]));
            assert_eq!((found.len(), found[0].severity), (1, severity), "{name}: {found:#?}");
            assert!(found[0].found.contains(words), "{}", found[0].found);
        }
        assert_eq!(unit(&[("LoadState", "not-found")]).user(), None);
    }

    #[test]
    fn the_unit_of_another_daemon_is_left_alone() {
        let own = UnitFacts { config: Some("/etc/sexton/sexton.toml".to_owned()), ..unit(&[("KillMode", "mixed")]) };
        assert_eq!((own.user(), diagnose(&own)[0].severity), (Some("sexton"), Gravity::Warning));
        let other = UnitFacts { config: Some("/srv/sexton.toml".to_owned()), ..own };
        assert_eq!((other.user(), diagnose(&other)[0].severity), (None, Gravity::Note));
    }

    #[test]
    fn the_stop_must_have_its_time() {
        let short = ("TimeoutStopUSec", "10s");
        assert_eq!(diagnose(&unit(&[short])).len(), 1, "a daemon that reports asks for more time");
        let found = diagnose(&unit(&[short, ("Type", "simple")]));
        assert!(found[1].found.contains("is 10s, and daemon.stop_timeout is 30s"), "{found:#?}");
        assert_eq!(diagnose(&unit(&[("TimeoutStopUSec", "1min 30s"), ("Type", "simple")])).len(), 1);
    }

    #[test]
    fn limits_of_memory_need_control_groups() {
        let bare = unit(&[("Delegate", "no")]);
        assert_eq!(diagnose(&bare)[0].severity, Gravity::Ok);
        let limited = UnitFacts { limits_memory: true, ..bare };
        assert!(diagnose(&limited)[0].found.contains("Delegate of sexton.service is no"));
    }
}
