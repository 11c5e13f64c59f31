use std::process::Command;
use std::time::Duration;

use ferrocart_stack::{Component, Components, Service, Stack};
use sqlx::Row as _;
use tokio::time::timeout;

use crate::support::{carts, connect, eventually, redis, stack_of};

#[tokio::test]
async fn postgres_keeps_what_it_acknowledged_when_it_is_killed() {
    let stack = stack_of(&[Component::Postgres]).await;
    let url = stack.database_url(Service::Inventory).unwrap();
    let mut before = connect(&url).await;
    sqlx::query("CREATE TABLE kept (id bigint)")
        .execute(&mut before)
        .await
        .unwrap();
    sqlx::query("INSERT INTO kept VALUES (7)")
        .execute(&mut before)
        .await
        .unwrap();

    let postgres = stack.process(Component::Postgres);
    let pid = postgres.pid().unwrap();
    postgres.kill9().unwrap();
    assert!(!postgres.is_running());
    assert!(
        sqlx::query("SELECT 1").execute(&mut before).await.is_err(),
        "its backends die with it"
    );

    postgres.start().await.unwrap();
    assert_ne!(postgres.pid().unwrap(), pid);
    let row = sqlx::query("SELECT id FROM kept")
        .fetch_one(&mut connect(&url).await)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 7);
}

#[tokio::test]
async fn the_carts_redis_keeps_what_it_acknowledged_when_it_is_killed_and_restarted() {
    let stack = stack_of(&[Component::RedisCart]).await;
    let process = stack.process(Component::RedisCart);
    carts(&stack, "SET cart one").await;
    process.kill9().unwrap();
    process.start().await.unwrap();
    assert_eq!(carts(&stack, "GET cart").await, "one");
    process.restart().await.unwrap();
    assert_eq!(carts(&stack, "GET cart").await, "one");
    process.stop().await.unwrap();
    assert!(!process.is_running());
    assert_eq!(process.pid(), None);
}

#[tokio::test]
async fn kafka_comes_back_after_it_was_killed() {
    let stack = stack_of(&[Component::Kafka]).await;
    let kafka = stack.process(Component::Kafka);
    let pid = kafka.pid().unwrap();
    kafka.kill9().unwrap();
    assert!(stack.probe(Component::Kafka).await.is_err());
    kafka.start().await.unwrap();
    assert_ne!(kafka.pid().unwrap(), pid);
    stack.probe(Component::Kafka).await.unwrap();
}

#[tokio::test]
async fn a_paused_process_answers_nobody_until_it_goes_on() {
    let stack = stack_of(&[Component::Postgres, Component::Redis]).await;
    redis(&stack, "SET cart one").await;
    let mut connection = connect(&stack.database_url(Service::Order).unwrap()).await;
    for component in [Component::Postgres, Component::Redis] {
        stack.process(component).pause().unwrap();
        assert!(stack.process(component).is_running());
    }
    // The backend that serves this connection is halted too, not only the server that would take new ones.
    let mut query = Box::pin(sqlx::query("SELECT 1").execute(&mut connection));
    assert!(timeout(Duration::from_millis(300), &mut query).await.is_err());
    let mut ping = Box::pin(redis(&stack, "GET cart"));
    assert!(timeout(Duration::from_millis(300), &mut ping).await.is_err());
    for component in [Component::Postgres, Component::Redis] {
        stack.process(component).resume().unwrap();
        stack.process(component).wait_ready().await.unwrap();
    }
    // The questions asked meanwhile are answered.
    query.await.unwrap();
    assert_eq!(ping.await, "one");
}

#[tokio::test]
async fn down_stops_its_own_processes_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        Stack::builder()
            .folder(folder.path())
            .components(Components::Of(vec![Component::Redis]))
            .detached()
            .start()
    };
    let stack = start().await.unwrap();
    redis(&stack, "SET cart one").await;
    let pid = stack.process(Component::Redis).pid().unwrap();
    drop(stack);
    assert!(
        alive(pid),
        "a detached process outlives the stack that started it"
    );

    // A foreign process stands in the state file under the component's name: its id was recycled.
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let state_file = folder.path().join("stack.json");
    let recorded = std::fs::read_to_string(&state_file).unwrap();
    let forged = recorded.replace(
        &format!("\"pid\": {pid},"),
        &format!("\"pid\": {},", stranger.id()),
    );
    assert_ne!(recorded, forged);
    std::fs::write(&state_file, &forged).unwrap();
    ferrocart_stack::down(folder.path(), &ferrocart_stack::Silent)
        .await
        .unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    assert!(alive(pid), "and Redis, of which the state no longer knows");
    stranger.kill().unwrap();
    stranger.wait().unwrap();

    std::fs::write(&state_file, &recorded).unwrap();
    ferrocart_stack::down(folder.path(), &ferrocart_stack::Silent)
        .await
        .unwrap();
    eventually("Redis ends", || !alive(pid)).await;
}

#[tokio::test]
async fn a_second_start_finds_what_runs_and_starts_what_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let ports = stack_of(&[]).await;
    let plan = ferrocart_stack::PortPlan::default()
        .with_port(Component::Redis, ports.port(Component::Redis))
        .with_port(Component::Postgres, ports.port(Component::Postgres));
    let start = || {
        Stack::builder()
            .folder(folder.path())
            .ports(ferrocart_stack::Ports::Fixed(plan.clone()))
            .components(Components::Of(vec![Component::Postgres, Component::Redis]))
            .detached()
            .start()
    };
    let first = start().await.unwrap();
    let redis_pid = first.process(Component::Redis).pid();
    first.process(Component::Postgres).kill9().unwrap();
    drop(first);
    let second = start().await.unwrap();
    assert_eq!(second.process(Component::Redis).pid(), redis_pid);
    assert!(second.process(Component::Postgres).is_running());
    second.down().await.unwrap();
    assert!(!second.process(Component::Redis).is_running());
    assert!(!second.process(Component::Postgres).is_running());
}

#[tokio::test]
async fn a_folder_is_worked_on_by_one_command_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Stack::builder()
            .folder(folder.path())
            .components(Components::Of(vec![]))
    };
    let _first = builder().start().await.unwrap();
    let Err(error) = builder().start().await else {
        panic!("a second command was let in")
    };
    assert!(
        error.to_string().contains("another command is at work"),
        "{error:#}"
    );
}

fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
