//! Which daemon a command is for: the one in the configured run directory; if none is there, the one that was started
//! with the same configuration file before the run directory was changed.

use super::session::Session;
use crate::{
    config::{DaemonConfig, Mistake, Mistakes},
    service::RunDir,
};

/// A daemon's directories.
pub(super) struct Located {
    /// The configuration, with the directories of the running daemon.
    pub(super) config: DaemonConfig,
    /// The run directory of the daemon; it may not be running.
    pub(super) run: RunDir,
}

impl Session {
    /// The settings that address and stop the daemon. Mistakes in other settings do not matter.
    ///
    /// # Errors
    /// Mistakes because of which these settings may be wrong, unless the daemon is found without them; or several
    /// daemons that were started with this configuration file.
    pub(super) fn locate(&self) -> anyhow::Result<Located> {
        let (config, mistakes) = self.config_anyway();
        self.print_warnings(&config);
        let is_sound = mistakes.0.iter().all(|mistake| !mistake.setting.is_empty() && !misleads(mistake));
        let misleading: Vec<Mistake> = mistakes.0.into_iter().filter(misleads).collect();
        let run = RunDir::at(&config.daemon.run_dir);
        if misleading.is_empty() && run.is_held() {
            return Ok(Located { config: config.daemon, run });
        }
        let found = self.file().map(|file| RunDir::started_with(file)).unwrap_or_default();
        match found.as_slice() {
            [] if misleading.is_empty() => Ok(Located { config: config.daemon, run }),
            [] => Err(Mistakes(misleading).into()),
            [(started, record)] => {
                let (old, now) = (started.path().display(), run.path().display());
                self.say_once(&match is_sound {
                    true => format!(
                        "the running daemon was started with run directory {old}; the configuration now says {now}, which \
                         takes effect at its next start"
                    ),
                    false => format!("the configuration has mistakes; the running daemon was found in {old}"),
                });
                let (run_dir, state_dir) = (started.path().to_owned(), record.state_dir.clone());
                Ok(Located { config: DaemonConfig { run_dir, state_dir, ..config.daemon }, run: started.clone() })
            }
            several => {
                let paths: Vec<String> = several.iter().map(|(run, _)| run.path().display().to_string()).collect();
                anyhow::bail!(
                    "several daemons were started with this configuration file, with run directories {}: name one with \
                     SEXTON__DAEMON__RUN_DIR=…",
                    paths.join(", ")
                )
            }
        }
    }
}

/// Whether the run directory may be wrong because of a mistake.
fn misleads(mistake: &Mistake) -> bool {
    let places = ["daemon", "daemon.state_dir", "daemon.run_dir"];
    places.contains(&mistake.setting.as_str()) || (mistake.setting.is_empty() && mistake.location.line.is_none())
}
