//! `payload_schema` of `[task.NAME]`: a table, or the name of a JSON file.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;

use super::{
    beside::beside,
    section::{Section, as_json},
    tree::TreeValue,
};
use crate::domain::task::payload_schema::PayloadSchema;

const SETTING: &str = "payload_schema";

/// Reads the schema; none if it is broken, which is a mistake.
pub(super) fn read(section: &mut Section<'_>) -> Option<Arc<PayloadSchema>> {
    let node = section.node(SETTING)?;
    let (document, file) = match &node.item {
        TreeValue::Table(_) => (as_json(node), None),
        TreeValue::Text(name) => {
            let path = beside(&node.location, name).map_err(|problem| section.refuse(SETTING, problem)).ok()?;
            let document = load(&path).map_err(|problem| section.refuse(SETTING, problem)).ok()?;
            (document, Some(path))
        }
        other => {
            let problem = format!("expected a JSON Schema as a table, or the name of its file, found {}", other.kind());
            section.refuse(SETTING, problem);
            return None;
        }
    };
    let schema = PayloadSchema::new(document, file.clone());
    let read = schema.map_err(|broken| {
        let path: Vec<&str> = broken.path.iter().map(String::as_str).collect();
        let within = path.join("/");
        match &file {
            Some(file) => {
                let place = if within.is_empty() { String::new() } else { format!(" at /{within}") };
                section.refuse(SETTING, format!("{}{place}: {}", file.display(), broken.problem));
            }
            None => {
                let setting = std::iter::once(SETTING).chain(path.iter().copied()).collect::<Vec<_>>().join(".");
                let setting = section.setting(&setting);
                section.findings.add(node.location_of(&path), setting, broken.problem);
            }
        }
    });
    read.ok().map(Arc::new)
}

fn load(path: &PathBuf) -> Result<Value, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{shown} is no JSON: {error}"))
}

/// Checks the payload of a schedule by the schema of its task.
pub(super) fn check(section: &mut Section<'_>, schema: Option<&Arc<PayloadSchema>>, payload: Option<&Value>) {
    let payload = payload.cloned().map(Into::into);
    if let Some(Err(problem)) = schema.map(|schema| schema.check(payload.as_ref())) {
        section.refuse("payload", problem);
    }
}
