//! Whether a crontab has a user column, and the parts of its lines.

/// The format of a crontab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrontabFormat {
    /// A user's crontab: five fields, then the command.
    User,
    /// `/etc/crontab` and `/etc/cron.d`: five fields, the user, then the command.
    System,
}

/// Common accounts whose names are no commands.
const ACCOUNTS: &[&str] = &[
    "root", "daemon", "nobody", "www-data", "apache", "nginx", "httpd", "postgres", "mysql", "munin", "smmsp",
    "logcheck", "otrs", "znuny", "zabbix", "nagios", "icinga", "redis",
];
/// Common commands; some of them are the names of accounts as well.
const COMMANDS: &[&str] = &[
    "php",
    "sh",
    "bash",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "java",
    "find",
    "test",
    "cd",
    "echo",
    "nice",
    "ionice",
    "flock",
    "env",
    "sleep",
    "rm",
    "tar",
    "rsync",
    "curl",
    "wget",
    "run-parts",
    "command",
    "timeout",
    "sudo",
    "make",
    "git",
    "docker",
    "mail",
    "man",
    "sync",
    "backup",
    "news",
    "games",
];

/// The parts of an entry.
pub(super) struct CrontabLine<'a> {
    /// `@daily`, or five fields.
    pub(super) time: Vec<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) command: &'a str,
}

/// Splits an entry; none if it has too few parts.
pub(super) fn split(line: &str, format: CrontabFormat) -> Option<CrontabLine<'_>> {
    let mut rest = line;
    let mut word = || {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let end = trimmed.find([' ', '\t']).unwrap_or(trimmed.len());
        let (word, behind) = trimmed.split_at(end);
        rest = behind;
        (!word.is_empty()).then_some(word)
    };
    let first = word()?;
    let mut time = vec![first];
    if !first.starts_with('@') {
        for _ in 0..4 {
            time.push(word()?);
        }
    }
    let user = match format {
        CrontabFormat::User => None,
        CrontabFormat::System => Some(word()?),
    };
    let command = rest.trim_matches([' ', '\t']);
    (!command.is_empty()).then_some(CrontabLine { time, user, command })
}

/// Detects the format of a file from its path and its entries.
pub(super) fn detect(file: &str, entries: &[&str], is_account: &dyn Fn(&str) -> bool) -> CrontabFormat {
    if file.ends_with("/etc/crontab") || file.contains("/cron.d/") {
        return CrontabFormat::System;
    }
    // A line that is an entry in neither format proves nothing.
    let entries =
        entries.iter().filter(|line| split(line, CrontabFormat::User).is_some_and(|entry| is_time(entry.time[0])));
    let users: Option<Vec<&str>> = entries.map(|line| split(line, CrontabFormat::System)?.user).collect();
    let Some(users) = users else { return CrontabFormat::User };
    // The BSDs allow `user:group/class`.
    let users: Vec<&str> = users.iter().map(|user| user.split([':', '/']).next().unwrap_or(user)).collect();
    let is_known = |user: &&&str| ACCOUNTS.contains(*user) || is_account(user);
    let all_may_be = users.iter().all(|user| is_login(user) && !COMMANDS.contains(user));
    if all_may_be && users.iter().any(|user| is_known(&user)) { CrontabFormat::System } else { CrontabFormat::User }
}

fn is_time(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '@'))
}

/// Whether a word is a valid name of an account.
fn is_login(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(lines: &[&str]) -> CrontabFormat {
        detect("tab", lines, &|name| name == "shop")
    }

    #[test]
    fn the_column_is_recognised_by_its_content() {
        assert_eq!(format_of(&["17 * * * * root cd / && run-parts /etc/cron.hourly"]), CrontabFormat::System);
        assert_eq!(format_of(&["@daily shop bin/console x", "5 4 * * * other /bin/true"]), CrontabFormat::System);
        assert_eq!(
            format_of(&["nonsense here", "and more of it, in seven words", "@daily root /bin/x"]),
            CrontabFormat::System
        );
        assert_eq!(format_of(&["17 * * * * run-parts /etc/cron.hourly"]), CrontabFormat::User);
        assert_eq!(format_of(&["5 4 * * * myscript /path"]), CrontabFormat::User);
        assert_eq!(format_of(&["5 4 * * * root /bin/x", "5 4 * * * /bin/true x"]), CrontabFormat::User);
        assert_eq!(format_of(&["5 4 * * * /bin/true"]), CrontabFormat::User);
        assert_eq!(detect("/etc/cron.d/php", &["5 4 * * * strange /bin/x"], &|_| false), CrontabFormat::System);
    }

    #[test]
    fn an_entry_is_taken_apart() {
        let entry = split(" 1\t2 3  4 5 \troot  a  b ", CrontabFormat::System).expect("an entry");
        assert_eq!((entry.time.join(" ").as_str(), entry.user, entry.command), ("1 2 3 4 5", Some("root"), "a  b"));
        assert!(
            split("1 2 3 4", CrontabFormat::User).is_none() && split("@daily root", CrontabFormat::System).is_none()
        );
    }
}
