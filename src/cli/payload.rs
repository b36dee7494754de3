//! `--payload`: JSON on the command line, in a file, or from standard input.

use std::io::Read as _;

use anyhow::Context as _;
use sexton_entities::json_text::JsonText;

/// What `--payload` gives, as it is written: `@FILE` is the text of that file, `-` standard input. No JSON begins so.
pub(super) fn text(written: &str) -> anyhow::Result<String> {
    match written.strip_prefix('@') {
        Some("") => anyhow::bail!("--payload @: the name of the file is missing"),
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("--payload {written}")),
        None if written == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("--payload -: standard input")?;
            Ok(text)
        }
        None => Ok(written.to_owned()),
    }
}

/// The payload; none without the option. What comes from a file is not repeated in the error.
pub(super) fn json(option: Option<&str>) -> anyhow::Result<Option<JsonText>> {
    let Some(written) = option else { return Ok(None) };
    let text = text(written)?;
    let parsed = text.trim().parse().with_context(|| format!("the payload is not JSON: {written}"))?;
    Ok(Some(parsed))
}
