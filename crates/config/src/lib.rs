//! Settings: the service's `config.default.toml`, then a file, then the environment.
//!
//! Every key must stand in the default file, which thereby documents all of them with unit and
//! default. The key `database_url` is set by the environment variable `DATABASE_URL`, the key
//! `lease_seconds` of the table `[saga]` by `SAGA__LEASE_SECONDS`. `FERROCART_CONFIG` names a TOML
//! file to read between the two. A setting that does not exist is an error when it stands in the
//! file; the environment is full of other programs' variables and is read only for known keys.

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use serde::de::DeserializeOwned;

pub use secrecy::{ExposeSecret, SecretString};

/// A setting that is missing, unknown or wrong; names the key and where its value came from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the default settings of this service are not valid TOML: {0}")]
    Defaults(toml::de::Error),
    #[error("configuration: {0}")]
    Invalid(Box<figment::Error>),
    #[error("configuration file {path}: {reason}")]
    File { path: String, reason: String },
    #[error("configuration: {key}: {reason}")]
    Rejected { key: &'static str, reason: String },
}

impl ConfigError {
    /// For a service's own `validate`: a value of the right type that makes no sense.
    pub fn rejected(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Rejected {
            key,
            reason: reason.into(),
        }
    }
}

/// Reads the settings of a service from its defaults, the file that `FERROCART_CONFIG` names and
/// the environment of this process.
pub fn load<T: DeserializeOwned>(defaults: &str) -> Result<T, ConfigError> {
    load_from(defaults, read_environment)
}

/// Like [`load`], with the environment given by the caller.
pub fn load_from<T: DeserializeOwned>(
    defaults: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<T, ConfigError> {
    let table: toml::Table = toml::from_str(defaults).map_err(ConfigError::Defaults)?;
    let mut figment = Figment::new().merge(Toml::string(defaults));
    if let Some(path) = environment("FERROCART_CONFIG") {
        let file = read_file(&path, &table)?;
        figment = figment.merge(Serialized::defaults(file));
    }
    let overrides = overrides(&table, "", &environment);
    figment
        .merge(Serialized::defaults(overrides))
        .extract()
        .map_err(|error| ConfigError::Invalid(Box::new(error)))
}

/// Settings structs are put together with `#[serde(flatten)]`, which cannot refuse unknown fields: the
/// default file, in which every key stands, is asked instead.
fn read_file(path: &str, defaults: &toml::Table) -> Result<toml::Table, ConfigError> {
    let failed = |reason: String| ConfigError::File {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
    match unknown_key(&table, defaults, "") {
        Some(key) => Err(failed(format!("`{key}` is not a setting of this service"))),
        None => Ok(table),
    }
}

fn unknown_key(table: &toml::Table, defaults: &toml::Table, prefix: &str) -> Option<String> {
    table
        .iter()
        .find_map(|(key, value)| match (value, defaults.get(key)) {
            (_, None) => Some(format!("{prefix}{key}")),
            (toml::Value::Table(inner), Some(toml::Value::Table(known))) => {
                unknown_key(inner, known, &format!("{prefix}{key}."))
            }
            _ => None,
        })
}

fn overrides(table: &toml::Table, prefix: &str, environment: &impl Fn(&str) -> Option<String>) -> Dict {
    let mut found: Map<String, Value> = Map::new();
    for (key, default) in table {
        let name = format!("{prefix}{}", key.to_uppercase());
        if let toml::Value::Table(inner) = default {
            let inner = overrides(inner, &format!("{name}__"), environment);
            if !inner.is_empty() {
                found.insert(key.clone(), Value::from(inner));
            }
        } else if let Some(text) = environment(&name) {
            found.insert(key.clone(), typed(text, default));
        }
    }
    found
}

/// The default's type says how to read the text; a password of digits stays a string.
fn typed(text: String, default: &toml::Value) -> Value {
    match default {
        toml::Value::Integer(_) => text
            .parse::<i64>()
            .map_or_else(|_| Value::from(text), Value::from),
        toml::Value::Boolean(_) => text
            .parse::<bool>()
            .map_or_else(|_| Value::from(text), Value::from),
        toml::Value::Float(_) => text
            .parse::<f64>()
            .map_or_else(|_| Value::from(text), Value::from),
        // Its items are read as the default's are; those of an empty one are strings.
        toml::Value::Array(defaults) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let item = |item: &str| match defaults.first() {
                Some(like) => typed(item.to_owned(), like),
                None => Value::from(item),
            };
            Value::from(items.map(item).collect::<Vec<_>>())
        }
        _ => Value::from(text),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn read_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde::Deserialize;

    use super::*;

    const DEFAULTS: &str =
        "port = 8085\npassword = \"\"\ntags = []\nretry_seconds = [1]\n[saga]\nlease_seconds = 10\n";

    #[derive(Debug, Deserialize)]
    struct Settings {
        port: u16,
        password: SecretString,
        tags: Vec<String>,
        retry_seconds: Vec<u32>,
        saga: Saga,
    }

    #[derive(Debug, Deserialize)]
    struct Saga {
        lease_seconds: u32,
    }

    fn read(environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        load_from(DEFAULTS, |name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_wins_over_the_defaults() {
        let settings = read(&[
            ("SAGA__LEASE_SECONDS", "30"),
            ("PASSWORD", "123"),
            ("TAGS", "a, b"),
            ("RETRY_SECONDS", "5, 30"),
        ])
        .unwrap();
        assert_eq!(settings.port, 8085);
        assert_eq!(settings.saga.lease_seconds, 30);
        assert_eq!(settings.password.expose_secret(), "123");
        assert_eq!(settings.tags, ["a", "b"]);
        assert_eq!(settings.retry_seconds, [5, 30]);
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        let error = read(&[("PORT", "eighty")]).unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
    }

    #[test]
    fn an_unknown_key_in_the_file_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "prot = 1").unwrap();
        let path = file.path().to_str().unwrap();
        let error = read(&[("FERROCART_CONFIG", path)]).unwrap_err().to_string();
        assert!(error.contains("prot"), "{error}");
    }

    #[test]
    fn secrets_stay_out_of_debug() {
        let settings = read(&[("PASSWORD", "hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
