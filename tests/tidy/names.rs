//! Names: one meaning for a type's name, and no names that say nothing.

use std::{collections::BTreeMap, path::Path};

use crate::source::{CRATES, Source, production};

/// Names that sea-orm and its migrations prescribe: each entity and each step has its own.
const PRESCRIBED: [&str; 5] = ["Model", "Relation", "ActiveModel", "Entity", "Migration"];
/// Names of files that say nothing about the content.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "misc", "imp"];
const KEYWORDS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];

/// The types that a file defines. An associated type is no definition: it is named by its trait.
fn types(source: &Source) -> Vec<String> {
    let code = source.code();
    let mut found = Vec::new();
    let mut is_macro = false;
    for line in code.lines() {
        let is_item = !line.starts_with(' ');
        let text = line.trim();
        let text = text.strip_prefix("pub").map_or(text, |rest| match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
            None => rest,
        });
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let (keyword, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if KEYWORDS.contains(&keyword) && (is_item || keyword != "type") {
            // In a macro, `$name` is no name.
            found.extend(name.starts_with(char::is_uppercase).then(|| name.to_owned()));
        }
        // `words! {` declares an enum by its bare name.
        if is_macro && keyword.starts_with(char::is_uppercase) && text.ends_with('{') {
            found.push(keyword.to_owned());
            is_macro = false;
        }
        is_macro = is_macro || text.starts_with("words! {");
    }
    found
}

#[test]
fn a_type_name_has_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in production(&CRATES) {
        for name in types(&source).into_iter().filter(|name| !PRESCRIBED.contains(&name.as_str())) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    let several: Vec<_> = places.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(several.is_empty(), "{several:#?}");
    assert!(places.len() > 200, "only {} types were found", places.len());
}

#[test]
fn definitions_are_told_from_associated_types() {
    let text = "pub(crate) struct One<T>;\nimpl X for One {\n    type Err = Two;\n}\ntype Three = One;\nfn f() {\n    \
                enum Four {}\n}\nwords! {\n    /// What it is.\n    Five {\n        A = \"a\",\n    }\n}\n// struct Six";
    let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(types(&source), ["One", "Three", "Four", "Five"]);
}

#[test]
fn file_names_say_what_is_in_them() {
    for source in production(&CRATES) {
        let name = Path::new(&source.path).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&name.as_str()), "{}", source.path);
    }
}
