//! The kinds of tasks that are no plain commands.

mod email;
mod http;
mod http_settings;
mod receiver;
mod shell;
mod sql;
mod worker;

use crate::support::{Printed, document::blocks, sexton};

#[test]
fn every_configuration_of_the_page_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let page = blocks("docs/KINDS.md", "toml");
    for block in &page {
        // This machine has neither of the secrets.
        let secrets = ["credential = \"erp-token\"", "file = \"/etc/sexton/itop-token\""];
        let block = secrets.iter().fold(block.clone(), |block, secret| block.replace(secret, "value = \"x\""));
        std::fs::write(&file, &block).unwrap();
        let output = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(output.status.success(), "{block}\n{}", output.errors());
    }
    assert!(page.len() >= 3, "only {} were found", page.len());
}
