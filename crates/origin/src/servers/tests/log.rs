//! Each change of state is told once.

use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span;

use super::*;

/// Everything logged at `info` and above, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Line(Vec<String>);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let name = if field.name() == "message" { String::new() } else { format!("{}=", field.name()) };
        self.0.push(format!("{name}{value:?}"));
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(format!("{} {}", event.metadata().level(), line.0.join(" ")));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_with_its_reason() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let told = || std::mem::take(&mut *lines.0.lock().unwrap());
    let servers = Servers::new(&OriginSettings { health: Some(checked()), ..strict(2) }).unwrap();
    fail(&servers, 0, 3);
    let out = r#"WARN server is out origin="cms" server="server0:80" from="up" to="ejected""#;
    assert_eq!(told(), [format!(r#"{out} reason="3 failures in a row, the last: connect-refused""#)]);
    fail(&servers, 1, 50);
    let spared = r#"WARN server fails, but no other could take its requests origin="cms" server="server1:80""#;
    assert_eq!(told(), [format!(r#"{spared} reason="3 failures in a row, the last: connect-refused""#)]);
    for _ in 0..3 {
        servers.members()[1].checked(false, "timeout");
    }
    let down = r#"WARN server is out origin="cms" server="server1:80" from="up" to="down" reason="check: timeout""#;
    let all = r#"WARN no server is up: requests go to all that are not drained origin="cms""#;
    assert_eq!(told(), [down, all]);
    picks(&servers, 50);
    assert_eq!(told(), [""; 0]);
    good(pick(&servers));
    let back = r#"INFO server is back origin="cms" server="server0:80" from="ejected" to="up""#;
    let again = r#"INFO a server is up again origin="cms""#;
    assert_eq!(told(), [&*format!(r#"{back} reason="it answers again: 200""#), again]);
    advance(60 * SECOND).await;
    picks(&servers, 50);
    assert_eq!(told(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_checks_bring_back_is_told_of_once_though_its_requests_failed_too() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let servers = Servers::new(&OriginSettings { health: Some(checked()), ..strict(2) }).unwrap();
    fail(&servers, 0, 3);
    servers.members()[0].checked(false, "connect-refused");
    lines.0.lock().unwrap().clear();
    for _ in 0..3 {
        servers.members()[0].checked(true, "status 200");
    }
    let back = r#"INFO server is back origin="cms" server="server0:80" from="down" to="up" reason="check: status 200""#;
    assert_eq!(*lines.0.lock().unwrap(), [back]);
}

#[tokio::test(start_paused = true)]
async fn an_only_server_that_fails_is_told_of_once_and_so_is_its_answer() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let told = || std::mem::take(&mut *lines.0.lock().unwrap());
    let servers = Servers::new(&settings(1)).unwrap();
    fail(&servers, 0, 4);
    assert_eq!(told(), [""; 0]);
    fail(&servers, 0, 50);
    let fails = r#"WARN server fails, but no other could take its requests origin="cms" server="server0:80""#;
    assert_eq!(told(), [format!(r#"{fails} reason="5 failures in a row, the last: connect-refused""#)]);
    good(pick(&servers));
    let answers = r#"INFO server answers again origin="cms" server="server0:80""#;
    assert_eq!(told(), [format!(r#"{answers} reason="its requests go well""#)]);
    good(pick(&servers));
    assert_eq!(told(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn that_every_server_is_drained_is_told_as_such() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let servers = Servers::new(&OriginSettings { health: Some(checked()), ..settings(2) }).unwrap();
    let told = || {
        let told = std::mem::take(&mut *lines.0.lock().unwrap());
        told.into_iter().filter(|line| !line.contains("server=")).collect::<Vec<_>>()
    };
    let drained = r#"WARN every server is drained: requests get 503 until one is resumed origin="cms""#;
    let out = r#"WARN no server is up: requests go to all that are not drained origin="cms""#;
    servers.drain("server0:80", true);
    assert_eq!(told(), [""; 0]);
    servers.drain("server1:80", true);
    assert_eq!(told(), [drained]);
    servers.drain("server1:80", false);
    assert_eq!(told(), [r#"INFO a server is up again origin="cms""#]);
    servers.members()[1].checked(false, "timeout");
    assert_eq!(told(), [out]);
    servers.drain("server1:80", true);
    assert_eq!(told(), [drained]);
    servers.drain("server1:80", false);
    assert_eq!(told(), [out]);
}
