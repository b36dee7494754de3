//! `kind` of `[task.NAME]`: given, or implied by another setting.

use super::section::Section;
use crate::domain::{
    task::definition::{COMMAND, SHELL, SWEEP},
    text::suggest,
};

/// The settings that imply a kind, each with what a task of that kind has to say.
const IMPLYING: [(&str, &str, &str); 2] =
    [("command", COMMAND, "`command = [\"program\", \"argument\"]`"), ("script", SHELL, "`script = '''…'''`")];

/// Reads the kind of a task. `kinds` are those of the registered handlers: a kind without a handler is a mistake.
pub(super) fn read(name: &str, section: &mut Section<'_>, kinds: &[String]) -> String {
    let given = section.text("kind");
    // An invalid command still makes the kind `command`.
    let implied = IMPLYING.iter().find(|(setting, ..)| section.node(setting).is_some());
    let kind = match (&given, implied) {
        (Some(kind), Some((setting, implied, _))) if kind != implied => {
            section.refuse("kind", format!("`{kind}` conflicts with `{setting}`: keep one of them"));
            implied
        }
        (Some(kind), _) => {
            let needs = IMPLYING.iter().find(|(_, of, _)| of == kind).filter(|_| implied.is_none());
            if let Some((_, _, needs)) = needs {
                section.refuse("kind", format!("kind \"{kind}\" needs {needs}"));
            }
            kind.as_str()
        }
        (None, Some((_, implied, _))) => implied,
        // A task of the name under which a handler is registered in Rust.
        (None, None) => name,
    };
    if kind == SWEEP {
        section.refuse("kind", format!("a sweep is a table of its own: write [sweep.{name}]"));
    }
    if !kinds.iter().any(|known| known == kind) {
        let problem = match kind == name {
            true => {
                "neither `command` nor `kind` is set, and no handler is registered under the task's name".to_owned()
            }
            false => {
                let hint = suggest::hint_or_list(kind, kinds.iter().map(String::as_str));
                format!("there is no handler of kind `{kind}`{hint}")
            }
        };
        section.refuse("kind", problem);
    }
    kind.to_owned()
}
