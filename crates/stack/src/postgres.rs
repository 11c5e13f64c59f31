//! A private PostgreSQL cluster: a database and a role for each service, each role able to reach its own alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Uid, User};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use url::Url;

use crate::component::{Component, Service};
use crate::layout::{Layout, create_private, write_private};
use crate::process::{Launch, RunAs};
use crate::tools;

pub(crate) const SUPERUSER: &str = "postgres";
/// Each service has a pool, each test its own; PostgreSQL's default of 100 is soon used up.
const CONNECTIONS_MAX: u16 = 300;
const INITDB_DEADLINE: Duration = Duration::from_mins(2);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The longest path of a Unix socket is 103 bytes on macOS, and the socket's own name takes 15.
const SOCKET_FOLDER_BYTES_MAX: usize = 85;
/// By this we know a role as one of ours on a server that we did not start.
const ROLE_COMMENT: &str = "made by ferrocart-stack";

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    root: PathBuf,
    bin: PathBuf,
    run_as: Option<RunAs>,
}

impl Cluster {
    /// PostgreSQL refuses to run as root, so for root the cluster belongs to `postgres`; where that user cannot
    /// reach the stack's folder (below `/root`, say), it lies in `/var/lib/ferrocart`.
    pub(crate) fn locate(layout: &Layout, stack_id: &str) -> Result<Self> {
        let run_as = run_as()?;
        let mut root = layout.root().join("postgres");
        if let Some(user) = &run_as
            && !is_reachable(layout.root(), user)?
        {
            root = Path::new("/var/lib/ferrocart").join(stack_id);
        }
        let bin = tools::postgres_bin(&root.join("data"))?;
        Ok(Self { root, bin, run_as })
    }

    /// Its folder, if that is not in the stack's.
    pub(crate) fn outside(&self, layout: &Layout) -> Option<PathBuf> {
        (!self.root.starts_with(layout.root())).then(|| self.root.clone())
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn socket_folder(&self) -> Option<PathBuf> {
        let folder = self.root.join("socket");
        (folder.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX).then_some(folder)
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.data().join("PG_VERSION").exists()
    }

    /// Makes the cluster in a folder aside and renames it, so that one which is there is whole.
    pub(crate) async fn initialize(&self, password: &str) -> Result<()> {
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        create_private(&self.root)?;
        let fresh = self.root.join("data.new");
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", fresh.display()));
            }
            _ => {}
        }
        let password_file = self.root.join("superuser-password");
        write_private(&password_file, password)?;
        for path in [
            Some(self.root.clone()),
            Some(password_file.clone()),
            self.create_socket_folder()?,
        ] {
            self.give_to_user(path.as_deref())?;
        }
        self.initdb(&fresh, &password_file).await?;
        fs::remove_file(&password_file).with_context(|| format!("remove {}", password_file.display()))?;
        fs::rename(&fresh, self.data()).with_context(|| format!("rename {}", fresh.display()))
    }

    fn create_socket_folder(&self) -> Result<Option<PathBuf>> {
        let folder = self.socket_folder();
        if let Some(folder) = &folder {
            create_private(folder)?;
        }
        Ok(folder)
    }

    fn give_to_user(&self, path: Option<&Path>) -> Result<()> {
        if let (Some(user), Some(path)) = (&self.run_as, path) {
            chown(path, Some(user.uid), Some(user.gid))
                .with_context(|| format!("change the owner of {}", path.display()))?;
        }
        Ok(())
    }

    async fn initdb(&self, data: &Path, password_file: &Path) -> Result<()> {
        let mut command = tokio::process::Command::new(self.bin.join("initdb"));
        command
            .args([
                "--username",
                SUPERUSER,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
            ])
            .args(["--data-checksums", "--no-instructions"])
            .arg("--pgdata")
            .arg(data)
            .arg("--pwfile")
            .arg(password_file)
            .env_clear()
            .envs(environment())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(user) = &self.run_as {
            command.uid(user.uid).gid(user.gid);
        }
        let output = tokio::time::timeout(INITDB_DEADLINE, command.output())
            .await
            .context("initdb took longer than two minutes")?
            .context("run initdb")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("initdb failed: {}", said.trim());
        }
        Ok(())
    }

    /// Durability is PostgreSQL's default: `fsync=on`, `synchronous_commit=on`.
    pub(crate) fn launch(&self, layout: &Layout, port: u16) -> Launch {
        let socket = self
            .socket_folder()
            .map(|folder| folder.display().to_string())
            .unwrap_or_default();
        let settings = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", socket),
            ("max_connections", CONNECTIONS_MAX.to_string()),
            // In the data folder instead of /dev/shm, where a killed server would leave it behind.
            ("dynamic_shared_memory_type", "mmap".to_owned()),
            ("log_line_prefix", "%m [%p] %q%u@%d ".to_owned()),
        ];
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        for (name, value) in settings {
            args.push("-c".to_owned());
            args.push(format!("{name}={value}"));
        }
        Launch {
            component: Component::Postgres,
            program: self.bin.join("postgres"),
            args,
            env: environment(),
            cwd: self.root.clone(),
            run_as: self.run_as.clone(),
            files: Vec::new(),
            log: layout.log(Component::Postgres),
            port,
        }
    }
}

fn environment() -> BTreeMap<String, String> {
    let path = tools::search_path().to_string_lossy().into_owned();
    BTreeMap::from([("PATH".to_owned(), path), ("LC_ALL".to_owned(), "C".to_owned())])
}

fn run_as() -> Result<Option<RunAs>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).with_context(|| format!("look up the user {name}"))? {
            return Ok(Some(RunAs {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            }));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// Whether the user may pass through every folder on the way.
fn is_reachable(folder: &Path, user: &RunAs) -> Result<bool> {
    for part in folder.ancestors() {
        let metadata = fs::metadata(part).with_context(|| format!("read {}", part.display()))?;
        let bit = if metadata.uid() == user.uid {
            0o100
        } else if metadata.gid() == user.gid {
            0o010
        } else {
            0o001
        };
        if metadata.mode() & bit == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    tokio::time::timeout(CONNECT_DEADLINE, PgConnection::connect(url))
        .await
        .context("PostgreSQL does not answer")?
        .context("connect to PostgreSQL")
}

/// The URL by which `role` reaches the database of its own name on the server of `admin_url`.
pub(crate) fn role_url(admin_url: &str, role: &str, password: &str) -> Result<String> {
    let mut url = Url::parse(admin_url).context("the administrator's PostgreSQL URL")?;
    let set = url
        .set_username(role)
        .and_then(|()| url.set_password(Some(password)));
    if set.is_err() {
        bail!("the administrator's PostgreSQL URL names no host");
    }
    url.set_path(role);
    Ok(url.into())
}

/// Creates what is missing and sets the passwords; what is there stays.
pub(crate) async fn ensure_databases(
    admin_url: &str,
    passwords: &BTreeMap<String, String>,
    own_server: bool,
) -> Result<()> {
    let mut admin = connect(admin_url).await?;
    if own_server {
        for database in ["postgres", "template1"] {
            run(
                &mut admin,
                format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"),
            )
            .await?;
        }
    }
    for name in Service::ALL.into_iter().filter_map(Service::database) {
        let password = passwords
            .get(name)
            .with_context(|| format!("secrets.json has no password for {name}"))?;
        ensure_role(&mut admin, name, password).await?;
        let exists = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_optional(&mut admin)
            .await
            .context("look a database up")?
            .is_some();
        if !exists {
            // PUBLIC's right to connect goes in the same breath: created closed to connections, opened last.
            run(
                &mut admin,
                format!("CREATE DATABASE {name} OWNER {name} ALLOW_CONNECTIONS false"),
            )
            .await?;
        }
        run(&mut admin, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await?;
        run(
            &mut admin,
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        )
        .await?;
    }
    admin
        .close()
        .await
        .context("close the administrator's connection")
}

async fn ensure_role(admin: &mut PgConnection, name: &str, password: &str) -> Result<()> {
    let found = sqlx::query("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1")
        .bind(name)
        .fetch_optional(&mut *admin)
        .await
        .context("look a role up")?;
    let attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION";
    match found {
        None => {
            // The password is hexadecimal, so it needs no quoting; a utility statement takes no parameters.
            run(
                admin,
                format!("CREATE ROLE {name} {attributes} PASSWORD '{password}'"),
            )
            .await?;
            run(admin, format!("COMMENT ON ROLE {name} IS '{ROLE_COMMENT}'")).await
        }
        Some(row) => {
            let comment: Option<String> = row.try_get(0).context("read a role's comment")?;
            if comment.as_deref() != Some(ROLE_COMMENT) {
                bail!("the server already has a role {name} which is not ours; give a server of its own");
            }
            run(
                admin,
                format!("ALTER ROLE {name} {attributes} PASSWORD '{password}'"),
            )
            .await
        }
    }
}

async fn run(admin: &mut PgConnection, statement: String) -> Result<()> {
    // Only names and passwords that this crate made are ever put into a statement. Failures name its first
    // words alone: the rest may be a password.
    let what: String = statement
        .split(" PASSWORD ")
        .next()
        .unwrap_or_default()
        .to_owned();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(admin)
        .await
        .with_context(|| format!("run {what}"))?;
    Ok(())
}
