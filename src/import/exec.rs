//! `ExecStart=` and related settings: prefixes, words, variables and specifiers (systemd.service(5)).

use std::collections::BTreeMap;

use super::{
    draft::ImportNoteKind,
    shell::quoted,
    unit::{Unit, words},
};

/// One command of a service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ExecStep {
    pub(super) argv: Vec<String>,
    /// Whether its failure is ignored.
    pub(super) may_fail: bool,
}

/// Notes about a line.
pub(super) type Notes = Vec<(ImportNoteKind, String)>;

/// Parses the commands of one line. `env` are the variables that the service sets.
///
/// # Errors
/// If the line cannot be parsed. The error gives the reason.
pub(super) fn steps(
    value: &str,
    unit: &Unit,
    env: &BTreeMap<String, String>,
) -> Result<(Vec<ExecStep>, Notes), String> {
    let (mut steps, mut notes) = (Vec::new(), Notes::new());
    let all = words(value)?;
    // A separate `;` begins another command.
    for words in all.split(|(word, is_plain)| word == ";" && *is_plain) {
        let Some(((first, _), rest)) = words.split_first() else { continue };
        let program = first.trim_start_matches(['-', '@', ':', '+', '!', '|']);
        let prefixes = &first[..first.len() - program.len()];
        if prefixes.contains(['+', '!']) {
            notes.push((
                ImportNoteKind::LeftOut,
                "`+` and `!`: the command has no other rights than those of User=".to_owned(),
            ));
        }
        if prefixes.contains('|') {
            notes.push((ImportNoteKind::LeftOut, "`|`: the command does not run in a login shell".to_owned()));
        }
        let mut rest = rest;
        if prefixes.contains('@') {
            rest = rest.get(1..).unwrap_or_default();
            notes.push((ImportNoteKind::Differs, "`@`: the program's argv[0] is its own name".to_owned()));
        }
        let mut argv = Vec::new();
        for word in std::iter::once(program).chain(rest.iter().map(|(word, _)| word.as_str())) {
            let word = unit.expand(word).unwrap_or_else(|specifier| {
                notes.push((ImportNoteKind::LeftOut, format!("`{specifier}` is not expanded: write its value")));
                word.to_owned()
            });
            match prefixes.contains(':') {
                true => argv.push(word),
                false => argv.extend(substitute(&word, env, &mut notes)),
            }
        }
        if argv.first().is_none_or(String::is_empty) {
            return Err("the program is missing".to_owned());
        }
        steps.push(ExecStep { argv, may_fail: prefixes.contains('-') });
    }
    Ok((steps, notes))
}

/// Expands the variables of a word: `${NAME}` inside a word; `$NAME` as a whole word, split at blanks.
fn substitute(word: &str, env: &BTreeMap<String, String>, notes: &mut Notes) -> Vec<String> {
    let mut unknown = |name: &str| {
        notes.push((ImportNoteKind::LeftOut, format!("`{name}` is not set by Environment=: it is not expanded")));
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(name) = word.strip_prefix('$').filter(|name| is_name(name)) {
        return match env.get(name) {
            Some(value) => value.split_whitespace().map(str::to_owned).collect(),
            None => {
                unknown(word);
                vec![word.to_owned()]
            }
        };
    }
    let (mut filled, mut rest) = (String::new(), word);
    while let Some((before, behind)) = rest.split_once('$') {
        filled.push_str(before);
        let braced =
            behind.strip_prefix('{').and_then(|behind| behind.split_once('}')).filter(|(name, _)| is_name(name));
        match braced {
            Some((name, behind)) => {
                rest = behind;
                match env.get(name) {
                    Some(value) => filled.push_str(value),
                    None => {
                        let written = format!("${{{name}}}");
                        unknown(&written);
                        filled.push_str(&written);
                    }
                }
            }
            None => {
                rest = behind.strip_prefix('$').unwrap_or(behind);
                filled.push('$');
            }
        }
    }
    vec![filled + rest]
}

/// A command that executes the steps one after the other, up to the first failure.
pub(super) fn command(steps: Vec<ExecStep>) -> Vec<String> {
    if let [ExecStep { argv, may_fail: false }] = &steps[..] {
        return argv.clone();
    }
    let several = steps.len() > 1;
    let texts = steps.into_iter().map(|step| {
        let line = step.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        match (step.may_fail, several) {
            (true, true) => format!("{{ {line} || true; }}"),
            (true, false) => format!("{line} || true"),
            (false, _) => line,
        }
    });
    vec!["sh".to_owned(), "-c".to_owned(), texts.collect::<Vec<_>>().join(" && ")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (Vec<String>, Vec<String>) {
        let unit = Unit::read("backup@nas.service", &[]);
        let env = BTreeMap::from([("OPTS".to_owned(), "-a  -b".to_owned()), ("TO".to_owned(), "x y".to_owned())]);
        let (steps, notes) = steps(value, &unit, &env).expect("commands");
        (command(steps), notes.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn a_single_command_is_a_list() {
        assert_eq!(
            read("/bin/a \"b c\" $OPTS ${TO} p-${TO} $$x %i %%").0,
            ["/bin/a", "b c", "-a", "-b", "x y", "p-x y", "$x", "nas", "%"]
        );
        assert_eq!(read("@/bin/a zero one").0, ["/bin/a", "one"]);
        assert_eq!(read(":/bin/a ${TO}").0, ["/bin/a", "${TO}"]);
    }

    #[test]
    fn several_commands_are_a_row_that_ends_with_the_first_failure() {
        assert_eq!(read("/bin/a 'x y' ; -/bin/b").0[2], "/bin/a 'x y' && { /bin/b || true; }");
        assert_eq!(read("-/bin/b").0[2], "/bin/b || true");
        assert_eq!(read("/bin/a \\; b").0, ["/bin/a", ";", "b"]);
    }

    #[test]
    fn unknown_words_are_noted() {
        let (argv, notes) = read("+/bin/a %h/x $NONE ${NONE}");
        assert_eq!(argv, ["/bin/a", "%h/x", "$NONE", "${NONE}"]);
        assert_eq!(notes.len(), 4, "{notes:?}");
    }
}
