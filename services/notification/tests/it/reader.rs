//! E-mails as another program reads them: Python's own parser.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

const READ: &str = r#"
import email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(message.walk())
def body(kind):
    part = message.get_body((kind,))
    return part.get_content() if part else None
print(json.dumps({
    "headers": [[name.lower(), str(value)] for name, value in message.items()],
    "type": message.get_content_type(),
    "parts": [part.get_content_type() for part in parts],
    "defects": [repr(defect) for part in parts for defect in part.defects],
    "text": body("plain"), "html": body("html"),
}))
"#;

#[derive(Debug)]
pub(crate) struct Email {
    json: Value,
}

impl Email {
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let mut python = Command::new("python3")
            .args(["-c", READ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(raw).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["defects"], serde_json::json!([]));
        Self { json }
    }

    /// The one header of that name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let headers = self.json["headers"].as_array().unwrap();
        let mut named = headers.iter().filter(|header| header[0] == name);
        let value = named.next().unwrap_or_else(|| panic!("no {name}"))[1]
            .as_str()
            .unwrap();
        assert!(named.next().is_none(), "more than one {name}");
        value
    }

    pub(crate) fn header_names(&self) -> Vec<&str> {
        let headers = self.json["headers"].as_array().unwrap();
        headers.iter().map(|header| header[0].as_str().unwrap()).collect()
    }

    pub(crate) fn parts(&self) -> &Value {
        &self.json["parts"]
    }

    pub(crate) fn text(&self) -> &str {
        self.json["text"].as_str().unwrap()
    }

    pub(crate) fn html(&self) -> &str {
        self.json["html"].as_str().unwrap()
    }
}
