//! Shell commands: split into words where a shell has nothing to expand, quoted otherwise.

/// The default shell of a crontab.
const STANDARD: &str = "/bin/sh";
/// Words that only a shell understands at the start of a command.
const BUILTINS: &[&str] = &[
    "!", ".", ":", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare", "do", "eval",
    "exec", "exit", "export", "fg", "for", "function", "getopts", "hash", "if", "let", "local", "pushd", "read",
    "readonly", "return", "select", "set", "shift", "shopt", "source", "time", "times", "trap", "type", "ulimit",
    "umask", "unset", "while", "until", "unalias", "wait", "typeset", "popd",
];
/// Shells in which a plain command is just its words.
const KNOWN: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"];

/// The program and arguments for a command of a crontab, which is not changed itself. `input` are the lines of its
/// standard input.
pub(super) fn argv(command: &str, shell: Option<&str>, input: &[String]) -> Vec<String> {
    let written = shell.unwrap_or(STANDARD);
    // The standard shell is found through PATH.
    let shell = if written == STANDARD { "sh" } else { written };
    let known = written.rsplit('/').next().is_some_and(|name| KNOWN.contains(&name));
    if !input.is_empty() {
        // The command and its input are arguments, so that they need no quotes.
        let script = format!("printf '%s\\n' \"$@\" | {} -c \"$0\"", quoted(shell));
        let head = ["sh".to_owned(), "-c".to_owned(), script, command.to_owned()];
        return head.into_iter().chain(input.iter().cloned()).collect();
    }
    match plain_words(command) {
        Some(words) if known => words,
        _ => vec![shell.to_owned(), "-c".to_owned(), command.to_owned()],
    }
}

/// The words of a command in which a shell has nothing to expand.
fn plain_words(command: &str) -> Option<Vec<String>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " \t_./,:@%+=-".contains(c);
    let words: Vec<&str> = command.split_whitespace().collect();
    let first = words.first()?;
    let is_program = !first.contains('=') && !BUILTINS.contains(first);
    (is_program && command.chars().all(is_plain)).then(|| words.into_iter().map(str::to_owned).collect())
}

/// A word, quoted for a shell if necessary.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./,:@%+=-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_command_is_its_words() {
        assert_eq!(argv("/usr/bin/find  /tmp -mtime +7", None, &[]), ["/usr/bin/find", "/tmp", "-mtime", "+7"]);
        assert_eq!(argv("backup --to=nas", Some("/bin/bash"), &[]), ["backup", "--to=nas"]);
    }

    #[test]
    fn what_a_shell_must_read_is_given_to_it_untouched() {
        for command in
            ["a > b", "X=1 a", "cd /x", "a 'b c'", "a; b", "echo $HOME", "ls ~", "ls *.c", "a #b", "a &", "a\\ b"]
        {
            assert_eq!(argv(command, None, &[]), ["sh", "-c", command]);
            assert_eq!(argv(command, Some("/bin/bash"), &[]), ["/bin/bash", "-c", command]);
        }
        assert_eq!(argv("print(1)", Some("/usr/bin/python3"), &[]), ["/usr/bin/python3", "-c", "print(1)"]);
        assert_eq!(argv("a b", Some("/bin/false"), &[])[..2], ["/bin/false", "-c"]);
    }

    #[test]
    fn input_comes_as_arguments() {
        let input = ["it's".to_owned(), "$HOME".to_owned()];
        let words = argv("cat; echo 'x'", None, &input);
        assert_eq!(words, ["sh", "-c", "printf '%s\\n' \"$@\" | sh -c \"$0\"", "cat; echo 'x'", "it's", "$HOME"]);
    }

    #[test]
    fn quoting_holds() {
        assert_eq!(["a-b", "", "a b", "it's"].map(quoted), ["a-b", "''", "'a b'", "'it'\\''s'"]);
    }
}
