//! Where things lie in a stack's folder.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

use crate::component::{Component, Service};

#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates the folder. Others may pass through it, because PostgreSQL may run as another user than its
    /// owner, but not list it; what is secret in it is readable by its owner alone.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("resolve {}", root.display()))?;
        fs::set_permissions(&root, Permissions::from_mode(0o711))
            .with_context(|| format!("set the mode of {}", root.display()))?;
        let layout = Self { root };
        for folder in [
            layout.logs(),
            layout.keys(),
            layout.redis(),
            layout.redis_cart(),
            layout.kafka(),
            layout.psp(),
            layout.mail(),
        ] {
            create_private(&folder)?;
        }
        create_private(&layout.search_index())?;
        Ok(layout)
    }

    pub(crate) fn existing(root: &Path) -> Result<Option<Self>> {
        match root.canonicalize() {
            Ok(root) => Ok(Some(Self { root })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("resolve {}", root.display())),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("stack.json")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    pub(crate) fn accounts(&self) -> PathBuf {
        self.root.join("accounts.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn signing_key(&self, service: Service) -> PathBuf {
        self.keys().join(format!("{service}.pem"))
    }

    pub(crate) fn gateway_jwt_key(&self) -> PathBuf {
        self.keys().join("gateway-jwt.pem")
    }

    pub(crate) fn internal_jwks(&self) -> PathBuf {
        self.keys().join("internal-jwks.json")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    pub(crate) fn redis(&self) -> PathBuf {
        self.root.join("redis")
    }

    pub(crate) fn redis_cart(&self) -> PathBuf {
        self.root.join("redis-cart")
    }

    pub(crate) fn kafka(&self) -> PathBuf {
        self.root.join("kafka")
    }

    pub(crate) fn psp(&self) -> PathBuf {
        self.root.join("psp-sandbox")
    }

    pub(crate) fn search_index(&self) -> PathBuf {
        self.root.join("search-index")
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.root.join("mail")
    }
}

pub(crate) fn create_private(folder: &Path) -> Result<()> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("create {}", folder.display()))
}

/// Replaces the file as a whole, so that a reader sees the old one or the new one; mode 0600.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Removes a stack's folder. The last children of a killed server may still be writing into it.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    const ATTEMPTS_MAX: u32 = 20;
    let mut attempt = 1;
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error).with_context(|| format!("remove {}", folder.display())),
        }
    }
}

/// A folder of this user in the system's temporary folder, for what the stacks on this machine share.
pub(crate) fn shared_temp_folder() -> Result<PathBuf> {
    let uid = Uid::effective();
    let folder = std::env::temp_dir().join(format!("ferrocart-{uid}"));
    match fs::DirBuilder::new().mode(0o711).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("create {}", folder.display())),
    }
    let metadata = fs::symlink_metadata(&folder).with_context(|| format!("read {}", folder.display()))?;
    if !metadata.is_dir() || metadata.uid() != uid.as_raw() {
        bail!(
            "{} is not a folder of this user; remove it, or set TMPDIR",
            folder.display()
        );
    }
    Ok(folder)
}
