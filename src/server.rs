//! A running server: the proxy on its listeners, the admin address, and the work in the background.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use copal_policy::Config;
use copal_proxy::{Clock, Parts, Proxy};
use copal_store::Store;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::admin::{self, Admin, InForce};
use crate::htcp::Htcp;
use crate::listener::{BindError, Drain, Listener, Terms};
use crate::settings;
use crate::telemetry::{AccessLog, Telemetry, logging};

/// How often the store is looked after.
const UPKEEP: Duration = Duration::from_secs(1);

/// Rounds of upkeep after which purges are applied to everything stored, so that its memory is free again.
const SWEEP_AFTER: u32 = 15;

/// How long the last lines of the access log may take when the server ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What a server is made of.
#[derive(Debug)]
pub struct Setup {
    /// What it runs by.
    pub config: Config,
    /// The access log, in place of the one that the configuration names.
    pub access_log: Option<AccessLog>,
    /// The present time.
    pub clock: Clock,
    /// The process's log level, where a reload may change it.
    pub level: Option<logging::Level>,
}

/// A server that runs until it is drained or dropped.
pub struct Server {
    proxy: Arc<Proxy>,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    /// What it was started by: some of it is in force until it ends.
    started_by: Arc<Config>,
    /// The origins in force.
    origins: InForce,
    level: Option<logging::Level>,
    /// The access log was given from outside: the configuration has no say in it.
    own_log: bool,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    htcp_address: Option<SocketAddr>,
    drain: Arc<Drain>,
    listeners: JoinSet<()>,
    /// The admin address ends after the listeners, so that it can tell of the drain.
    admin_drain: Arc<Drain>,
    admin: JoinSet<()>,
    upkeep: JoinSet<()>,
}

impl Server {
    /// Binds every address, then serves. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be had, an origin that cannot be built, an access log that cannot be opened; then
    /// nothing was served.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let Setup { config, access_log, clock, level } = setup;
        let config = Arc::new(config);
        let listeners = config.listen.iter().map(|&address| Listener::bind(address)).collect::<Result<Vec<_>, _>>()?;
        let admin_listener = config.admin.map(Listener::bind).transpose()?;
        let htcp = config.purge.htcp.as_ref().map(|htcp| Htcp::bind(htcp.address)).transpose()?;
        let origins = settings::origins(&config, None)?;
        let own_log = access_log.is_some();
        let log = access_log.map_or_else(|| settings::access_log(&config), Ok).map_err(StartError::Log)?;
        let telemetry = Arc::new(Telemetry::start(log).map_err(StartError::Log)?);
        telemetry.metrics().config_loaded(clock.now().as_millis());
        let times = clock.clone();
        let store = Store::with_clock(settings::store(&config), move || times.now());
        let proxy = Proxy::new(Parts {
            config: Arc::clone(&config),
            store: Arc::clone(&store),
            origins: origins.clone(),
            observer: telemetry.observer(),
            clock: clock.clone(),
        });
        let mut server = Self {
            proxy,
            telemetry,
            clock,
            started_by: Arc::clone(&config),
            origins: Arc::new(Mutex::new(origins)),
            level,
            own_log,
            addresses: listeners.iter().map(Listener::address).collect(),
            admin_address: admin_listener.as_ref().map(Listener::address),
            htcp_address: htcp.as_ref().map(Htcp::address),
            drain: Arc::default(),
            listeners: JoinSet::new(),
            admin_drain: Arc::default(),
            admin: JoinSet::new(),
            upkeep: JoinSet::new(),
        };
        server.serve(&config, listeners, admin_listener);
        if let Some(htcp) = htcp {
            server.listeners.spawn(htcp.serve(Arc::clone(&server.proxy), Arc::clone(&server.drain)));
        }
        server.upkeep.spawn(upkeep(Arc::clone(&server.proxy)));
        Ok(server)
    }

    fn serve(&mut self, config: &Config, listeners: Vec<Listener>, admin: Option<Listener>) {
        let terms = Terms {
            limits: config.limits,
            room: Arc::new(Semaphore::new(config.limits.connections.min(Semaphore::MAX_PERMITS))),
            counts: Arc::clone(&self.telemetry.metrics().connections),
            drain_limit: config.drain,
        };
        for listener in listeners {
            self.listeners.spawn(listener.serve(Arc::clone(&self.proxy), terms.clone(), Arc::clone(&self.drain)));
        }
        if let Some(listener) = admin {
            let service = Admin {
                proxy: Arc::clone(&self.proxy),
                telemetry: Arc::clone(&self.telemetry),
                drain: Arc::clone(&self.drain),
                started: self.clock.now().as_millis(),
                store_limit: config.cache.memory,
                counting: admin::counting(),
                origins: Arc::clone(&self.origins),
                clock: self.clock.clone(),
            };
            let terms = admin::terms(config.limits);
            self.admin.spawn(listener.serve(Arc::new(service), terms, Arc::clone(&self.admin_drain)));
        }
    }

    /// The proxy that serves.
    #[must_use]
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Its counts and logs.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Where clients connect, in the order of the configuration; with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics, health and API are.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Where HTCP is taken; with the port that the system chose.
    #[must_use]
    pub fn htcp_address(&self) -> Option<SocketAddr> {
        self.htcp_address
    }

    /// Settings that have changed by [`Server::reconfigure`] and wait for a start of the process, in the file's words.
    #[must_use]
    pub fn needs_restart(&self) -> Vec<&'static str> {
        settings::needs_restart(&self.started_by, &self.proxy.config())
    }

    /// Puts `config` in force, at once and as a whole; requests under way keep what they began with. What stays as it
    /// was until the process is started again, [`Server::needs_restart`] tells.
    ///
    /// # Errors
    /// An origin that cannot be built, an access log that cannot be opened; then nothing has changed.
    pub fn reconfigure(&self, config: Config) -> Result<(), StartError> {
        let mut origins = self.origins.lock();
        let before = self.proxy.config();
        let new = settings::origins(&config, Some((&before, &origins)))?;
        let moved = (before.log.access, &before.log.path) != (config.log.access, &config.log.path);
        if moved && !self.own_log {
            self.telemetry.use_log(settings::access_log(&config).map_err(StartError::Log)?);
        }
        if let Some(level) = &self.level {
            level.set(config.log.level);
        }
        (*origins).clone_from(&new);
        self.proxy.reconfigure(Arc::new(config), new);
        self.telemetry.metrics().config_loaded(self.clock.now().as_millis());
        Ok(())
    }

    /// Stops accepting, finishes the requests under way (for `drain` of the configuration at most), writes the last
    /// lines of the log, and ends. `/readyz` says 503 from the first moment on.
    pub async fn drain(mut self) {
        self.drain.begin();
        self.proxy.end_tunnels();
        while self.listeners.join_next().await.is_some() {}
        self.telemetry.flush(FLUSH_LIMIT).await;
        self.admin_drain.begin();
        while self.admin.join_next().await.is_some() {}
        self.upkeep.abort_all();
    }
}

/// Keeps the store tidy: applies purges to what lies there unasked, and lets go of what is over the limit.
async fn upkeep(proxy: Arc<Proxy>) {
    let store = proxy.store();
    let mut rounds = tokio::time::interval(UPKEEP);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut swept, mut since) = (store.sequence(), 0);
    loop {
        tokio::select! {
            _ = rounds.tick() => since += 1,
            () = store.sweep_wanted() => {}
        }
        let work = Arc::clone(&proxy);
        let sequence = store.sequence();
        let sweeps = store.sweep_due() || (sequence != swept && since >= SWEEP_AFTER);
        // Both take time in proportion to what is stored.
        let done = if sweeps {
            (swept, since) = (sequence, 0);
            tokio::task::spawn_blocking(move || work.sweep()).await
        } else {
            tokio::task::spawn_blocking(move || work.store().settle()).await
        };
        if done.is_err() {
            tracing::error!("the upkeep of the store failed; trying again");
            rounds.tick().await;
        }
    }
}

/// Why a server did not start, or a configuration could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An origin cannot be built.
    #[error(transparent)]
    Origin(#[from] settings::BrokenOrigin),
    /// The access log cannot be opened.
    #[error("{0}")]
    Log(#[source] io::Error),
}

#[cfg(test)]
mod tests;
