//! Commands that seem to leave a process in the background, which cron lets live and Sexton ends.

/// Programs that start another one and end.
const STARTERS: [&str; 5] = ["nohup", "setsid", "disown", "start-stop-daemon", "daemon"];
/// Programs that start services, if the last word says so.
const SERVICE_STARTERS: [&str; 4] = ["service", "rc-service", "invoke-rc.d", "apachectl"];
const STARTS: [&str; 3] = ["start", "restart", "reload-or-restart"];
/// Arguments by which many programs go into the background.
const ARGUMENTS: [&str; 2] = ["--daemon", "--background"];

/// The word of a command because of which it may leave a process in the background.
pub(super) fn background_word(command: &str) -> Option<String> {
    if has_single_ampersand(command) {
        return Some("&".to_owned());
    }
    let words: Vec<&str> =
        command.split(|c: char| c.is_whitespace() || matches!(c, ';' | '|' | '(' | ')' | '{' | '}')).collect();
    let program = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let starts_service = |index: usize, word: &str| {
        let is_script = word.starts_with("/etc/init.d/") || SERVICE_STARTERS.contains(&program(word).as_str());
        is_script && words.iter().skip(index + 1).take(2).any(|next| STARTS.contains(next))
    };
    let mut found = words.iter().enumerate().filter(|(index, word)| {
        STARTERS.contains(&program(word).as_str()) || ARGUMENTS.contains(word) || starts_service(*index, word)
    });
    found.next().map(|(_, word)| (*word).to_owned())
}

/// Whether an `&` outside of quotes puts a command into the background. `&&`, `>&` and `&>` do not.
fn has_single_ampersand(command: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        match (quote, letter) {
            (None, '\\') => {
                letters.next();
            }
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (None, '&') if !matches!(before, '&' | '>' | '<' | '|') && !matches!(next, '&' | '>') => return true,
            _ => {}
        }
        before = letter;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_the_background_is_recognised() {
        for (command, word) in [
            ("/usr/local/bin/worker &", Some("&")),
            ("sleep 9 & echo done", Some("&")),
            ("(/bin/a &)", Some("&")),
            ("cd /srv && /bin/a > log 2>&1", None),
            ("/bin/a &> log", None),
            ("/bin/a |& tee log", None),
            ("echo 'a & b' \"c & d\" e\\&f", None),
            ("nohup /bin/a", Some("nohup")),
            ("test -x /bin/a || /usr/bin/setsid /bin/a", Some("/usr/bin/setsid")),
            ("/etc/init.d/apache2 restart", Some("/etc/init.d/apache2")),
            ("/etc/init.d/apache2 status", None),
            ("/usr/sbin/service cron start", Some("/usr/sbin/service")),
            ("queue-runner --daemon", Some("--daemon")),
            ("systemctl start a", None),
        ] {
            assert_eq!(background_word(command).as_deref(), word, "{command}");
        }
    }
}
