//! The documents name what exists.

use std::{fs, path::PathBuf};

use crate::source::{files, root};

/// The folders that a path in a document begins with.
const FOLDERS: [&str; 9] =
    ["src/", "client/", "docs/", "tests/", "config/", "entities/", "migration/", "examples/", "benches/"];

#[test]
fn documents_name_what_exists() {
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    let mut faults = Vec::new();
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        for path in text.split('`').skip(1).step_by(2).filter(|path| is_path(path)) {
            if !root().join(path).exists() {
                faults.push(format!("{}: `{path}` does not exist", document.display()));
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let beside = root().join(&document).with_file_name(target);
            if !target.is_empty() && !target.contains("://") && !beside.exists() {
                faults.push(format!("{}: the link to {target} leads nowhere", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn is_path(text: &str) -> bool {
    FOLDERS.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '*', '<', '{', '…'])
}
