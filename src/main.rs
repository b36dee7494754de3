//! The stock binary: Sexton with nothing added.

use std::process::ExitCode;

fn main() -> ExitCode {
    sexton::Sexton::new().run_cli()
}
