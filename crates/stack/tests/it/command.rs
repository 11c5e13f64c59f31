//! The command itself, as `make` calls it.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ferrocart_stack::{Component, Components, Stack};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{eventually, stack_of};

fn test_env(command: &[&str]) -> Command {
    let mut ferrocart_stack = Command::new(env!("CARGO_BIN_EXE_ferrocart-stack"));
    ferrocart_stack
        .args(["test-env", "--sum-tests", "--"])
        .args(command)
        // Given by its address, so that none is started: these tests are about the others.
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env_remove("POSTGRES_ADMIN_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::null());
    ferrocart_stack
}

#[test]
fn a_command_finds_its_stores_and_its_exit_code_is_passed_on() {
    let script = "echo \"$FERROCART_TEST_KAFKA_BROKERS $FERROCART_TEST_REDIS_URL $FERROCART_TEST_POSTGRES_ADMIN_URL\"; \
                  ls \"$FERROCART_TEST_BIN_DIR/ferrocart-stack\" >/dev/null || exit 1; \
                  echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'; exit 7";
    let output = test_env(&["sh", "-c", script]).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(7),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("127.0.0.1:1 redis://:") && lines[0].contains(" postgres://postgres:"),
        "{text}"
    );
    assert_eq!(lines.last(), Some(&"2 passed, 0 failed, 1 skipped"));
}

/// Ends the test's processes also when it fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn stores_end_with_a_command_that_is_killed_and_the_next_stack_sweeps_their_folder() {
    let script = "echo $$; echo \"$FERROCART_TEST_REDIS_URL\"; exec sleep 600";
    let mut command = Running(
        test_env(&["sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(command.0.stdout.take().unwrap()).lines();
    let inner: i32 = lines.next().unwrap().unwrap().parse().unwrap();
    let redis = url::Url::parse(&lines.next().unwrap().unwrap()).unwrap();
    let address = ("127.0.0.1", redis.port().unwrap());
    assert!(TcpStream::connect(address).is_ok());
    let folder = folder_of(command.0.id()).expect("the command has a folder");

    command.0.kill().unwrap();
    command.0.wait().unwrap();
    kill(Pid::from_raw(inner), Signal::SIGKILL).unwrap();
    eventually("the stores end", || TcpStream::connect(address).is_err()).await;
    drop(stack_of(&[]).await);
    eventually("the folder is swept", || !folder.exists()).await;
}

/// The folder of the temporary stack that belongs to the process.
fn folder_of(owner: u32) -> Option<PathBuf> {
    let parent = std::env::temp_dir()
        .join(format!("ferrocart-{}", nix::unistd::Uid::effective()))
        .join("stacks");
    let wanted = format!("\"pid\": {owner},");
    let mut folders = std::fs::read_dir(parent).ok()?.flatten().map(|item| item.path());
    folders.find(|folder| {
        let state = std::fs::read_to_string(folder.join("stack.json")).unwrap_or_default();
        state
            .split("\"processes\"")
            .next()
            .unwrap_or_default()
            .contains(&wanted)
    })
}

#[tokio::test]
async fn a_folder_that_the_database_s_user_cannot_reach_is_no_obstacle() {
    // Open to its owner alone; root's stack runs PostgreSQL as another user.
    let private = tempfile::tempdir().unwrap();
    std::fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();
    let folder = private.path().join("run");
    let stack = Stack::builder()
        .folder(&folder)
        .components(Components::Of(vec![Component::Postgres]))
        .detached()
        .start()
        .await
        .unwrap();
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("stack.json")).unwrap()).unwrap();
    let outside = state["outside_folder"].as_str().map(Path::new);
    assert_eq!(outside.is_some(), nix::unistd::Uid::effective().is_root());
    stack.down().await.unwrap();
    drop(stack);
    ferrocart_stack::wipe(&folder).unwrap();
    assert!(!folder.exists());
    assert!(outside.is_none_or(|outside| !outside.exists()));
}
