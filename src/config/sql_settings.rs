//! Settings of statements on an application's database: their text, their values and where they go.

use super::{secret, section::Section};
use crate::domain::{
    event::mapping::PayloadMapping, notice::channel::Secret, sql_text::SqlText, sweep::SqlBindings, text::database_url,
};

/// Where the statements go, as settings.
pub(super) const URL: [&str; 3] = ["url", "url_file", "url_credential"];

/// Reads the database of the application; none for the one of the daemon.
pub(super) fn url(section: &mut Section<'_>) -> Option<Secret> {
    let given = URL.into_iter().find(|key| section.node(key).is_some());
    let url = secret::read(section, URL)?;
    if let Some((key, Err(problem))) = given.map(|key| (key, database_url::check(&url))) {
        section.refuse(key, problem);
    }
    Some(Secret(url))
}

/// Reads a mapping of a payload; a place about an event is a mistake.
pub(super) fn mapping(section: &mut Section<'_>, key: &'static str, max: u64) -> Option<PayloadMapping> {
    let written = section.json(key, max)?;
    if written.to_string().contains("\"$event") {
        section.refuse(key, "`$event…` is for triggers: write places as `$.name`");
        return None;
    }
    PayloadMapping::read(written).map_err(|problem| section.refuse(key, problem)).ok()
}

/// Reads `bind`, which has a value for each placeholder of these statements, and nothing else. Those of `always` have a value
/// without it.
pub(super) fn bindings(section: &mut Section<'_>, max: u64, statements: &[SqlText], always: &[&str]) -> SqlBindings {
    let mut used: Vec<&str> = statements.iter().flat_map(SqlText::placeholders).collect();
    used.sort_unstable();
    used.dedup();
    used.retain(|name| !always.contains(name));
    let bound = mapping(section, "bind", max);
    let names: Vec<String> = match bound.as_ref().map(PayloadMapping::written) {
        Some(serde_json::Value::Object(values)) => values.keys().cloned().collect(),
        Some(_) => {
            section.refuse("bind", "expected a table with a value for each placeholder, such as { days = 3 }");
            return SqlBindings::default();
        }
        None => Vec::new(),
    };
    let is_readable = bound.is_some() || section.node("bind").is_none();
    for missing in used.iter().filter(|name| is_readable && !names.iter().any(|known| known == *name)) {
        section.refuse("bind", format!("the placeholder `:{missing}` has no value: add it to `bind`"));
    }
    for unused in names.iter().filter(|name| !used.contains(&name.as_str())) {
        section.refuse(
            "bind",
            match always.contains(&unused.as_str()) {
                true => format!("`:{unused}` has a value already, which is about the attempt: use another name"),
                false => format!("there is no placeholder `:{unused}` in the statement"),
            },
        );
    }
    SqlBindings(bound)
}
