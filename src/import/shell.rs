//! What a shell would make of a command: split into a list where it has nothing to do, and quoted where it has.

/// The shell of a crontab that names none.
const STANDARD: &str = "/bin/sh";
/// Words that only a shell understands, where they begin a command.
const BUILTINS: &[&str] = &[
    "!", ".", ":", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare", "do", "eval",
    "exec", "exit", "export", "fg", "for", "function", "getopts", "hash", "if", "let", "local", "pushd", "read",
    "readonly", "return", "select", "set", "shift", "shopt", "source", "time", "times", "trap", "type", "ulimit",
    "umask", "unset", "while", "until", "unalias", "wait", "typeset", "popd",
];
/// Shells in which a plain command is nothing but its words.
const KNOWN: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"];

/// The program and its arguments for a command of a crontab. The command itself is kept as it is; `input` is what stands on its
/// standard input, line by line.
pub(super) fn argv(command: &str, shell: Option<&str>, input: &[String]) -> Vec<String> {
    let written = shell.unwrap_or(STANDARD);
    // What everybody has is found by its name.
    let shell = if written == STANDARD { "sh" } else { written };
    let known = written.rsplit('/').next().is_some_and(|name| KNOWN.contains(&name));
    if !input.is_empty() {
        // The command and the lines are arguments, so that nothing of them has to be quoted.
        let script = format!("printf '%s\\n' \"$@\" | {} -c \"$0\"", quoted(shell));
        let head = ["sh".to_owned(), "-c".to_owned(), script, command.to_owned()];
        return head.into_iter().chain(input.iter().cloned()).collect();
    }
    match plain_words(command) {
        Some(words) if known => words,
        _ => vec![shell.to_owned(), "-c".to_owned(), command.to_owned()],
    }
}

/// The words of a command in which a shell would find nothing to do.
fn plain_words(command: &str) -> Option<Vec<String>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " \t_./,:@%+=-".contains(c);
    let words: Vec<&str> = command.split_whitespace().collect();
    let first = words.first()?;
    let is_program = !first.contains('=') && !BUILTINS.contains(first);
    (is_program && command.chars().all(is_plain)).then(|| words.into_iter().map(str::to_owned).collect())
}

/// One word for a shell, whatever is in it.
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
