//! A product as a line of JSON.

use ferrocart_http_kit::FieldError;
use garde::Validate;

use super::{Item, LINE_BYTES_MAX};
use crate::domain::{Content, Mark};
use crate::error::field_errors;

/// The product on this line, unless it is blank.
pub(super) fn item(line: Option<&[u8]>, end: Mark) -> Option<Item> {
    if line.is_some_and(|line| line.trim_ascii().is_empty()) {
        return None;
    }
    let content = match line {
        Some(line) => parse(line),
        None => Err(fault("line", format!("is longer than {LINE_BYTES_MAX} bytes"))),
    };
    Some(Item {
        line: end.line,
        end,
        bytes: line.map_or(0, <[u8]>::len),
        content,
        rows: Vec::new(),
    })
}

fn fault(field: &str, reason: String) -> Vec<FieldError> {
    vec![FieldError {
        field: field.to_owned(),
        reason,
    }]
}

/// A line as JSON, or what is wrong with it.
fn parse(line: &[u8]) -> Result<Content, Vec<FieldError>> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let content: Content = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let reason = error.inner().to_string();
        // Of a line that is no JSON the path says only how far it was read.
        let field = if error.inner().is_data() {
            field_at_fault(&error.path().to_string(), &reason)
        } else {
            "line".to_owned()
        };
        fault(&field, reason)
    })?;
    deserializer
        .end()
        .map_err(|error| fault("line", error.to_string()))?;
    content.validate().map_err(|report| field_errors(&report))?;
    Ok(content)
}

/// serde names a missing or unknown field in its text alone, and gives the path of what holds it.
fn field_at_fault(path: &str, reason: &str) -> String {
    let parent = path.trim_end_matches(['?', '.']);
    let mut parts = reason.split('`');
    let about = parts.next().unwrap_or_default();
    let named = (about.starts_with("missing field") || about.starts_with("unknown field"))
        .then(|| parts.next())
        .flatten();
    match (parent, named) {
        ("", None) => "line".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (parent, Some(name)) if !parent.ends_with(name) => format!("{parent}.{name}"),
        (parent, _) => parent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(handle: &str, sku: &str) -> serde_json::Value {
        json!({"handle": handle, "title": "T", "brand": "B", "category": "c",
               "variants": [{"sku": sku, "price": {"amount_minor": 1, "currency": "USD"}}]})
    }

    fn refused(value: &serde_json::Value) -> String {
        parse(value.to_string().as_bytes()).unwrap_err()[0].field.clone()
    }

    #[test]
    fn faults_name_their_field() {
        assert!(parse(line("a", "A").to_string().as_bytes()).is_ok());
        assert_eq!(parse(b"{\"handle\":").unwrap_err()[0].field, "line");
        assert_eq!(parse(b"[]").unwrap_err()[0].field, "line");
        assert_eq!(refused(&json!({})), "handle");
        let mut wrong = line("a", "A");
        wrong["variants"][0]["price"]["amount_minor"] = json!("12");
        assert_eq!(refused(&wrong), "variants[0].price.amount_minor");
        let mut wrong = line("a", "A");
        wrong["colour"] = json!("red");
        assert_eq!(refused(&wrong), "colour");
        assert_eq!(refused(&line("A b", "A")), "handle");
    }
}
