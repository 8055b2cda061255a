//! `copal run`: log, configuration, server, announcement; then signals until the end.

use std::path::Path;
use std::time::Duration;

use copal_policy::{Config, Loaded};
use copal_proxy::Clock;

use super::check;
use crate::cli::Run;
use crate::failure::Failure;
use crate::output;
use crate::reload;
use crate::server::{Server, Setup};
use crate::signals::{Order, Signals};
use crate::telemetry::logging::{self, Style};

/// How long the end of the process waits for work that cannot be broken off.
const LINGER: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: Run) -> Result<(), Failure> {
    let loaded = load(&arguments)?;
    let style = match loaded.config.log.access {
        // Whoever reads the access log by machine reads the rest by machine.
        copal_policy::AccessLog::Json => Style::Json,
        copal_policy::AccessLog::Off | copal_policy::AccessLog::Combined => Style::Text,
    };
    let level = logging::init(loaded.config.log.level, style).map_err(Failure::failed)?;
    reload::log(&loaded.warnings);
    block_on(async {
        let mut signals = Signals::listen().map_err(Failure::failed)?;
        let setup = Setup { config: loaded.config, access_log: None, clock: Clock::system(), level: Some(level) };
        let server = Server::start(setup).map_err(Failure::failed)?;
        announce(&server, &server.proxy().config());
        until_stopped(&server, &mut signals, arguments.config.as_deref()).await;
        stop(server, &mut signals).await;
        Ok(())
    })
}

/// Runs `story` on a runtime with a thread for each processor, and ends with it: a name that is being resolved, or a
/// sweep of the store, is not waited for.
pub(crate) fn block_on(story: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().thread_name("copal").build().map_err(Failure::failed)?;
    let result = runtime.block_on(story);
    runtime.shutdown_timeout(LINGER);
    result
}

fn load(arguments: &Run) -> Result<Loaded, Failure> {
    match (&arguments.config, &arguments.origin) {
        (Some(path), _) => check::load(path),
        (None, Some(origin)) => copal_policy::for_origin(origin, arguments.listen.as_deref())
            .map_err(|diagnostics| output::refused(&diagnostics)),
        (None, None) => Err(Failure::wrong("give --config FILE or --origin URL")),
    }
}

fn announce(server: &Server, config: &Config) {
    for address in server.addresses() {
        tracing::info!("serving on http://{address}");
    }
    match server.admin_address() {
        Some(address) => tracing::info!("metrics, health and API on http://{address}"),
        None => tracing::info!("no admin address: no metrics (`admin: address` in the file)"),
    }
    if let Some(address) = server.htcp_address() {
        tracing::info!("purges by HTCP on {address} (UDP)");
    }
    for origin in &config.origins {
        let servers: Vec<String> = origin.servers.iter().map(|server| server.url.to_string()).collect();
        tracing::info!(origin = %origin.name, servers = servers.join(" "), "origin");
    }
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, rules = config.policy.rules().len(), memory = config.cache.memory, "ready");
}

/// Follows signals until one says stop.
async fn until_stopped(server: &Server, signals: &mut Signals, config: Option<&Path>) {
    loop {
        match (signals.next().await, config) {
            (Order::Stop, _) => return,
            (Order::Reopen, _) => server.telemetry().reopen(),
            (Order::Reload, Some(path)) => {
                reload::reload(server, path);
            }
            (Order::Reload, None) => tracing::warn!("nothing to reload: running with --origin, without a file"),
        }
    }
}

/// Drains; a second order to stop ends it at once.
pub(crate) async fn stop(server: Server, signals: &mut Signals) {
    tracing::info!("draining: finishing the requests under way; a second signal stops at once");
    tokio::select! {
        () = server.drain() => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once; requests under way were cut off"),
    }
}
