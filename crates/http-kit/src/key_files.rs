//! Keys in files that are replaced while the process runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// How often the files are looked at, when somebody asks for what is in them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often when something is asked for that was not in them.
const MISSED_EVERY: Duration = Duration::from_millis(50);

type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync>;

/// What is in some files, read again when it has changed. They are compared by their content, so that it does not matter
/// how they are replaced, and looked at by whoever asks, so that nothing has to be told. Files that make no sense, as while
/// they are being written, leave all as it was.
pub struct KeyFiles<T> {
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// What the files held when they were read last, of use or not.
    content: Vec<Vec<u8>>,
    looked_at: Instant,
}

impl<T> KeyFiles<T> {
    pub fn load(
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let content = read(&paths)?;
        let current = parse(&content).with_context(|| names(&paths))?;
        Ok(Self {
            paths,
            parse: Box::new(parse),
            current: RwLock::new(Arc::new(current)),
            seen: Mutex::new(Seen {
                content,
                looked_at: Instant::now(),
            }),
        })
    }

    /// As of a second ago at most.
    pub fn get(&self) -> Arc<T> {
        self.look(LOOK_EVERY)
    }

    /// As it is now, for a key that was not there; who sends unknown keys makes nobody read files all the time.
    pub fn get_anew(&self) -> Arc<T> {
        self.look(MISSED_EVERY)
    }

    #[cfg(test)]
    pub(crate) fn look_now(&self) {
        self.look(Duration::ZERO);
    }

    fn look(&self, every: Duration) -> Arc<T> {
        // One looks; the others go on with what there is.
        if let Ok(mut seen) = self.seen.try_lock()
            && seen.looked_at.elapsed() >= every
        {
            seen.looked_at = Instant::now();
            if let Err(error) = self.read_anew(&mut seen) {
                tracing::warn!(
                    files = names(&self.paths),
                    error = format!("{error:#}"),
                    "key files have changed and make no sense: the keys stay as they were"
                );
            }
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn read_anew(&self, seen: &mut Seen) -> anyhow::Result<()> {
        let content = read(&self.paths)?;
        if content == seen.content {
            return Ok(());
        }
        // Remembered also when it is of no use: it is complained about once.
        seen.content.clone_from(&content);
        let fresh = (self.parse)(&content)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        metrics::counter!("key_files_reloaded_total").increment(1);
        tracing::info!(files = names(&self.paths), "keys were read anew");
        Ok(())
    }
}

impl<T> std::fmt::Debug for KeyFiles<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFiles")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    paths
        .iter()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display())))
        .collect()
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// One private key of a PEM file, with its public half as JWKs have it.
pub struct SigningKey {
    pub pem: String,
    pub x: String,
}

/// The Ed25519 keys of a file, PKCS#8 in PEM, in their order; at least one.
pub fn signing_keys(file: &[u8]) -> anyhow::Result<Vec<SigningKey>> {
    const END: &str = "-----END PRIVATE KEY-----";
    let text = std::str::from_utf8(file).context("an Ed25519 key in PKCS#8 PEM is expected")?;
    let mut blocks: Vec<&str> = text.split_inclusive(END).collect();
    // What follows the last key.
    if blocks.last().is_some_and(|rest| rest.trim().is_empty()) {
        blocks.pop();
    }
    anyhow::ensure!(!blocks.is_empty(), "an Ed25519 key in PKCS#8 PEM is expected");
    blocks.into_iter().map(signing_key).collect()
}

fn signing_key(block: &str) -> anyhow::Result<SigningKey> {
    let lines = block.lines().map(str::trim);
    let body: String = lines
        .skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----")
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD
        .decode(&body)
        .context("an Ed25519 key in PKCS#8 PEM is expected")?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
        .map_err(|error| anyhow::anyhow!("an Ed25519 key in PKCS#8 PEM is expected: {error}"))?;
    Ok(SigningKey {
        pem: format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"),
        x: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> String {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        )
    }

    #[test]
    fn a_file_may_hold_several_keys_and_nothing_else() {
        let (one, other) = (pem(), pem());
        let keys = signing_keys(format!("{one}\n{other}\n").as_bytes()).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!((&keys[0].pem, &keys[1].pem), (&one, &other));
        for bad in [
            String::new(),
            "x".to_owned(),
            format!("{one}x"),
            one.replace('M', "!"),
        ] {
            assert!(signing_keys(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_read_anew_when_they_change_and_kept_when_they_make_no_sense() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("1");
        let files = KeyFiles::load(vec![path.clone()], |content| {
            Ok(std::str::from_utf8(&content[0])?.parse::<u32>()?)
        })
        .unwrap();
        assert_eq!(*files.get(), 1);
        write("2");
        assert_eq!(*files.get(), 1, "looked at a moment ago");
        for (text, expected) in [("2", 2), ("three", 2), ("3", 3)] {
            write(text);
            assert_eq!(*files.look(Duration::ZERO), expected);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*files.look(Duration::ZERO), 3);
        assert!(KeyFiles::load(vec![path], |_| Ok(0)).is_err());
    }
}
