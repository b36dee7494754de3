//! Names for tasks, derived from their commands.

use std::collections::BTreeSet;

/// Maximum length of a name, so that tables stay readable.
const MAX_LENGTH: usize = 60;
/// Programs that start another program.
const WRAPPERS: &[&str] = &[
    "nice", "ionice", "env", "exec", "nohup", "sudo", "command", "chronic", "cronic", "setsid", "time", "timeout",
    "flock", "chrt",
];
/// Programs that execute a script, whose name says more.
const INTERPRETERS: &[&str] =
    &["sh", "bash", "dash", "zsh", "ksh", "php", "python", "python3", "perl", "ruby", "node", "java", "Rscript"];
/// Commands that prepare or guard the actual command.
const PREPARING: &[&str] = &[
    "cd", "test", "[", "[[", "sleep", "export", "umask", "ulimit", ".", "source", "set", "true", ":", "if", "then", "!",
];

/// The names in use.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// A valid and unique name, derived from `wish`.
    pub fn take(&mut self, wish: &str) -> String {
        let base = sanitized(wish);
        let mut name = base.clone();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }
}

/// Lower-case letters, digits, `-` and `_`: neither TOML nor a shell needs quotes for them.
fn sanitized(wish: &str) -> String {
    let mut name = String::new();
    for c in wish.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => name.push(c.to_ascii_lowercase()),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
        if name.len() == MAX_LENGTH {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "task".to_owned() } else { name.to_owned() }
}

/// A name for a shell command: its program, and the first plain argument.
pub(super) fn from_command(command: &str) -> String {
    let parts = command.split(['&', '|', ';', '\n', '(', ')', '{', '}']);
    let mut named = parts.filter_map(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        let start = words.iter().position(|word| !is_assignment(word))?;
        name_of(&words[start..])
    });
    named.next().unwrap_or_else(|| command.to_owned())
}

fn name_of(words: &[&str]) -> Option<String> {
    let (program, rest) = words.split_first()?;
    let program = base(program);
    if PREPARING.contains(&program) {
        return None;
    }
    let plain = |word: &&&str| !word.starts_with(['-', '$', '"', '\'', '`', '>', '<', '\\']);
    if WRAPPERS.contains(&program) {
        // `nice -n 10`, `timeout 5m`, `flock -n FILE`: the options of the wrapper.
        let is_own = |word: &&str| {
            word.starts_with('-') || is_assignment(word) || word.starts_with(|c: char| c.is_ascii_digit())
        };
        let skipped = rest.iter().take_while(|word| is_own(word)).count() + usize::from(program == "flock");
        return rest.get(skipped..).filter(|rest| !rest.is_empty()).and_then(name_of);
    }
    let mut arguments = rest.iter().filter(plain);
    if INTERPRETERS.contains(&program) {
        let Some(script) = arguments.next() else { return Some(program.to_owned()) };
        let more = arguments.next().filter(|word| is_word(word));
        return Some(joined(stem(base(script)), more.copied()));
    }
    Some(joined(stem(program), arguments.next().filter(|word| is_word(word)).map(|word| base(word))))
}

fn joined(program: &str, argument: Option<&str>) -> String {
    argument.map_or_else(|| program.to_owned(), |argument| format!("{program}-{argument}"))
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Whether an argument is descriptive: it has letters, and nothing that a shell expands.
fn is_word(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c))
        && !word.starts_with("/dev/")
}

fn base(path: &str) -> &str {
    path.trim_matches(['"', '\'']).trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn stem(file: &str) -> &str {
    let endings = [".sh", ".bash", ".php", ".py", ".pl", ".rb", ".js", ".jar"];
    endings.iter().find_map(|ending| file.strip_suffix(ending)).filter(|stem| !stem.is_empty()).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::definition::check_name;

    #[test]
    fn names_are_derived_from_the_command() {
        for (command, expected) in [
            ("cd / && run-parts --report /etc/cron.hourly", "run-parts-cron-hourly"),
            ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts-cron-daily"),
            ("php bin/console cache:clear --env=prod", "console-cache-clear"),
            ("/usr/local/bin/backup.sh >/dev/null 2>&1", "backup"),
            ("FOO=bar nice -n 19 ionice -c3 /opt/x/report.py", "report"),
            ("flock -n /run/lock/x /usr/bin/sync-mail", "sync-mail"),
            ("[ -x /usr/bin/certbot ] && certbot -q renew", "certbot-renew"),
            ("\"/opt/my tool/run\"", "my"),
            ("%%%", "task"),
            ("é", "task"),
        ] {
            let name = Names::default().take(&from_command(command));
            assert_eq!(check_name(&name), Ok(()));
            assert_eq!(name, expected, "{command}");
        }
    }

    #[test]
    fn names_are_given_once() {
        let mut names = Names::default();
        let taken = ["Backup", "backup", "backup-2", "backup"].map(|wish| names.take(wish));
        assert_eq!(taken, ["backup", "backup-2", "backup-2-2", "backup-3"]);
        assert_eq!(names.take(&"x".repeat(300)).len(), MAX_LENGTH);
    }
}
