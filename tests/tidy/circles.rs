//! No circles: a file does not use a file that uses it, over any number of files between.
//!
//! A folder's `mod.rs` that only declares and re-exports its children takes part in no circle.

use std::collections::{HashMap, VecDeque};

use crate::{
    references::{Modules, References},
    source::{Source, production},
};

#[test]
fn files_do_not_use_each_other_in_circles() {
    for folder in ["src", "client/src"] {
        let found = circles(&production(&[folder]));
        assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
    }
}

/// The circles, each as a sentence: the shortest one through each group of files that reach each other.
fn circles(sources: &[Source]) -> Vec<String> {
    let modules = Modules::new(sources);
    let graph: Vec<References> = (0..sources.len()).map(|index| modules.references(index)).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut shortest: Vec<Vec<usize>> = (0..graph.len()).filter_map(|start| way_back(&graph, start)).collect();
    shortest.sort_by_key(Vec::len);
    for circle in shortest {
        if !circle.iter().any(|file| found.iter().any(|known| known.contains(file))) {
            found.push(circle);
        }
    }
    found.iter().map(|circle| described(sources, &graph, circle)).collect()
}

/// The shortest way from a file back to itself.
fn way_back(graph: &[References], start: usize) -> Option<Vec<usize>> {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for next in graph[file].keys() {
            if *next == start {
                let back = std::iter::successors(Some(file), |file| came_from.get(file).copied());
                let mut circle: Vec<usize> = back.collect();
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next) {
                came_from.insert(*next, file);
                waiting.push_back(*next);
            }
        }
    }
    None
}

fn described(sources: &[Source], graph: &[References], circle: &[usize]) -> String {
    let next = circle.iter().cycle().skip(1);
    let step = |(file, next): (&usize, &usize)| format!("{} -[{}]-> ", sources[*file].path, graph[*file][next]);
    let steps: String = circle.iter().zip(next).map(step).collect();
    steps + &sources[circle[0]].path
}

fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let source = |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
    circles(&files.iter().map(source).collect::<Vec<_>>())
}

#[test]
fn planted_circles_are_found() {
    let direct = planted(&[
        ("src/a.rs", "use crate::b::B;\npub struct A;"),
        ("src/b.rs", "pub struct B;\nfn f() { crate::a::A }"),
    ]);
    assert_eq!(direct, ["src/a.rs -[b::B]-> src/b.rs -[a::A]-> src/a.rs"]);
    let by_reexport = planted(&[
        ("src/a/mod.rs", "mod one;\nmod two;\npub use self::{one::One, two::Two};"),
        ("src/a/one.rs", "use super::Two;\npub struct One;"),
        ("src/a/two.rs", "use crate::{a, c::C};\npub struct Two(a::One);"),
        ("src/c.rs", "pub struct C;"),
    ]);
    assert_eq!(by_reexport, ["src/a/one.rs -[a::Two]-> src/a/two.rs -[a::One]-> src/a/one.rs"]);
    let of_three = planted(&[
        ("src/a.rs", "use super::b;\nfn f() { b::g() }"),
        ("src/b.rs", "mod c;\npub fn g() { c::h() }"),
        ("src/b/c.rs", "pub fn h() { super::super::a::f() }"),
    ]);
    assert_eq!(of_three.len(), 1, "{of_three:?}");
    let with_the_folder = planted(&[
        ("src/a/mod.rs", "mod one;\npub use self::one::One;\npub struct Shared(One);"),
        ("src/a/one.rs", "use super::Shared;\npub struct One;"),
    ]);
    assert_eq!(with_the_folder.len(), 1, "{with_the_folder:?}");
}

#[test]
fn no_circle_is_found_where_none_is() {
    let found = planted(&[
        ("src/lib.rs", "pub mod a;\npub use crate::a::One;"),
        ("src/a/mod.rs", "//! use crate::a::one::One;\nmod one;\nmod two;\npub use self::{one::One, two::Two};"),
        ("src/a/one.rs", "use super::Two;\npub struct One;"),
        ("src/a/two.rs", "pub struct Two; // super::One\n#[cfg(test)]\nmod tests {\n    use super::super::One;\n}"),
        ("src/main.rs", "fn main() { sexton::a::One }"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}
