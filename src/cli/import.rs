//! `sexton import`.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use chrono_tz::Tz;
use clap::{Args, Subcommand};

use super::{
    exit_code::FAILED,
    output::{Printer, print_error, print_text},
    time,
};
use crate::domain::{
    schedule::missed_policy::Overlap,
    text::{duration, plural::counted},
};
use crate::import::{Crontab, CrontabFormat, Import, Names, Unit, UnitText, crontab, service_of, timer, toml};

#[derive(Subcommand)]
pub(super) enum ImportCommand {
    /// Convert crontabs of users and of the system
    Crontab(CrontabArgs),
    /// Convert systemd timers and the services they start
    SystemdTimer(TimerArgs),
}

#[derive(Args)]
pub(super) struct CrontabArgs {
    /// The crontabs; `-` for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Entries name a user, as in /etc/crontab [default: detected]
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// Entries name no user, as in the output of `crontab -l`
    #[arg(long)]
    user: bool,
    /// What happens to a run while an earlier one of its entry is not finished; cron starts it all the same
    #[arg(long, value_name = "allow|skip|queue", value_parser = overlap)]
    overlap: Option<Overlap>,
    /// Time limit of each run, such as 6h; cron has none
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    target: ImportTarget,
}

#[derive(Args)]
pub(super) struct TimerArgs {
    /// The timers; their services are read from the same directory
    #[arg(required = true)]
    units: Vec<PathBuf>,
    #[command(flatten)]
    target: ImportTarget,
}

#[derive(Args)]
struct ImportTarget {
    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Time zone of entries that name none, for example that of the old host [default: `daemon.timezone` at run time]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    timezone: Option<Tz>,
}

/// Comments that apply to every import. Differences of single entries are in the notes.
const GENERAL: [&str; 3] = [
    " Commands start in the daemon's directory and as the daemon's user, unless `dir` and `user` are set.",
    " Without `missed = \"skip\"`, the last instant that was missed during a downtime runs once after it.",
    " Processes that a command leaves in the background are ended with it, unless `keep_background = true`.",
];
const NO_ZONE: &str = " Times without `timezone` are in the time zone `daemon.timezone`, by default UTC.";

pub(super) fn run(output: Printer, command: &ImportCommand) -> anyhow::Result<u8> {
    let mut names = Names::default();
    let mut import = Import::default();
    let (sources, target) = match command {
        ImportCommand::Crontab(args) => {
            for file in &args.files {
                import.append(read_crontab(file, args, &mut names)?);
            }
            (&args.files, &args.target)
        }
        ImportCommand::SystemdTimer(args) => {
            for unit in &args.units {
                import.append(read_timer(unit, args.target.timezone, &mut names)?);
            }
            (&args.units, &args.target)
        }
    };
    let mut heading: Vec<String> = sources.iter().map(|source| format!(" Imported from {}.", shown(source))).collect();
    heading.extend(GENERAL.map(str::to_owned));
    if target.timezone.is_none() {
        heading.push(NO_ZONE.to_owned());
    }
    write(&toml(&import, &heading), target.out.as_deref())?;
    if output.is_json() {
        print_error!("{}", serde_json::to_string_pretty(&import.notes)?);
    } else {
        for note in &import.notes {
            print_error!("{note}");
        }
        let left_out = import.notes.iter().filter(|note| note.is_missing()).count();
        let (tasks, items) = (counted(import.drafts.len(), "task"), counted(left_out, "item"));
        print_error!("sexton: {tasks} written; {items} left out");
        for advice in advice(command, &import).map(str::to_owned).into_iter().chain(zone_advice(target, &import)) {
            print_error!("sexton: {advice}");
        }
    }
    Ok(if import.is_incomplete() { FAILED } else { 0 })
}

/// What cron does, and few want: runs that hang, and pile up until all workers are busy.
fn advice(command: &ImportCommand, import: &Import) -> Option<&'static str> {
    let ImportCommand::Crontab(args) = command else { return None };
    let has_schedule = import.drafts.iter().any(|draft| !draft.timings.is_empty());
    match (has_schedule, args.overlap, args.timeout) {
        (false, ..) | (_, Some(_), Some(_)) => None,
        (_, None, None) => {
            Some("as in cron, runs may overlap and have no time limit; --overlap skip --timeout 6h changes that")
        }
        (_, None, _) => Some("as in cron, runs may overlap; --overlap skip changes that"),
        (.., None) => Some("as in cron, runs have no time limit; --timeout 6h changes that"),
    }
}

/// The schedulers use the zone of the machine: without a word, all times would move.
fn zone_advice(target: &ImportTarget, import: &Import) -> Option<String> {
    let has_schedule = import.drafts.iter().any(|draft| !draft.timings.is_empty());
    let own = time::environment_zone();
    (has_schedule && target.timezone.is_none() && own != Tz::UTC).then(|| {
        format!(
            "times are read in `daemon.timezone`, by default UTC; this machine is in {own}: set that, or add \
             --timezone {own}"
        )
    })
}

fn overlap(word: &str) -> Result<Overlap, String> {
    match word {
        "allow" => Ok(Overlap::Allow),
        "skip" => Ok(Overlap::Skip),
        "queue" => Ok(Overlap::Queue),
        _ => Err("expected one of allow, skip, queue".to_owned()),
    }
}

fn read_crontab(file: &Path, args: &CrontabArgs, names: &mut Names) -> anyhow::Result<Import> {
    let format = match (args.system, args.user) {
        (true, _) => Some(CrontabFormat::System),
        (_, true) => Some(CrontabFormat::User),
        _ => None,
    };
    let is_account = |name: &str| nix::unistd::User::from_name(name).is_ok_and(|found| found.is_some());
    let name = shown(file);
    let text = text_of(file)?;
    let source = Crontab {
        file: &name,
        text: &text,
        format,
        zone: args.target.timezone,
        overlap: args.overlap.unwrap_or(Overlap::Allow),
        timeout: args.timeout,
        is_account: &is_account,
    };
    Ok(crontab(&source, names))
}

fn read_timer(file: &Path, zone: Option<Tz>, names: &mut Names) -> anyhow::Result<Import> {
    let name = file.file_name().context(file.display().to_string())?.to_string_lossy().into_owned();
    anyhow::ensure!(name.ends_with(".timer"), "{}: expected the path of a .timer file", file.display());
    let unit = read_unit(file, &name)?;
    let started = service_of(&unit);
    // An instance without its own file is made from its template.
    let template = started.split_once('@').map(|(prefix, _)| format!("{prefix}@.service"));
    let candidates = std::iter::once(started.clone()).chain(template).map(|name| file.with_file_name(name));
    let found = candidates.into_iter().find(|path| path.is_file());
    let service = found.map(|path| read_unit(&path, &started)).transpose()?;
    Ok(timer(&unit, service.as_ref(), zone, names))
}

/// A unit and its drop-ins.
fn read_unit(file: &Path, name: &str) -> anyhow::Result<Unit> {
    let mut folder = file.as_os_str().to_owned();
    folder.push(".d");
    let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context(PathBuf::from(folder).display().to_string()),
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files.insert(0, file.to_owned());
    let read = |path: &PathBuf| {
        let text = text_of(path)?;
        anyhow::ensure!(!text.contains('\0'), "{}: this is not a unit: it contains NUL", path.display());
        Ok(UnitText { file: path.display().to_string(), text })
    };
    Ok(Unit::read(name, &files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?))
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

fn shown(file: &Path) -> String {
    if is_standard_input(file) { "standard input".to_owned() } else { file.display().to_string() }
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let bytes = if is_standard_input(file) {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    let bytes = bytes.with_context(|| shown(file))?;
    String::from_utf8(bytes).map_err(|error| {
        let read = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("{}:{line}: this is not UTF-8: convert it first, for example with iconv", shown(file))
    })
}

/// Writes to standard output, or to a file that must not exist.
fn write(text: &str, out: Option<&Path>) -> anyhow::Result<()> {
    let Some(out) = out else {
        print_text(text);
        return Ok(());
    };
    let mut file = fs::File::create_new(out).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} exists: it is not overwritten", out.display())
        }
        _ => anyhow::anyhow!("{}: {error}", out.display()),
    })?;
    file.write_all(text.as_bytes()).with_context(|| out.display().to_string())
}

fn zone(text: &str) -> Result<Tz, String> {
    crate::domain::schedule::zone::named(text)
}
