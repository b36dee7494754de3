//! Arrays of PostgreSQL as text parameters: the server reads them with less work than JSON.

use std::fmt::{Display, Write as _};

use sea_orm::Value;

/// An array of numbers or booleans, where None is NULL.
pub(super) fn plain<T: Display>(items: impl IntoIterator<Item = Option<T>>) -> Value {
    array(items.into_iter(), |text, item| {
        let _ = write!(text, "{item}");
    })
}

/// An array of texts, where None is NULL.
pub(super) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = Option<T>>) -> Value {
    array(items.into_iter(), |text, item| {
        text.push('"');
        for letter in item.as_ref().chars() {
            if matches!(letter, '"' | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
        text.push('"');
    })
}

fn array<T>(items: impl Iterator<Item = Option<T>>, add: impl Fn(&mut String, T)) -> Value {
    let mut text = String::with_capacity(items.size_hint().0 * 12 + 2);
    text += "{";
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        match item {
            Some(item) => add(&mut text, item),
            None => text.push_str("NULL"),
        }
    }
    text.push('}');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_as_postgresql_reads_them() {
        assert_eq!(plain([Some(1), None, Some(-3)]), Value::from("{1,NULL,-3}"));
        assert_eq!(plain([Some(true), Some(false)]), Value::from("{true,false}"));
        let texts = texts([Some("a, b"), None, Some("NULL"), Some(""), Some("say \"x\\y\"")]);
        assert_eq!(texts, Value::from(r#"{"a, b",NULL,"NULL","","say \"x\\y\""}"#));
    }
}
