//! A notice as HTML: the same words as its text. It loads nothing, and has no colours of its own, so that it is readable on a
//! dark background as well.

use chrono_tz::Tz;
use sexton_entities::states::NoticeAbout;

use super::{Facts, block::Block, page::pages, text::subject};

/// Where the values of a table begin.
const LABEL: &str = "text-align:left;vertical-align:top;font-weight:normal;padding:0 1em 0 0;white-space:nowrap";
/// Output and commands keep their spaces, and wrap where they are too long.
const QUOTE: &str =
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 1em;padding-left:0.8em;border-left:2px solid";

/// The body as HTML.
pub fn html(about: NoticeAbout, facts: &Facts, zone: Tz) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;line-height:1.4\">\n",
        escaped(&subject(about, facts))
    );
    pages(about, facts, zone).iter().for_each(|block| page.push_str(&shown(block)));
    page + "</body>\n</html>\n"
}

fn shown(block: &Block) -> String {
    match block {
        Block::Sentence(text) => format!("<p>{}</p>\n", escaped(text)),
        Block::Fields(fields) => {
            let row = |(label, value): &(&str, String)| {
                format!("<tr><th style=\"{LABEL}\">{label}:</th>\n<td>{}</td></tr>\n", escaped(value))
            };
            table(fields.iter().map(row))
        }
        Block::List(items) => {
            let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
            format!("<ul>\n{items}</ul>\n")
        }
        Block::Quote(title, lines) | Block::Stream(title, lines) | Block::Commands(title, lines) => {
            let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
            format!("<p>{}</p>\n<pre style=\"{QUOTE}\">{}</pre>\n", escaped(title), lines.join("\n"))
        }
        Block::Problems(title, problems) => {
            let row = |(number, what, how_long): &(i64, String, String)| {
                let (what, how_long) = (escaped(what), escaped(how_long));
                format!("<tr><th style=\"{LABEL}\">{number}</th>\n<td>{what}<br>\n{how_long}</td></tr>\n")
            };
            format!("<p>{}</p>\n{}", escaped(title), table(problems.iter().map(row)))
        }
    }
}

fn table(rows: impl Iterator<Item = String>) -> String {
    format!("<table style=\"border-collapse:collapse;margin:0 0 1em\">\n{}</table>\n", rows.collect::<String>())
}

/// A text in which no letter means anything to HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use sexton_entities::problem;

    use super::{
        super::{ListedProblem, digest::ProblemProgress, tests::problem, text::body},
        *,
    };

    fn facts() -> Facts {
        let hostile = problem::Model {
            name: "<script>alert(1)</script>".to_owned(),
            what: "no \"disk\" & 'no' <img src=http://example.org/x>\u{1b}[31m".to_owned(),
            ..problem()
        };
        Facts {
            stderr: vec!["a <b> & c".to_owned()],
            more: vec!["</ul><a href=http://example.org>".to_owned()],
            listed: vec![ListedProblem::new(ProblemProgress::New, &hostile)],
            more_count: 2,
            ..Facts::of(&hostile)
        }
    }

    #[test]
    fn nothing_from_outside_is_markup_and_nothing_is_loaded() {
        for about in NoticeAbout::ALL {
            let page = html(*about, &facts(), Tz::UTC);
            let tags: Vec<&str> =
                page.split('<').skip(1).map(|rest| rest.split(['>', ' ']).next().unwrap_or("")).collect();
            let known = [
                "!DOCTYPE", "html", "/html", "head", "/head", "meta", "title", "/title", "body", "/body", "p", "/p",
                "table", "/table", "tr", "/tr", "th", "/th", "td", "/td", "ul", "/ul", "li", "/li", "pre", "/pre",
                "br",
            ];
            assert!(tags.iter().all(|tag| known.contains(tag)), "{about}: {tags:?}");
            for loads in ["src=\"", "href=\"", "url(", "color:", "\u{1b}"] {
                assert!(!page.contains(loads), "{about}: {loads} in {page}");
            }
            assert!(page.contains("content=\"light dark\""));
        }
    }

    #[test]
    fn the_words_are_those_of_the_text() {
        for about in NoticeAbout::ALL {
            let plain = html(*about, &facts(), Tz::UTC)
                .replace("<br>", " ")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&");
            for word in body(*about, &facts(), Tz::UTC).split_whitespace().filter(|word| *word != "-") {
                assert!(plain.contains(word.trim_end_matches('…')), "{about}: `{word}` is not in {plain}");
            }
        }
    }
}
