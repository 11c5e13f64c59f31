//! Finds the programs that a stack needs on this machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

const SETUP_HINT: &str = "run `make setup`, which installs it or says what to install";

/// The broker's version has one home, the file by which its jars are fetched.
const KAFKA_POM: &str = include_str!("../../../deploy/local/kafka/pom.xml");

/// The oldest PostgreSQL that we run on.
const POSTGRES_MAJOR_MIN: u32 = 15;

pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())
}

/// Looks a program up as a shell would.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

pub(crate) fn redis_server() -> Result<PathBuf> {
    find("redis-server").with_context(|| format!("redis-server is not installed; {SETUP_HINT}"))
}

pub(crate) fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|path| is_executable(path))
        .or_else(|| find("java"))
        .with_context(|| format!("a Java runtime (17 or newer) is not installed; {SETUP_HINT}"))
}

pub(crate) fn kafka_version() -> &'static str {
    KAFKA_POM
        .split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once("</kafka.version>"))
        .map_or("unknown", |(version, _)| version)
}

/// The folder of the broker's jars: in the repository, or in one above the current folder.
pub(crate) fn kafka_libs() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FERROCART_KAFKA_LIBS") {
        return Ok(PathBuf::from(given));
    }
    let below = format!(".ferrocart/kafka-{}/libs", kafka_version());
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let current = std::env::current_dir().unwrap_or_default();
    let candidates = current.ancestors().chain([built_in.as_path()]);
    for folder in candidates {
        let libs = folder.join(&below);
        if libs.is_dir() {
            return libs
                .canonicalize()
                .with_context(|| format!("resolve {}", libs.display()));
        }
    }
    bail!(
        "the jars of Apache Kafka {} are not there ({below}); {SETUP_HINT}",
        kafka_version()
    )
}

/// The folder with `postgres` and `initdb`: of the version that made `data`, else the newest.
pub(crate) fn postgres_bin(data: &Path) -> Result<PathBuf> {
    let mut installed = postgres_installations();
    installed.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
    let wanted: Option<u32> = made_by.and_then(|version| version.trim().parse().ok());
    let found = installed.iter().find(|(major, _)| match wanted {
        Some(wanted) => *major == wanted,
        None => *major >= POSTGRES_MAJOR_MIN,
    });
    match (found, wanted) {
        (Some((_, bin)), _) => Ok(bin.clone()),
        (None, Some(major)) => bail!(
            "the data in {} is of PostgreSQL {major}, which is not installed; install it, or discard the data with `ferrocart-stack down --wipe`",
            data.display()
        ),
        (None, None) => {
            bail!("no PostgreSQL server ({POSTGRES_MAJOR_MIN} or newer) is installed; {SETUP_HINT}")
        }
    }
}

fn postgres_installations() -> Vec<(u32, PathBuf)> {
    let mut folders = Vec::new();
    // Debian, Fedora with the PostgreSQL project's packages, Homebrew.
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
    ] {
        for item in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = item.file_name().to_string_lossy().into_owned();
            if let Some(major) = name.strip_prefix(prefix).and_then(|rest| rest.parse().ok()) {
                folders.push((major, item.path().join(suffix)));
            }
        }
    }
    // Fedora's own package puts it on the path.
    if let Some(bin) = find("postgres").and_then(|path| path.canonicalize().ok())
        && let Some(folder) = bin.parent()
        && let Some(major) = version_of(&bin)
    {
        folders.push((major, folder.to_owned()));
    }
    folders.retain(|(_, bin)| is_executable(&bin.join("postgres")) && is_executable(&bin.join("initdb")));
    folders
}

fn version_of(postgres: &Path) -> Option<u32> {
    let output = std::process::Command::new(postgres)
        .arg("--version")
        .output()
        .ok()?;
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_broker_s_version_is_read_from_the_file_that_fetches_it() {
        let version = super::kafka_version();
        assert!(
            version.starts_with("4.") && version.split('.').count() == 3,
            "{version}"
        );
    }
}
