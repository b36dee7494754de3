//! The code in the documents: what the tests run is what readers copy.

/// The blocks of a document whose fence has exactly this info string: ```` ```sql ````, or ```` ```python worker.py ````.
pub(crate) fn blocks(document: &str, info: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    text.split(&format!("```{info}\n")).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The only such block.
pub(crate) fn block(document: &str, info: &str) -> String {
    let mut found = blocks(document, info);
    assert_eq!(found.len(), 1, "the blocks `{info}` of {document}");
    found.remove(0)
}

/// The statements of a block of SQL.
pub(crate) fn statements(block: &str) -> impl Iterator<Item = &str> {
    block.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}

/// The cells of a row of a table.
pub(crate) fn cells(row: &str) -> Vec<&str> {
    let mut is_code = false;
    let is_border = |letter: char| {
        is_code ^= letter == '`';
        letter == '|' && !is_code
    };
    row.trim().trim_matches('|').split(is_border).map(str::trim).collect()
}
