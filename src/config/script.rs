//! `script` and `shell` of `[task.NAME]`: the script of kind `shell`.

use super::section::Section;
use crate::domain::command::script::{MAX_SCRIPT, ShellScript};

/// The shell by default: it ends at the first command that fails.
const DEFAULT_SHELL: [&str; 2] = ["sh", "-eu"];

/// Reads the script of a task; none if it has none, or an invalid one.
pub(super) fn read(section: &mut Section<'_>) -> Option<ShellScript> {
    let text = section.text("script");
    let shell = section.texts("shell");
    if section.node("script").is_none() {
        section.refuse_each(&["shell"], "this setting needs a `script`");
        return None;
    }
    if section.node("command").is_some() {
        section.refuse("script", "only one of `command` and `script` can be set");
    }
    let shell = shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
    if shell.first().is_none_or(String::is_empty) {
        section.refuse("shell", "the program is missing: write [\"bash\", \"-euo\", \"pipefail\"]");
    }
    if shell.iter().any(|word| word.contains('\0')) {
        section.refuse("shell", "an argument cannot contain NUL");
    }
    if shell.iter().skip(1).any(|word| word == "-c") {
        section.refuse("shell", "leave `-c` out: Sexton adds `-c` and the script");
    }
    let text = text?;
    if text.trim().is_empty() {
        section.refuse("script", "the script is empty");
    }
    if text.contains('\0') {
        section.refuse("script", "a script cannot contain NUL");
    }
    if text.len() > MAX_SCRIPT {
        let problem = format!(
            "it has {} bytes, and a script may have {MAX_SCRIPT}: put it into a file, and name that file in `command`",
            text.len()
        );
        section.refuse("script", problem);
    }
    Some(ShellScript { shell, text })
}
