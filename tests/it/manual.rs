//! The manual pages: groff finds no mistake in them, and they name every setting, exit code and command.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Printed, document::cells};

/// The binary, with a configuration that no test depends on.
fn man(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sexton")).arg("man").args(arguments).output().unwrap()
}

/// A page as a terminal shows it.
fn rendered(page: &Path) -> Output {
    let output = Command::new("groff")
        .args(["-man", "-Kutf8", "-Tutf8", "-P-cbou", "-rHY=0", "-rLL=5000n", "-ww"])
        .arg(page)
        .output();
    output.unwrap_or_else(|error| panic!("groff: {error}: `apt-get install groff-base` installs it"))
}

/// The words of a page, with single spaces.
fn words(page: &Path) -> String {
    rendered(page).text().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn groff_finds_no_mistake_in_any_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = man(&["--dir", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", output.errors());
    let mut tried = 0;
    for section in ["man1", "man5"] {
        for page in fs::read_dir(folder.path().join(section)).unwrap().flatten() {
            let output = rendered(&page.path());
            assert_eq!(output.errors(), "", "{}", page.path().display());
            let text = output.text();
            for part in ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"] {
                assert!(text.lines().any(|line| line == part), "{} has no {part}", page.path().display());
            }
            assert!(!text.contains("```") && !text.contains("]("), "{}", page.path().display());
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} were found");
    // Each command has its exit status, and its page names the page above it.
    let add = words(&folder.path().join("man1/sexton-task-add.1"));
    for part in ["EXIT STATUS 0 if it has succeeded", "EXAMPLES sexton task add invoice", "sexton-task(1), sexton(1)"] {
        assert!(add.contains(part), "{part}: {add}");
    }
    let main = words(&folder.path().join("man1/sexton.1"));
    for part in
        ["EXIT STATUS", "SIGNALS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEXTON_CONFIG", "/etc/sexton/conf.d/*.toml"]
    {
        assert!(main.contains(part), "{part}: {main}");
    }
}

#[test]
fn the_pages_name_every_exit_code_signal_and_setting() {
    let folder = tempfile::tempdir().unwrap();
    man(&["--dir", folder.path().to_str().unwrap()]);
    let main = words(&folder.path().join("man1/sexton.1"));
    let operating = document("docs/OPERATING.md");
    let mut named = 0;
    for title in ["| exit code | meaning |", "| signal | effect on the daemon |"] {
        for row in operating.split(title).nth(1).unwrap().lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells = cells(row);
            let said = format!("{} {}", cells[0], cells[1]).replace('`', "");
            assert!(main.contains(&said), "{said}");
            named += 1;
        }
    }
    assert!(named > 14, "only {named}");
    let page = words(&folder.path().join("man5/sexton.toml.5"));
    let configuration = document("docs/CONFIGURATION.md");
    let mut settings = 0;
    for row in configuration.lines().filter(|line| line.starts_with("| `") && !line.ends_with("| meaning |")) {
        for cell in cells(row) {
            let said = without_links(cell).replace("**", "").replace('`', "");
            assert!(page.contains(&said), "«{said}» of: {row}");
        }
        settings += 1;
    }
    assert!(settings > 120, "only {settings}");
}

/// A text in which of each link its words are left.
fn without_links(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, after)) = link.split_once("](") else { break };
        left += before;
        if words.contains(']') {
            left.push('[');
            rest = link;
            continue;
        }
        left += words;
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    left + rest
}

#[test]
fn one_page_goes_to_standard_output() {
    let page = man(&["sexton.toml"]);
    assert!(page.text().contains(".TH sexton.toml 5"), "{}", page.text());
    let unknown = man(&["sexton-task-ad"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        unknown.errors(),
        "sexton: there is no page `sexton-task-ad`; did you mean `sexton-task-add`?\n",
        "{}",
        unknown.errors()
    );
}
