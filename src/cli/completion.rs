//! Shell completions of commands, options and names. The shell's script calls this program for each completion, so that
//! both always agree. It reads the configuration alone, and says nothing if it cannot.

use std::{env, ffi::OsString, path::PathBuf, sync::Arc};

use clap::{Arg, Args, Command, builder::PossibleValuesParser};
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate, env::Shells};
use sexton_entities::states::{Outcome, TaskState, Verdict};

use super::{
    Parts,
    output::print_raw,
    session::{CONFIG_VARIABLE, Session},
};
use crate::domain::task::definition::check_name;

/// The variable by which the shell's script asks for completions; its value is the shell.
const VARIABLE: &str = "SEXTON_COMPLETE";
/// The program for which the scripts are.
const PROGRAM: &str = "sexton";

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_parser = PossibleValuesParser::new(Shells::builtins().names()))]
    shell: String,
}

/// What the value of an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Task,
    Schedule,
    Sweep,
    Queue,
    Period,
    Module,
    State,
    Outcome,
    Verdict,
}

/// Prints the script of a shell.
pub(super) fn print(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&args.shell) {
        shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    }
    if args.shell == "zsh" {
        // A file of $fpath is read at the first completion, and has to answer it, too.
        script.extend(b"[[ $funcstack[1] != _sexton ]] || _clap_dynamic_completer_sexton \"$@\"\n");
    }
    print_raw(&script);
    Ok(0)
}

/// Answers the script of a shell. Returns false if this is no such call.
pub(super) fn answer(command: fn() -> Command, parts: &Arc<Parts>) -> bool {
    let complete = CompleteEnv::with_factory(|| with_names(command(), None, parts)).var(VARIABLE);
    // An error on the terminal would disturb the line that is being written.
    complete.try_complete(env::args_os(), env::current_dir().ok().as_deref()).unwrap_or(true)
}

/// Gives the arguments of a command, and of the commands below it, the values that are known. `noun` is the first word of
/// the command.
fn with_names(command: Command, noun: Option<&str>, parts: &Arc<Parts>) -> Command {
    let named = command.mut_args(|arg| with_values(arg, noun.unwrap_or_default(), parts));
    named.mut_subcommands(|below| {
        let noun = noun.unwrap_or(below.get_name()).to_owned();
        with_names(below, Some(&noun), parts)
    })
}

fn with_values(arg: Arg, noun: &str, parts: &Arc<Parts>) -> Arg {
    let Some(kind) = ValueKind::of(noun, arg.get_id().as_str()) else { return arg };
    let parts = parts.clone();
    arg.add(ArgValueCandidates::new(move || kind.values(&parts).into_iter().map(CompletionCandidate::new).collect()))
}

impl ValueKind {
    /// What an argument of a command names.
    fn of(noun: &str, arg: &str) -> Option<Self> {
        match (noun, arg) {
            ("queue", "name") | (_, "queue") | ("task", "to") => Some(Self::Queue),
            ("schedule", "name") | (_, "schedule") => Some(Self::Schedule),
            ("sweep", "name") => Some(Self::Sweep),
            ("period", "name") => Some(Self::Period),
            ("module", "name") | ("debug", "modules") | ("summary", "module") | ("run" | "start", "debug") => {
                Some(Self::Module)
            }
            ("task" | "history", "name") => Some(Self::Task),
            ("task", "state") => Some(Self::State),
            ("history", "outcome") => Some(Self::Outcome),
            ("history", "verdict") => Some(Self::Verdict),
            _ => None,
        }
    }

    /// All values that are known.
    fn values(self, parts: &Arc<Parts>) -> Vec<String> {
        let config = || Session::new(config_file(), parts.clone()).config_anyway().0;
        match self {
            Self::Task => {
                let registered = parts.registry.definitions().map(|definition| definition.name.clone());
                sorted(config().tasks.keys().cloned().chain(registered))
            }
            Self::Schedule => sorted(config().schedules().map(|schedule| schedule.name.clone())),
            Self::Sweep => {
                let config = config();
                sorted(config.tasks.values().filter(|task| task.sweep.is_some()).map(|task| task.name.clone()))
            }
            Self::Queue => sorted(config().queues.keys().map(ToString::to_string)),
            Self::Period => sorted(config().periods.0.keys().cloned()),
            Self::Module => {
                sorted(parts.module_names().map(ToString::to_string).chain(config().modules.keys().cloned()))
            }
            Self::State => TaskState::ALL.iter().map(|state| state.as_str().to_owned()).collect(),
            Self::Outcome => Outcome::ALL.iter().map(|outcome| outcome.as_str().to_owned()).collect(),
            Self::Verdict => Verdict::ALL.iter().map(|verdict| verdict.as_str().to_owned()).collect(),
        }
    }
}

/// Valid names only: the shell takes them as they are.
fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The configuration file that the line names so far, or that the environment names.
fn config_file() -> Option<PathBuf> {
    let words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let named = words.iter().enumerate().find_map(|(at, word)| match word.to_str() {
        Some("--config") => words.get(at + 1).cloned(),
        Some(word) => word.strip_prefix("--config=").map(OsString::from),
        None => None,
    });
    let file = named.or_else(|| env::var_os(CONFIG_VARIABLE)).filter(|file| !file.is_empty()).map(PathBuf::from)?;
    // The shell has not replaced it yet.
    let below_home = file.strip_prefix("~").ok().zip(env::home_dir()).map(|(rest, home)| home.join(rest));
    Some(below_home.unwrap_or(file))
}
