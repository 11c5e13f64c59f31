use std::net::TcpListener;

use ferrocart_stack::{Component, Components, PortPlan, Ports, Stack};

#[tokio::test]
async fn a_taken_port_is_named_with_its_component_and_its_variable() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let start = Stack::builder()
        .folder(folder.path())
        .ports(Ports::Fixed(
            PortPlan::default().with_port(Component::Redis, port),
        ))
        .components(Components::Of(vec![Component::Redis]))
        .start();
    let Err(error) = start.await else {
        panic!("started on a port that is taken")
    };
    let text = format!("{error:#}");
    assert!(text.contains(&format!("port {port}")), "{text}");
    assert!(
        text.contains("redis") && text.contains("FERROCART_REDIS_PORT"),
        "{text}"
    );
}

#[tokio::test]
async fn a_process_that_dies_while_it_starts_is_named_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let redis = || {
        Stack::builder()
            .folder(folder.path())
            .components(Components::Of(vec![Component::RedisCart]))
    };
    drop(redis().start().await.unwrap());
    let appended = folder.path().join("redis-cart/appendonlydir");
    let manifest = appended.join("appendonly.aof.manifest");
    std::fs::write(manifest, "this is no manifest").unwrap();
    let Err(error) = redis().start().await else {
        panic!("started with damaged data")
    };
    let text = format!("{error:#}");
    assert!(text.contains("redis-cart ended while it started"), "{text}");
    assert!(
        text.contains("manifest") && text.contains("redis-cart.log"),
        "{text}"
    );
}
