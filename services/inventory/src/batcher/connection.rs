use std::time::Duration;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

/// How long PostgreSQL may take to end a backend that we lost.
const FENCE_MS: i64 = 2_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A backend of PostgreSQL; its start tells it from a later one with the same process id.
#[derive(Debug, Clone, Copy)]
struct Backend {
    pid: i32,
    started: Timestamp,
}

/// The one connection of a lane.
///
/// When it is lost, the backend at its other end may still be at work and commit later. The next
/// connection therefore ends that backend before it is used: what is read after that is final.
pub(super) struct LaneConnection {
    options: PgConnectOptions,
    open: Option<(PgConnection, Backend)>,
    lost: Option<Backend>,
}

impl LaneConnection {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        // Plans are made once and kept. Made while a table was empty they would scan it for ever after: a
        // lane looks up by key alone, so scanning is never right.
        let options = options.clone().options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ]);
        Self {
            options,
            open: None,
            lost: None,
        }
    }

    pub(super) async fn get(&mut self) -> Result<&mut PgConnection, StoreError> {
        if self.open.is_none() {
            let opening = tokio::time::timeout(CONNECT_TIMEOUT, open(&self.options, self.lost));
            let opened = opening.await.unwrap_or_else(|_| {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(sqlx::Error::Io(late)).op("lane.connect")
            })?;
            self.lost = None;
            self.open = Some(opened);
        }
        match &mut self.open {
            Some((conn, _)) => Ok(conn),
            None => Err(sqlx::Error::WorkerCrashed).op("lane.connect"),
        }
    }

    /// Drops the connection after a failure that leaves open what was done.
    pub(super) fn lose(&mut self) {
        if let Some((conn, backend)) = self.open.take() {
            drop(conn);
            self.lost = Some(backend);
        }
    }

    pub(super) async fn close(mut self) {
        if let Some((conn, _)) = self.open.take()
            && let Err(error) = conn.close().await
        {
            tracing::debug!(%error, "a lane's connection did not close in order");
        }
    }
}

async fn open(
    options: &PgConnectOptions,
    lost: Option<Backend>,
) -> Result<(PgConnection, Backend), StoreError> {
    let mut conn = PgConnection::connect_with(options).await.op("lane.connect")?;
    if let Some(backend) = lost {
        fence(&mut conn, backend).await?;
    }
    let (pid, started) =
        sqlx::query_as("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            .fetch_one(&mut conn)
            .await
            .op("lane.backend")?;
    Ok((conn, Backend { pid, started }))
}

/// Ends the backend, unless it is gone, and waits until it is.
async fn fence(conn: &mut PgConnection, backend: Backend) -> Result<(), StoreError> {
    let ended: Option<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
    )
    .bind(backend.pid)
    .bind(backend.started)
    .bind(FENCE_MS)
    .fetch_optional(conn)
    .await
    .op("lane.fence")?;
    match ended {
        None | Some(true) => Ok(()),
        Some(false) => {
            let stays = std::io::Error::other("the lost backend has not ended yet");
            Err(sqlx::Error::Io(stays)).op("lane.fence")
        }
    }
}
