//! Typed tasks: a name and the type of its payload belong together.

use serde::{Serialize, de::DeserializeOwned};
use sexton_entities::json_text::JsonText;

use crate::domain::{json::path_at, new_task::NewTask};

/// A kind of task whose payload has a type. The application that enqueues it and the daemon that executes it share the
/// implementation, so that the two cannot disagree.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sexton_client::Task;
///
/// #[derive(Serialize, Deserialize)]
/// struct Invoice {
///     number: i64,
/// }
///
/// struct SendInvoice;
///
/// impl Task for SendInvoice {
///     const NAME: &'static str = "send-invoice";
///     type Payload = Invoice;
/// }
///
/// let task = SendInvoice::task(Invoice { number: 7 }).unique_key("invoice-7");
/// assert_eq!(task.name, "send-invoice");
/// ```
pub trait Task {
    /// The name of its task definition.
    const NAME: &'static str;

    /// The type of its payload.
    type Payload: Serialize + DeserializeOwned;

    /// A new task with this payload. A payload that cannot be written as JSON is an error of the enqueue.
    fn task(payload: Self::Payload) -> NewTask {
        NewTask::new(Self::NAME).payload_of(&payload)
    }
}

/// Decodes a payload; an absent one as `null`.
///
/// # Errors
/// If it does not fit, in words for people, with the field.
#[doc(hidden)]
pub fn decode_payload<T: DeserializeOwned>(payload: Option<&JsonText>) -> Result<T, String> {
    let text = payload.map_or("null", JsonText::get);
    serde_json::from_str(text).map_err(|error| {
        let field = match path_at(text, error.line(), error.column()) {
            path if path.is_empty() => String::new(),
            path => format!("field `{path}`: "),
        };
        format!("the payload does not fit: {field}{error}")
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Order {
        customer: Customer,
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Customer {
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Line {
        price: u32,
    }

    fn problem(text: &str) -> String {
        decode_payload::<Order>(Some(&text.parse().expect("JSON"))).expect_err("it does not fit")
    }

    #[test]
    fn an_error_names_the_field() {
        let says = |text: &str, beginning: &str| {
            let problem = problem(text);
            assert!(problem.starts_with(&format!("the payload does not fit: {beginning}")), "{problem}");
        };
        says(r#"{"customer": {"name": 7}, "lines": []}"#, "field `customer.name`: invalid type: integer `7`");
        says(
            "{\"customer\": {\"name\": \"a\"},\n \"lines\": [{\"price\": 1}, {\"price\": \"x\"}]}",
            "field `lines[1].price`: invalid type: string",
        );
        says(r#"{"customer": {"nam": "ä, \"x\""}, "lines": []}"#, "field `customer`: missing field `name`");
        says(r#"{"lines": [{"price": -1}]}"#, "field `lines[0].price`: invalid value: integer `-1`");
        says(r#"{"lines": []}"#, "missing field `customer`");
        says("7", "invalid type: integer `7`");
        let absent = decode_payload::<Order>(None).expect_err("it is absent");
        assert!(absent.starts_with("the payload does not fit: invalid type: null"), "{absent}");
    }
}
