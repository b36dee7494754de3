//! The templates of a mail. A template sees the values that it is given, and nothing else: no file, no other template.

use std::{fmt, path::PathBuf, sync::Arc};

use minijinja::{
    AutoEscape, Environment, Error, UndefinedBehavior,
    value::{Serde, Value as TemplateValue},
};
use serde_json::Value;

/// The work that one template may cost, in instructions: a loop in it ends.
const FUEL: u64 = 500_000;
/// The longest subject, and the longest text, in bytes.
const MAX_SUBJECT: usize = 500;
const MAX_TEXT: usize = 4 * 1024 * 1024;
const SUBJECT: &str = "subject";
const TEXT: &str = "text";
const HTML: &str = "html";

/// A template as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSource {
    /// The setting: `subject`, `text` or `html`.
    pub part: &'static str,
    /// The text.
    pub text: String,
    /// The file that it stands in; none if it stands in the configuration.
    pub file: Option<PathBuf>,
}

/// The templates of one mail, ready to be filled.
#[derive(Clone)]
pub struct Templates {
    sources: Vec<TemplateSource>,
    environment: Arc<Environment<'static>>,
}

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailText {
    /// The subject, on one line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML, if there is a template for it.
    pub html: Option<String>,
}

impl Templates {
    /// Reads templates: a subject, a text, and HTML if that is wanted.
    ///
    /// # Errors
    /// For each template that cannot be read, its setting and the reason for people.
    pub fn new(sources: Vec<TemplateSource>) -> Result<Self, Vec<(&'static str, String)>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|part| if part == HTML { AutoEscape::Html } else { AutoEscape::None });
        let mut faults = Vec::new();
        for source in &sources {
            if let Err(error) = environment.add_template_owned(source.part, source.text.clone()) {
                faults.push((source.part, in_words(&error)));
            }
        }
        if faults.is_empty() { Ok(Self { sources, environment: Arc::new(environment) }) } else { Err(faults) }
    }

    /// The templates as they were written.
    pub fn sources(&self) -> impl Iterator<Item = &TemplateSource> {
        self.sources.iter()
    }

    /// Fills the templates. The fields of a payload that is an object are variables; `payload` is the whole of it, and `task`
    /// the number, the name and the attempt of the task.
    ///
    /// # Errors
    /// If a template prints a value that is not there, is too long or does not end; for people.
    pub fn fill(&self, payload: &Value, task: &Value) -> Result<MailText, String> {
        let mut values = payload.as_object().cloned().unwrap_or_default();
        values.insert("payload".to_owned(), payload.clone());
        values.insert("task".to_owned(), task.clone());
        let values = TemplateValue::from(Serde(&values));
        let fill = |part: &'static str, most: usize| -> Result<Option<String>, String> {
            if !self.sources.iter().any(|source| source.part == part) {
                return Ok(None);
            }
            let filled = self.environment.get_template(part).and_then(|template| template.render(&values));
            let text = filled.map_err(|error| format!("the template `{part}`: {}", in_words(&error)))?;
            match text.len() > most {
                true => Err(format!("the template `{part}` gives {} bytes, and {most} are possible", text.len())),
                false => Ok(Some(text)),
            }
        };
        let subject = fill(SUBJECT, MAX_SUBJECT)?.unwrap_or_default();
        // A header is one line, whatever the payload has.
        let words: Vec<&str> = subject.split(|letter: char| letter.is_control() || letter.is_whitespace()).collect();
        let subject = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        Ok(MailText { subject, text: fill(TEXT, MAX_TEXT)?.unwrap_or_default(), html: fill(HTML, MAX_TEXT)? })
    }
}

/// The kind of an error, its line and what is known besides.
fn in_words(error: &Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{line}{}{detail}", error.kind())
}

impl PartialEq for Templates {
    fn eq(&self, other: &Self) -> bool {
        self.sources == other.sources
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.sources).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn templates(parts: &[(&'static str, &str)]) -> Result<Templates, Vec<(&'static str, String)>> {
        let source =
            |(part, text): &(&'static str, &str)| TemplateSource { part, text: (*text).to_owned(), file: None };
        Templates::new(parts.iter().map(source).collect())
    }

    fn filled(subject: &str, text: &str, html: &str, payload: Value) -> Result<MailText, String> {
        let parts = [("subject", subject), ("text", text), ("html", html)];
        templates(&parts).expect("templates").fill(&payload, &json!({"id": 7, "name": "receipt", "attempt": 1}))
    }

    #[test]
    fn values_come_from_the_payload_and_are_escaped_in_html_only() {
        let payload = json!({"order": {"id": 12}, "name": "<b>O'Neil</b>\r\nBcc: all@evil.example"});
        let mail =
            filled("Order {{ order.id }} of {{ name }}", "{{ name }} {{ task.id }}", "<p>{{ name }}</p>", payload);
        let mail = mail.expect("a mail");
        assert_eq!(mail.subject, "Order 12 of <b>O'Neil</b> Bcc: all@evil.example", "one line");
        assert!(mail.text.starts_with("<b>O'Neil</b>") && mail.text.ends_with(" 7"));
        let html = mail.html.expect("html");
        assert!(html.starts_with("<p>&lt;b&gt;O") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_value_that_is_missing_is_an_error_and_may_be_asked_for() {
        let missing = filled("x", "line\n{{ order.total }}", "", json!({"order": {}})).expect_err("it is missing");
        assert!(missing.starts_with("the template `text`: line 2: undefined value"), "{missing}");
        let asked = filled("x", "{% if coupon %}{{ coupon }}{% endif %}{{ other|default('-') }}", "", json!({}));
        assert_eq!(asked.expect("a mail").text, "-");
    }

    #[test]
    fn a_template_that_does_not_end_or_is_too_long_is_given_up() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(filled("x", endless, "", Value::Null).is_err());
        assert!(filled("{{ payload }}", "x", "", json!("y".repeat(501))).expect_err("long").contains("501 bytes"));
    }

    #[test]
    fn a_mistake_names_its_template_and_line() {
        let faults = templates(&[("subject", "{{ x"), ("text", "a\n{% if %}")]).expect_err("mistakes");
        assert_eq!(faults.iter().map(|(part, _)| *part).collect::<Vec<_>>(), ["subject", "text"]);
        assert!(faults[1].1.starts_with("line 2: "), "{faults:?}");
        assert!(templates(&[("text", "{% include 'other' %}")]).is_err(), "a mail has no other template");
    }
}
