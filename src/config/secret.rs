//! Secrets: in the configuration, in a file, or in a credential of systemd.

use std::path::Path;

use super::section::Section;
use crate::domain::text::redact::redacted;

/// Reads a setting that may be given in three ways, by these names: as text, as a file, as a credential. More than one of
/// them is a mistake.
pub(super) fn read(section: &mut Section<'_>, keys: [&'static str; 3]) -> Option<String> {
    let [plain, file, name] = keys;
    let from_file = section.text(file).and_then(|path| match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            // A URL instead of a file name may contain a password.
            let shown = if path.contains("://") { redacted(&path) } else { path };
            section.refuse(file, format!("cannot read {shown}: {error}"));
            None
        }
    });
    let from_credential = section
        .text(name)
        .and_then(|credential_name| credential(&credential_name).map_err(|problem| section.refuse(name, problem)).ok());
    let text = section.text(plain);
    let given: Vec<&str> = keys.into_iter().filter(|key| section.node(key).is_some()).collect();
    if let Some(second) = given.get(1) {
        section.refuse(second, format!("only one of {plain}, {file} and {name} can be set"));
    }
    text.or(from_file).or(from_credential)
}

/// Reads a credential that systemd provides (systemd.exec(5), LoadCredential=).
pub(super) fn credential(name: &str) -> Result<String, String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| format!("$CREDENTIALS_DIRECTORY is not set: does the unit have `LoadCredential={name}:…`?"))?;
    let path = Path::new(&folder).join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}
