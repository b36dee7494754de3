//! Which file uses which: `use` statements and paths, followed through re-exports to the file that defines the item.

use std::collections::{BTreeMap, HashMap};

use crate::source::Source;

/// Re-exports of re-exports are followed this far.
const MAX_DEPTH: usize = 8;

/// The modules of a crate.
pub(crate) struct Modules<'a> {
    sources: &'a [Source],
    /// The index of the file of each module, by its path; the crate's own path is empty.
    files: HashMap<Vec<String>, usize>,
    /// For each file, the names that its `use` statements bring in, with absolute paths.
    names: Vec<HashMap<String, Vec<String>>>,
}

/// The files that a file uses, each with one item as an example.
pub(crate) type References = BTreeMap<usize, String>;

/// One name of a `use` statement.
struct Import {
    name: String,
    path: Vec<String>,
    is_reexport: bool,
}

impl<'a> Modules<'a> {
    /// Reads the files of one crate.
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        let files =
            sources.iter().enumerate().map(|(index, source)| (module_path(source.below_src()), index)).collect();
        let mut modules = Self { sources, files, names: Vec::new() };
        for source in sources {
            let imports = imports(&source.code());
            let own = module_path(source.below_src());
            let absolute = |import: Import| Some((import.name, modules.absolute(&own, &import.path)?));
            let names = imports.into_iter().filter_map(absolute).collect();
            modules.names.push(names);
        }
        modules
    }

    /// The files that a file uses. A re-export is no use, unless the file uses the name itself.
    pub(crate) fn references(&self, index: usize) -> References {
        let source = &self.sources[index];
        let own = module_path(source.below_src());
        let code = source.code();
        let body = without_imports(&code);
        let mut paths: Vec<Vec<String>> = Vec::new();
        for import in imports(&code) {
            if !import.is_reexport || words(&body).any(|word| word == import.name) {
                paths.extend(self.absolute(&own, &import.path));
            }
        }
        for path in chains(&body) {
            let imported = self.names[index].get(&path[0]).map(|start| [start, &path[1..]].concat());
            paths.extend(imported.or_else(|| self.absolute(&own, &path)));
        }
        let resolved = paths.into_iter().filter_map(|path| Some((self.file_of(&path, MAX_DEPTH)?, path.join("::"))));
        resolved.filter(|(file, _)| *file != index).collect()
    }

    /// A path from the crate's root; none for other crates.
    fn absolute(&self, own: &[String], path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|word| *word == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([own, &path[1..]].concat()),
            "super" => Some([&own[..own.len().checked_sub(ups)?], &path[ups..]].concat()),
            child => {
                let is_child = self.files.contains_key(&[own, &[child.to_owned()]].concat());
                is_child.then(|| [own, path].concat())
            }
        }
    }

    /// The file that defines what a path names; none for a folder.
    fn file_of(&self, path: &[String], depth: usize) -> Option<usize> {
        let mut module: Vec<String> = Vec::new();
        for (position, word) in path.iter().enumerate() {
            let below = [&module[..], std::slice::from_ref(word)].concat();
            if self.files.contains_key(&below) {
                module = below;
                continue;
            }
            let file = *self.files.get(&module)?;
            let reexport = self.names[file].get(word).filter(|_| depth > 0);
            let target = reexport.map(|target| [target, &path[position + 1..]].concat());
            return target.and_then(|target| self.file_of(&target, depth - 1)).or(Some(file));
        }
        let is_folder = self.files.keys().any(|other| other.len() > module.len() && other.starts_with(&module));
        if is_folder { None } else { self.files.get(&module).copied() }
    }
}

/// Below `src`, `a/b.rs` is `a::b`, `a/mod.rs` is `a`, `lib.rs` is the crate.
fn module_path(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The `use` statements of some code, each as a range.
fn statements(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let text = line.trim_start();
        let behind = text.strip_prefix("pub").map_or(text, |rest| match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
            None => rest,
        });
        let is_new = found.last().is_none_or(|last| last.end <= start);
        if behind.trim_start().starts_with("use ") && is_new {
            let end = code[start..].find(';').map_or(code.len(), |end| start + end + 1);
            found.push(start..end);
        }
        start += line.len();
    }
    found
}

fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for range in statements(code) {
        let text = code[range].trim().trim_end_matches(';');
        let is_reexport = text.starts_with("pub");
        let Some((_, tree)) = text.split_once("use ") else { continue };
        for (path, name) in expand(tree, &[]) {
            found.push(Import { name, path, is_reexport });
        }
    }
    found
}

/// The code without its `use` statements and without `mod NAME;`.
fn without_imports(code: &str) -> String {
    let mut body = code.to_owned();
    for range in statements(code).into_iter().rev() {
        body.replace_range(range, "");
    }
    let is_declaration = |line: &&str| line.ends_with(';') && line.split(' ').rev().nth(1) == Some("mod");
    body.lines().filter(|line| !is_declaration(line)).collect::<Vec<_>>().join("\n")
}

/// `a::{b, c::d as e}` as `a::b` by the name `b`, and `a::c::d` by the name `e`.
fn expand(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let split = |text: &str| -> Vec<String> {
        text.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    if let Some((head, group)) = tree.split_once('{') {
        let before = [before, &split(head)].concat();
        let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
        return parts(group).into_iter().flat_map(|part| expand(part, &before)).collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path = [before, &split(path)].concat();
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map(str::to_owned).or_else(|| path.last().cloned());
    name.map(|name| (path, name)).into_iter().collect()
}

/// The parts of a group between the commas that are not in an inner group.
fn parts(group: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&group[start..]);
    found.retain(|part| !part.trim().is_empty());
    found
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The paths of at least two words.
fn chains(body: &str) -> Vec<Vec<String>> {
    let path_letters = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let texts = body.split(|c: char| !path_letters(c)).filter(|text| text.contains("::"));
    let path = |text: &str| -> Vec<String> {
        text.split("::").map(|word| word.trim_matches(':')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    texts.filter(|text| !text.starts_with("::")).map(path).filter(|path| path.len() > 1).collect()
}

#[test]
fn groups_and_aliases_are_expanded() {
    let shown = |tree| -> Vec<String> {
        expand(tree, &[]).into_iter().map(|(path, name)| format!("{} as {name}", path.join("::"))).collect()
    };
    assert_eq!(
        shown("crate::{a, b::{self, c as d}}"),
        ["crate::a as a", "crate::b as b", "crate::b::c as d"].map(str::to_owned)
    );
    assert_eq!(chains("x::y(a::<b>::c, ::d::e, f: g)"), [vec!["x", "y"]]);
}
