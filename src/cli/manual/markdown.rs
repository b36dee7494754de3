//! Turns Markdown into roff: as much of it as the documents use.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// The part of a page below a heading, such as `## Signals`, up to the next heading of its level or above.
pub(super) fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let level = level_of(heading)?;
    let (mut start, mut at, mut is_code) = (None, 0, false);
    for line in page.split_inclusive('\n') {
        is_code ^= line.starts_with("```");
        let is_end = !is_code && level_of(line).is_some_and(|other| other <= level);
        match start {
            None if is_end && line.trim_end() == heading => start = Some(at + line.len()),
            Some(start) if is_end => return Some(&page[start..at]),
            _ => {}
        }
        at += line.len();
    }
    start.map(|start| &page[start..])
}

/// The level of a heading.
fn level_of(line: &str) -> Option<usize> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    (level > 0 && line[level..].starts_with(' ')).then_some(level)
}

/// Appends a text. Headings of the second level become sections, those below them subsections; a heading of the first
/// level is left out.
pub(super) fn append(roff: &mut Roff, text: &str) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            append_code(roff, &code);
        } else if let Some(level) = level_of(line) {
            let heading = line[level..].trim();
            match level {
                1 => &mut *roff,
                2 => roff.control("SH", [heading.to_uppercase().as_str()]),
                _ => roff.control("SS", [heading]),
            };
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            append_table(roff, &rows);
        } else if let Some((mark, first)) = item(line) {
            let mut words = first.to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with("  ")) {
                words = format!("{words} {}", more.trim());
            }
            roff.control("IP", [mark, "4"]);
            roff.text(inlines(&words));
        } else if !line.is_empty() {
            let mut words = line.to_owned();
            while let Some(more) = lines.next_if(|line| is_prose(line)) {
                words = format!("{words} {more}");
            }
            roff.control("PP", []);
            roff.text(inlines(&words));
        }
    }
}

fn is_prose(line: &str) -> bool {
    !line.is_empty()
        && !line.starts_with("```")
        && !line.starts_with('|')
        && level_of(line).is_none()
        && item(line).is_none()
}

/// The mark and the text of a list's item.
fn item(line: &str) -> Option<(&str, &str)> {
    if let Some(text) = line.strip_prefix("* ") {
        return Some(("\\(bu", text));
    }
    let (number, text) = line.split_once(". ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((number, text))
}

fn append_code(roff: &mut Roff, lines: &[&str]) {
    roff.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in lines {
        roff.text([roman(*line)]);
    }
    roff.control("fi", []).control("RE", []);
}

fn cells(row: &str) -> Vec<&str> {
    let mut is_code = false;
    let is_border = |letter: char| {
        is_code ^= letter == '`';
        letter == '|' && !is_code
    };
    let row = row.trim();
    row.strip_prefix('|').and_then(|row| row.strip_suffix('|')).unwrap_or(row).split(is_border).map(str::trim).collect()
}

/// Appends a table as a list: the first cell of a row is its head, the others are below it.
fn append_table(roff: &mut Roff, rows: &[Vec<&str>]) {
    let [titles, _, rows @ ..] = rows else { return };
    for row in rows {
        roff.control("TP", []);
        let [head, rest @ ..] = row.as_slice() else { continue };
        roff.text(inlines(head));
        let said: Vec<(&str, &str)> = titles.iter().copied().skip(1).zip(rest.iter().copied()).collect();
        if let [("default", default), (_, meaning)] = said[..] {
            roff.text(inlines(meaning));
            if !default.is_empty() {
                roff.control("br", []).text(inlines(&format!("Default: {default}")));
            }
            continue;
        }
        for (at, (title, text)) in said.iter().enumerate() {
            if at > 0 {
                roff.control("br", []);
            }
            // With two columns, the title says no more than the heading of the section.
            let is_only = said.len() == 1;
            roff.text(if is_only { inlines(text) } else { inlines(&format!("{title}: {text}")) });
        }
    }
}

/// The words of a line: code and emphasis are bold, and of a link its text remains.
fn inlines(text: &str) -> Vec<Inline> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, marked) = rest.split_at(at);
        let part = if let Some(code) = between(marked, "`", "`") {
            Some((vec![bold(code)], code.len() + 2))
        } else if let Some(strong) = between(marked, "**", "**") {
            Some((vec![bold(strong.replace('`', ""))], strong.len() + 4))
        } else if let Some(words) = between(marked, "*", "*").filter(|words| !words.starts_with(' ')) {
            Some((vec![bold(words)], words.len() + 2))
        } else {
            link(marked).map(|(words, length)| (inlines(words), length))
        };
        // A mark that begins nothing is a character.
        let (part, length) = part.unwrap_or_else(|| (vec![roman(&marked[..1])], 1));
        found.push(roman(before));
        found.extend(part);
        rest = &marked[length..];
    }
    found.push(roman(rest));
    found
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let inside = text.strip_prefix(open)?;
    inside.find(close).filter(|end| *end > 0).map(|end| &inside[..end])
}

/// The words of a link, and the length of all of it.
fn link(text: &str) -> Option<(&str, usize)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let end = rest.find(')')?;
    (!words.contains(']')).then_some((words, words.len() + end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roff(text: &str) -> String {
        let mut roff = Roff::new();
        append(&mut roff, text);
        roff.to_roff()
    }

    #[test]
    fn a_section_ends_at_the_next_heading_of_its_level() {
        let page = "# a\nx\n## b\ny\n```\n# no heading\n```\n### c\nz\n## d\n";
        assert_eq!(section(page, "## b"), Some("y\n```\n# no heading\n```\n### c\nz\n"));
        assert_eq!(section(page, "## d"), Some(""));
        assert_eq!(section(page, "## e"), None);
    }

    #[test]
    fn what_the_documents_use_is_understood() {
        assert_eq!(
            roff("## [log]\nthe `level` of\n**all** [logs](a.md)\n"),
            ".SH [LOG]\n.PP\nthe \\fBlevel\\fR of \\fBall\\fR logs\n"
        );
        assert_eq!(roff("* one\n  more\n* two\n"), ".IP \\(bu 4\none more\n.IP \\(bu 4\ntwo\n");
        assert_eq!(roff("```sh\n.a 'b'\n```\n"), ".PP\n.RS 4\n.nf\n\\&.a 'b'\n.fi\n.RE\n");
        assert_eq!(roff("| code | meaning |\n|---|---|\n| 0 | done |\n"), ".TP\n0\ndone\n");
        let settings =
            "| setting | default | meaning |\n|---|---|---|\n| `dir` | | where |\n| `n` | `5s` | how long |\n";
        assert_eq!(roff(settings), ".TP\n\\fBdir\\fR\nwhere\n.TP\n\\fBn\\fR\nhow long\n.br\nDefault: \\fB5s\\fR\n");
        assert_eq!(roff("a * b [c]\n"), ".PP\na * b [c]\n");
    }
}
