use ferrocart_stack::{Component, Service, Stack};
use sqlx::{Connection as _, PgConnection, Row as _};
use url::Url;

use crate::support::{carts, connect, redis, stack_of};

fn with_databases() -> Vec<Service> {
    Service::ALL
        .into_iter()
        .filter(|service| service.database().is_some())
        .collect()
}

async fn refusal(url: &str) -> String {
    match PgConnection::connect(url).await {
        Ok(_) => panic!("connected, and should not have"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_role_reaches_its_own_database_and_no_other() {
    let stack = stack_of(&[Component::Postgres]).await;
    for service in with_databases() {
        let own = stack.database_url(service).unwrap();
        let mut connection = connect(&own).await;
        sqlx::query("CREATE TABLE mine (id bigint)")
            .execute(&mut connection)
            .await
            .unwrap();

        let others = with_databases().into_iter().filter(|other| *other != service);
        let names = others
            .map(|other| other.database().unwrap())
            .chain(["postgres", "template1"]);
        for name in names {
            let mut url = Url::parse(&own).unwrap();
            url.set_path(name);
            let reason = refusal(url.as_str()).await;
            assert!(
                reason.contains("permission denied for database"),
                "{service} to {name}: {reason}"
            );
        }
    }
}

#[tokio::test]
async fn a_role_has_no_powers_and_a_password_is_needed() {
    let stack = stack_of(&[Component::Postgres]).await;
    let mut admin = connect(&stack.postgres_admin_url()).await;
    let powers = "SELECT count(*) FROM pg_roles WHERE rolname = ANY($1) \
                  AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)";
    let names: Vec<&str> = with_databases()
        .into_iter()
        .filter_map(Service::database)
        .collect();
    let row = sqlx::query(powers)
        .bind(names)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);

    let mut url = Url::parse(&stack.database_url(Service::Order).unwrap()).unwrap();
    url.set_password(Some("guessed")).unwrap();
    assert!(
        refusal(url.as_str())
            .await
            .contains("password authentication failed")
    );
}

#[tokio::test]
async fn what_is_acknowledged_is_durable_by_the_settings_in_force() {
    let stack = stack_of(&[Component::Postgres, Component::RedisCart]).await;
    let mut admin = connect(&stack.postgres_admin_url()).await;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let row = sqlx::query("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), "on", "{setting}");
    }
    assert_eq!(carts(&stack, "CONFIG GET appendonly").await, "yes");
    assert_eq!(carts(&stack, "CONFIG GET appendfsync").await, "always");
    assert_eq!(carts(&stack, "CONFIG GET maxmemory-policy").await, "noeviction");
}

#[tokio::test]
async fn two_stacks_stand_side_by_side() {
    let parts = [Component::Postgres, Component::Redis];
    let (one, two) = tokio::join!(stack_of(&parts), stack_of(&parts));
    assert_ne!(one.folder(), two.folder());
    redis(&one, "SET who one").await;
    redis(&two, "SET who two").await;
    assert_eq!(redis(&one, "GET who").await, "one");
    assert_eq!(redis(&two, "GET who").await, "two");

    // Their secrets differ: the URL of one does not open the other.
    let mut crossed = Url::parse(&one.postgres_admin_url()).unwrap();
    crossed.set_port(Some(two.port(Component::Postgres))).unwrap();
    assert!(
        refusal(crossed.as_str())
            .await
            .contains("password authentication failed")
    );

    drop(one);
    assert_eq!(redis(&two, "GET who").await, "two");
}

#[tokio::test]
async fn a_stack_that_is_dropped_leaves_nothing() {
    let stack: Stack = stack_of(&[Component::Postgres, Component::Redis]).await;
    let folder = stack.folder().to_owned();
    let port = stack.port(Component::Postgres);
    assert!(folder.exists());
    drop(stack);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
