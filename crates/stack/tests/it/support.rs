use std::time::{Duration, Instant};

use ferrocart_stack::{Component, Components, Stack};
use sqlx::{Connection as _, PgConnection};

pub(crate) async fn stack_of(components: &[Component]) -> Stack {
    Stack::builder()
        .components(Components::Of(components.to_vec()))
        .start()
        .await
        .expect("the stack starts")
}

pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("connect to PostgreSQL")
}

/// Speaks to Redis as a client would, without a library: one command, the last value of its answer.
pub(crate) async fn redis(stack: &Stack, command: &str) -> String {
    ask(stack, Component::Redis, command).await
}

/// The same of the one that has the carts.
pub(crate) async fn carts(stack: &Stack, command: &str) -> String {
    ask(stack, Component::RedisCart, command).await
}

async fn ask(stack: &Stack, component: Component, command: &str) -> String {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    let url = url::Url::parse(&stack.url(component)).unwrap();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", stack.port(component)))
        .await
        .unwrap();
    let mut stream = BufReader::new(stream);
    let commands = format!("AUTH {}\r\n{command}\r\n", url.password().unwrap());
    stream.write_all(commands.as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    assert_eq!(line, "+OK\r\n", "the password in the URL is right");
    // The last of the values: an array's length and a string's length come before them.
    let mut values_left = 1;
    while values_left > 0 {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if let Some(count) = line.strip_prefix('*') {
            values_left = count.trim_end().parse().unwrap();
            continue;
        }
        if line.starts_with('$') && !line.starts_with("$-1") {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
        }
        values_left -= 1;
    }
    line.trim_end().to_owned()
}

/// Waits until `condition` holds; fails the test when it does not within ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
