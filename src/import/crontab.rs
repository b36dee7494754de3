//! Crontabs of users, and of the system with a user column.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::{
    background::background_word,
    draft::{Import, ImportNoteKind, ImportedMail, ImportedTask, Timing, check_expression},
    format::{self, CrontabFormat, CrontabLine},
    mail,
    name::{self, Names},
    shell,
};
use crate::domain::{
    command::CommandSpec,
    schedule::missed_policy::{Missed, Overlap, Policy},
};

/// Variables that configure cron itself.
const CRON_VARIABLES: &[&str] = &["CRON_TZ", "MAILTO", "MAILFROM", "RANDOM_DELAY"];

/// A crontab.
pub struct Crontab<'a> {
    /// Name of the file, for notes.
    pub file: &'a str,
    /// Content of the file.
    pub text: &'a str,
    /// The format; detected if not set.
    pub format: Option<CrontabFormat>,
    /// Time zone, unless the crontab sets one.
    pub zone: Option<Tz>,
    /// What happens to runs that overlap; cron lets them.
    pub overlap: Overlap,
    /// Time limit of each run; cron has none.
    pub timeout: Option<Duration>,
    /// Whether an account of that name exists on this host.
    pub is_account: &'a dyn Fn(&str) -> bool,
}

/// Converts a crontab.
pub fn read(crontab: &Crontab<'_>, names: &mut Names) -> Import {
    let entries: Vec<&str> = crontab
        .text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && variable(line).is_none())
        .map(without_dash)
        .collect();
    let format = crontab.format.unwrap_or_else(|| format::detect(crontab.file, &entries, crontab.is_account));
    let mut reader =
        Reader { crontab, names, import: Import::default(), pending: Vec::new(), variables: BTreeMap::new(), line: 0 };
    for (index, line) in crontab.text.lines().enumerate() {
        reader.line = index + 1;
        reader.line(line.trim(), format);
    }
    while reader.pending.last().is_some_and(String::is_empty) {
        reader.pending.pop();
    }
    reader.import.trailing_comments = reader.pending;
    reader.import
}

struct Reader<'a> {
    crontab: &'a Crontab<'a>,
    names: &'a mut Names,
    import: Import,
    /// Comments above the next entry.
    pending: Vec<String>,
    /// The variables that are set so far.
    variables: BTreeMap<String, String>,
    line: usize,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, format: CrontabFormat) {
        if line.is_empty() {
            if self.pending.last().is_some_and(|comment| !comment.is_empty()) {
                self.pending.push(String::new());
            }
        } else if let Some(comment) = line.strip_prefix('#') {
            self.pending.push(comment.to_owned());
        } else if let Some((name, value)) = variable(line) {
            self.set(name, value);
        } else {
            self.entry(line, format);
        }
    }

    fn note(&mut self, kind: ImportNoteKind, text: impl Into<String>) {
        self.import.note(self.crontab.file, self.line, kind, text);
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "MAILTO" if !value.is_empty() && mail::channel(value, None).is_none() => {
                self.note(ImportNoteKind::LeftOut, format!("MAILTO={value:?} names no address: nothing is mailed"));
            }
            "MAILTO" if !value.is_empty() => {
                let text = format!(
                    "the output is mailed to {value} by /usr/sbin/sendmail: see the table [notify] above the tasks"
                );
                self.note(ImportNoteKind::Differs, text);
            }
            "RANDOM_DELAY" if value.parse::<u32>().is_err() => {
                self.note(ImportNoteKind::LeftOut, format!("RANDOM_DELAY={value} is not a number of minutes"));
            }
            "LOGNAME" => {
                return self.note(ImportNoteKind::Differs, "LOGNAME is always the user's name, as in most crons");
            }
            _ if name.starts_with("SEXTON_") => {
                return self
                    .note(ImportNoteKind::LeftOut, format!("{name}: names that begin with SEXTON_ are reserved"));
            }
            _ if name.contains('=') || [name, value].concat().contains('\0') => {
                return self.note(ImportNoteKind::LeftOut, format!("{name:?} cannot be set"));
            }
            _ => {}
        }
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    fn entry(&mut self, written: &str, format: CrontabFormat) {
        let line = without_dash(written);
        let entry = format::split(line, format).filter(|_| !line.contains('\0'));
        let parts = entry.map(|entry| (split_percent(entry.command), entry));
        let Some(((command, input), entry)) = parts.filter(|((command, _), _)| !command.trim().is_empty()) else {
            let wanted = match format {
                CrontabFormat::User => "five fields (or @daily and the like) and a command",
                CrontabFormat::System => "five fields (or @daily and the like), a user and a command",
            };
            self.note(ImportNoteKind::LeftOut, format!("expected {wanted}, found `{written}`"));
            self.pending.push(format!(" left out, line {}: {written}", self.line));
            return;
        };
        if written.len() != line.len() {
            self.note(
                ImportNoteKind::Differs,
                "the leading `-` does not suppress the log: every run is in the history",
            );
        }
        let timings = match self.timing(&entry) {
            Ok(timing) => vec![timing],
            Err(problem) => {
                let time = entry.time.join(" ");
                self.note(ImportNoteKind::LeftOut, format!("`{time}`: {problem}; the task has no schedule"));
                self.pending.push(format!(" without a schedule, because this is left out: {time}"));
                Vec::new()
            }
        };
        let mail = self.mail();
        let delay = self.variables.get("RANDOM_DELAY").and_then(|minutes| minutes.parse::<u32>().ok());
        let jitter = delay.filter(|minutes| *minutes > 0).map(|minutes| Duration::from_secs(60 * u64::from(minutes)));
        if let Some(word) = background_word(&command) {
            let text = format!(
                "`{word}` may leave a process in the background: it is ended with the command, unless \
                 `keep_background = true`"
            );
            self.note(ImportNoteKind::Differs, text);
        }
        let name = self.names.take(&name::from_command(&command));
        let command = self.command(&command, &input, entry.user);
        let comments = std::mem::take(&mut self.pending);
        // cron does not catch up on missed runs, and does not wait for an earlier run.
        let policy = Policy { missed: Missed::Skip, overlap: self.crontab.overlap, ..Policy::default() };
        let timeout = self.crontab.timeout;
        let draft = ImportedTask { name, comments, command, timings, jitter, policy, mail, timeout, kill_after: None };
        self.import.drafts.push(draft);
    }

    /// Where the output of the next entry goes.
    fn mail(&mut self) -> Option<ImportedMail> {
        let recipients = self.variables.get("MAILTO")?;
        if recipients.is_empty() {
            return Some(ImportedMail::Nowhere);
        }
        let channel = mail::channel(recipients, self.variables.get("MAILFROM").map(String::as_str))?;
        Some(ImportedMail::To(self.import.add_channel(channel)))
    }

    fn command(&mut self, command: &str, input: &[String], user: Option<&str>) -> CommandSpec {
        let shell = self.variables.get("SHELL").map(String::as_str).filter(|shell| !shell.is_empty());
        let mut spec = CommandSpec::new(shell::argv(command, shell, input));
        let is_for_cron = |name: &str| CRON_VARIABLES.contains(&name);
        spec.env =
            self.variables.iter().filter(|(name, _)| !is_for_cron(name)).map(|(a, b)| (a.clone(), b.clone())).collect();
        // cron starts commands in the home directory; without HOME, it is known at run time only.
        spec.dir = self.variables.get("HOME").filter(|home| home.starts_with('/')).map(PathBuf::from);
        let is_relative = spec.argv[0].contains('/') && !spec.argv[0].starts_with('/');
        if is_relative && spec.dir.is_none() {
            let text = format!("`{}` was relative to the home directory: set `dir`", spec.argv[0]);
            self.note(ImportNoteKind::Differs, text);
        }
        if let Some(user) = user {
            // The BSDs allow `user:group`, and a login class after a slash.
            let user = user.split('/').next().unwrap_or(user);
            let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
            spec.limits.user = Some(user.to_owned());
            spec.limits.group = group.map(str::to_owned);
        }
        spec
    }

    fn timing(&mut self, entry: &CrontabLine<'_>) -> Result<Timing, String> {
        let zone = match self.variables.get("CRON_TZ") {
            None => self.crontab.zone,
            Some(name) => {
                let name = name.trim_start_matches(':');
                Some(name.parse::<Tz>().map_err(|_| format!("there is no time zone `{name}` (CRON_TZ)"))?)
            }
        };
        let expression = entry.time.join(" ");
        check_expression(&expression)?;
        if expression.eq_ignore_ascii_case("@reboot") {
            self.note(ImportNoteKind::Differs, "@reboot runs at each start of the daemon, on each node");
        }
        if let Some(odd) = entry.time.iter().find(|field| is_open_step(field)) {
            let text = format!("`{odd}` means steps from that value on; some crons ignore the step");
            self.note(ImportNoteKind::Differs, text);
        }
        Ok(Timing::Cron { expression, zone })
    }
}

/// Whether a field has a step without a range, such as `5/15`.
fn is_open_step(field: &str) -> bool {
    field.split(',').any(|item| item.split_once('/').is_some_and(|(from, _)| from != "*" && !from.contains('-')))
}

/// An entry without the leading `-`, which makes some crons log nothing.
fn without_dash(line: &str) -> &str {
    line.strip_prefix('-')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '*' || c == '@'))
        .unwrap_or(line)
}

/// A line `NAME = value`, each in quotes or not.
fn variable(line: &str) -> Option<(&str, &str)> {
    let first = line.chars().next()?;
    let (name, rest) = if matches!(first, '"' | '\'') {
        line[1..].split_once(first)?
    } else {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        line.split_at(end)
    };
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        return None;
    }
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let in_quotes = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    Some((name, in_quotes('"').or_else(|| in_quotes('\'')).unwrap_or(value)))
}

/// The command and the lines of its standard input: the first `%` separates them, further ones separate lines, and `\%`
/// is a percent sign.
fn split_percent(written: &str) -> (String, Vec<String>) {
    let mut parts = vec![String::new()];
    let mut characters = written.chars().peekable();
    while let Some(c) = characters.next() {
        let part = match c {
            '%' => {
                parts.push(String::new());
                continue;
            }
            _ => parts.last_mut(),
        };
        let Some(part) = part else { continue };
        match (c, characters.peek()) {
            ('\\', Some('%')) => part.extend(characters.next()),
            // A backslash before another character is kept with it.
            ('\\', Some(_)) => part.extend(std::iter::once(c).chain(characters.next())),
            _ => part.push(c),
        }
    }
    let input = parts.split_off(1);
    let is_empty = input.concat().is_empty() && input.len() <= 1;
    // A final `%` ends the last line, and does not begin another one.
    let mut input = if is_empty { Vec::new() } else { input };
    if input.len() > 1 && input.last().is_some_and(String::is_empty) {
        input.pop();
    }
    (parts.swap_remove(0).trim_end().to_owned(), input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn import(text: &str) -> Import {
        let source = Crontab {
            file: "tab",
            text,
            format: None,
            zone: None,
            overlap: Overlap::Allow,
            timeout: None,
            is_account: &|_| false,
        };
        read(&source, &mut Names::default())
    }

    fn only(text: &str) -> ImportedTask {
        let mut import = import(text);
        assert_eq!(import.drafts.len(), 1, "{import:?}");
        import.drafts.remove(0)
    }

    #[test]
    fn variables_apply_to_what_follows() {
        let text =
            "@daily a\nPATH = /bin\n'X Y'=\"b c\"\nHOME=/srv\nMAILTO=\n@daily b\nCRON_TZ=Europe/Berlin\n@daily c\n";
        let import = import(text);
        assert!(import.notes.is_empty(), "{import:?}");
        let [a, b, c] = &import.drafts[..] else { panic!("{import:?}") };
        assert!(a.command.env.is_empty() && a.command.dir.is_none());
        let env: Vec<_> = b.command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["HOME=/srv", "PATH=/bin", "X Y=b c"]);
        assert_eq!(b.command.dir, Some(PathBuf::from("/srv")));
        let zoned = |zone| Timing::Cron { expression: "@daily".to_owned(), zone };
        assert_eq!((&b.timings[0], &c.timings[0]), (&zoned(None), &zoned(Some(Tz::Europe__Berlin))));
    }

    #[test]
    fn mail_goes_where_the_lines_above_say() {
        let import = import(
            "@daily a\nMAILTO=ops@example.com\n@daily b\nMAILTO=\"\"\n@daily c\nMAILTO=ops@example.com\n@daily d\n",
        );
        let to = || Some(ImportedMail::To("mailto-ops-example-com".to_owned()));
        let mails: Vec<_> = import.drafts.iter().map(|draft| draft.mail.clone()).collect();
        assert_eq!(mails, [None, to(), Some(ImportedMail::Nowhere), to()]);
        assert_eq!(import.channels.len(), 1, "{:?}", import.channels);
        assert!(!import.is_incomplete());
    }

    #[test]
    fn percent_signs_divide_and_end_lines() {
        for (written, command, input) in [
            ("date +\\%F", "date +%F", vec![]),
            ("cat%a%b", "cat", vec!["a", "b"]),
            ("cat%a%", "cat", vec!["a"]),
            ("cat%%", "cat", vec![""]),
            ("cat%", "cat", vec![]),
            ("cat %50\\% off", "cat", vec!["50% off"]),
            ("echo 'a\\b'", "echo 'a\\b'", vec![]),
        ] {
            assert_eq!(
                split_percent(written),
                (command.to_owned(), input.iter().map(|line| (*line).to_owned()).collect()),
                "{written}"
            );
        }
    }

    #[test]
    fn comments_stay_above_their_entry() {
        let import = import("# file\n\n# a\n@daily a\n#b\n@daily b\n\n# end\n\n");
        assert_eq!(import.drafts[0].comments, [" file", "", " a"]);
        assert_eq!(import.drafts[1].comments, ["b"]);
        assert_eq!(import.trailing_comments, [" end"]);
    }

    #[test]
    fn users_groups_and_dashes_are_read() {
        let draft = only("-*/5 * * * * root:wheel/daemon /bin/x");
        assert_eq!(
            (draft.command.limits.user.as_deref(), draft.command.limits.group.as_deref()),
            (Some("root"), Some("wheel"))
        );
        assert_eq!(draft.command.argv, ["/bin/x"]);
    }

    #[test]
    fn left_out_entries_are_noted_with_their_line() {
        let import = import(
            "MAILTO=x@y\nRANDOM_DELAY=soon\n0 0 */2 * MON b\n61 * * * * c\n1 2 3\nSEXTON_X=1\nCRON_TZ=Mars\n@daily d\n",
        );
        let lines: Vec<usize> = import.notes.iter().filter(|note| note.is_missing()).map(|note| note.line).collect();
        assert_eq!(lines, [2, 4, 5, 6, 8], "{:?}", import.notes);
        assert_eq!(import.drafts.len(), 3, "tasks without a valid schedule are written as well");
        assert!(import.drafts[1].comments.iter().any(|comment| comment.contains("61 * * * *")));
    }

    proptest! {
        #[test]
        fn any_text_becomes_toml(text in "([-0-9*/,@%\\\\ a-zA-Z#='\"\t\u{1}é]{0,40}\n){0,6}") {
            let import = import(&text);
            let written = crate::import::toml(&import, &[]);
            let parsed: toml::Table = written.parse().expect("TOML");
            let tasks = parsed.get("task").and_then(|tasks| tasks.as_table()).map_or(0, toml::Table::len);
            assert_eq!(tasks, import.drafts.len());
        }
    }
}
