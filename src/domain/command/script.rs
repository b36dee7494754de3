//! Kind `shell`: a script in the configuration, and the shell that reads it.

/// The longest argument of a program on Linux, in bytes, with the NUL at its end.
pub const MAX_SCRIPT: usize = 128 * 1024 - 1;
/// Programs that check a script with `-n` and execute nothing of it.
const CHECKING_SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];

/// A script and its shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellScript {
    /// The shell and its options. `-c` and the script follow.
    pub shell: Vec<String>,
    /// The script. It never contains anything of a payload.
    pub text: String,
}

impl ShellScript {
    /// The command line. `name` is `$0` of the script, which its error messages begin with.
    pub fn argv(&self, name: &str) -> Vec<String> {
        let last = ["-c", &self.text, name].map(str::to_owned);
        self.shell.iter().cloned().chain(last).collect()
    }

    /// The command line that checks the script and executes nothing; none if the shell is not known to have one.
    pub fn check(&self, name: &str) -> Option<Vec<String>> {
        let program = self.shell.first()?;
        let is_known = CHECKING_SHELLS.contains(&program.rsplit('/').next()?);
        let words = ["-n", "-c", &self.text, name].map(str::to_owned);
        is_known.then(|| [program.clone()].into_iter().chain(words).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_argument() {
        let shell = ["bash", "-euo", "pipefail"].map(str::to_owned).to_vec();
        let script = ShellScript { shell, text: "echo '$x'\n".to_owned() };
        assert_eq!(script.argv("nightly"), ["bash", "-euo", "pipefail", "-c", "echo '$x'\n", "nightly"]);
        assert_eq!(script.check("nightly").unwrap(), ["bash", "-n", "-c", "echo '$x'\n", "nightly"]);
        let python = ShellScript { shell: vec!["/usr/bin/python3".to_owned()], ..script };
        assert_eq!(python.check("nightly"), None);
    }
}
