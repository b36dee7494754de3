//! The public surface: what a public signature names can be named by those who use it.

use std::collections::BTreeSet;

use crate::source::{Source, code, production};

/// Types of the standard library and of crates that an application has itself.
const KNOWN: [&str; 30] = [
    "Arc",
    "AsRef",
    "Box",
    "Clone",
    "DateTime",
    "Debug",
    "Default",
    "DeserializeOwned",
    "Display",
    "Duration",
    "Err",
    "Error",
    "ExitCode",
    "Fn",
    "From",
    "Future",
    "Into",
    "IntoIterator",
    "Item",
    "None",
    "Ok",
    "Option",
    "Output",
    "PathBuf",
    "Result",
    "Self",
    "Send",
    "String",
    "Utc",
    "Vec",
];
/// The same: of serde, of SeaORM, which is re-exported, and markers.
const OF_CRATES: [&str; 7] = ["ConnectionTrait", "DbErr", "Serialize", "Sized", "Sync", "Value", "Statement"];

/// The names that the roots of both crates export, without the hidden ones.
fn exported(sources: &[Source]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for root in sources.iter().filter(|source| source.below_src() == "lib.rs") {
        let text = code(&root.text).replace("#[doc(hidden)]\npub use", "#[hidden]");
        for statement in text.split("pub use ").skip(1) {
            let tree = statement.split(';').next().unwrap();
            names.extend(types(tree));
        }
    }
    names
}

/// The words of some code that name types.
fn types(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

/// The signatures that users of the exported types see, each with its type.
fn signatures(source: &Source, exported: &BTreeSet<String>) -> Vec<(String, String)> {
    let code = source.code();
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some((owner, is_all)) = owner(lines[at]).filter(|(owner, _)| exported.contains(owner)) else {
            at += 1;
            continue;
        };
        let mut is_hidden = false;
        at += 1;
        while at < lines.len() && lines[at] != "}" {
            let line = lines[at];
            let text = line.trim();
            let is_member = line.len() - line.trim_start().len() == 4 && !text.starts_with(['#', '}', ')']);
            if text.starts_with("#[doc(hidden)]") {
                is_hidden = true;
            } else if is_member && !text.is_empty() {
                let is_public = is_all || text.starts_with("pub ");
                let is_whole = |line: &str| line.ends_with(['{', ';', ',']) && !line.ends_with("(,");
                let mut signature = text.to_owned();
                // A signature over several lines ends with the line of its closing bracket.
                while text.contains("fn ") && !lines[at].ends_with(['{', ';']) || !is_whole(lines[at].trim_end()) {
                    at += 1;
                    if at >= lines.len() || lines[at] == "}" {
                        break;
                    }
                    signature += &format!(" {}", lines[at].trim());
                }
                if is_public && !is_hidden {
                    // The value of a constant is no part of its signature.
                    let signature = signature.split(" = ").next().unwrap_or_default().to_owned();
                    found.push((owner.clone(), signature));
                }
                is_hidden = false;
            }
            at += 1;
        }
    }
    found
}

/// The type whose members follow a line, and whether all of them are public: those of a trait or an enum are.
fn owner(line: &str) -> Option<(String, bool)> {
    if !line.ends_with('{') || line.starts_with(' ') {
        return None;
    }
    for (beginning, is_all) in [("pub trait ", true), ("pub enum ", true), ("pub struct ", false)] {
        if let Some(rest) = line.strip_prefix(beginning) {
            return Some((types(rest).first()?.clone(), is_all));
        }
    }
    let rest = line.strip_prefix("impl ")?;
    (!rest.contains(" for ")).then(|| types(rest).first().cloned()).flatten().map(|owner| (owner, false))
}

fn unnameable(sources: &[Source]) -> Vec<String> {
    let exported = exported(sources);
    let mut faults = Vec::new();
    for source in sources {
        for (owner, signature) in signatures(source, &exported) {
            let is_known = |name: &String| {
                // `KIND` is a constant, `T` a parameter; what an enum declares are its own variants.
                name.chars().all(|c| !c.is_lowercase())
                    || KNOWN.contains(&name.as_str())
                    || OF_CRATES.contains(&name.as_str())
                    || exported.contains(name)
                    || signature.starts_with(name.as_str())
                    || signature.contains(&format!("::{name}"))
                    || signature.contains(&format!("type {name}"))
            };
            if let Some(name) = types(&signature).iter().find(|name| !is_known(name)) {
                faults.push(format!("{}: {owner} names `{name}`: {signature}", source.path));
            }
        }
    }
    faults
}

#[test]
fn what_public_signatures_name_is_exported() {
    let sources = production(&["src", "client/src"]);
    assert!(exported(&sources).len() > 40);
    let faults = unnameable(&sources);
    assert!(faults.is_empty(), "export these types, or hide what names them:\n{}", faults.join("\n"));
}

#[test]
fn an_unexported_type_is_found() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let found = unnameable(&[
        source("src/lib.rs", "pub mod a;\n#[doc(hidden)]\npub use a::Hidden;\npub use a::{Context, Kind};"),
        source(
            "src/a.rs",
            "impl Context {\n    pub fn progress(&self, progress: Progress) {\n        Inner::call()\n    }\n\n    fn inner(&self) \
             -> Private {\n    }\n\n    #[doc(hidden)]\n    pub fn hidden(&self) -> Hidden {\n    }\n}\n\npub enum Kind {\n    \
             First,\n    Second(Inner),\n}\nimpl Other {\n    pub fn f() -> Progress {\n    }\n}",
        ),
    ]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("`Progress`") && found[1].contains("`Inner`"), "{found:#?}");
}
