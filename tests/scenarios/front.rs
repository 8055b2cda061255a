//! Copal in this process, before a scripted origin, with a clock that the test moves.

use std::future::Future;
use std::net::SocketAddr;

use copal::server::{Server, Setup};
use copal_proxy::{Clock, TunnelUsage};
use copal_store::{Hardness, Invalidation};
use copal_testkit::{Client, ClientResponse, ManualClock, Scenario, ScriptedOrigin, patiently};
use tokio::task::JoinHandle;

/// 2023-11-14 22:13:20 UTC.
const START: u64 = 1_700_000_000;

pub(crate) struct Front {
    pub(crate) origin: ScriptedOrigin,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    /// Serves until it is dropped.
    server: Server,
}

impl Front {
    /// Before the scripted origin; loopback may purge.
    pub(crate) async fn with(yaml: &str) -> Self {
        Self::with_purge(&format!("purge: {{allow: ['127.0.0.0/8']}}\n{yaml}")).await
    }

    /// Before the scripted origin; who may purge stands in the YAML, or nobody may.
    pub(crate) async fn with_purge(yaml: &str) -> Self {
        let origin = ScriptedOrigin::start().await;
        let yaml = format!("origins: {{site: '{}'}}\n{yaml}", origin.url());
        Self::of(origin, &yaml)
    }

    /// Before the scripted origin and another that rules name `other`.
    pub(crate) async fn with_other(other: &str, yaml: &str) -> Self {
        let origin = ScriptedOrigin::start().await;
        let origins = format!("origins: {{site: '{}', other: '{other}'}}", origin.url());
        Self::of(origin, &format!("purge: {{allow: ['127.0.0.0/8']}}\n{origins}\n{yaml}"))
    }

    /// Before these servers.
    pub(crate) async fn before(servers: &[String], yaml: &str) -> Self {
        let yaml = format!("origins: {{site: {{servers: {servers:?}}}}}\n{yaml}");
        Self::exactly(&yaml).await
    }

    /// By this YAML, which names its origins itself.
    pub(crate) async fn exactly(yaml: &str) -> Self {
        Self::of(ScriptedOrigin::start().await, yaml)
    }

    /// Before this origin, by YAML that names it.
    pub(crate) fn of(origin: ScriptedOrigin, yaml: &str) -> Self {
        let yaml = format!("listen: [{{address: '127.0.0.1:0'}}]\nlog: {{access: off}}\n{yaml}");
        let loaded =
            copal_policy::load_str("test.yaml", &yaml, None).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
        let clock = ManualClock::at(START);
        let setup =
            Setup { config: loaded.config, access_log: None, clock: Clock::manual(clock.source()), level: None };
        let server = Server::start(setup).unwrap_or_else(|error| panic!("{error}"));
        let address = server.addresses()[0];
        Self { origin, clock, address, server }
    }

    pub(crate) fn scenario(&self) -> Scenario<'_> {
        Scenario::new(self.address, &self.origin)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await.with_host("test.example")
    }

    /// A client of the admin address.
    pub(crate) async fn admin(&self) -> Client {
        Client::connect(self.server.admin_address().unwrap_or_else(|| panic!("no admin address"))).await
    }

    /// GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> ClientResponse {
        self.client().await.get(target).send().await
    }

    /// GET at the same time as other things.
    pub(crate) fn spawn_get(&self, target: &str) -> JoinHandle<ClientResponse> {
        let (address, target) = (self.address, target.to_owned());
        tokio::spawn(async move { Client::connect(address).await.with_host("test.example").get(&target).send().await })
    }

    pub(crate) async fn purge(&self, target: &str) -> ClientResponse {
        self.client().await.request("PURGE", target).send().await
    }

    /// Makes stale what is stored for this URL.
    pub(crate) fn purge_softly(&self, target: &str) {
        let url = format!("http://test.example{target}");
        self.server.proxy().purge_url(&url, Hardness::Soft).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Removes what the origin gave this tag.
    pub(crate) fn purge_tag(&self, tag: &str) {
        self.server.proxy().store().invalidate(&Invalidation::Tag(tag.to_owned()), Hardness::Hard);
    }

    /// The number of the newest invalidation.
    pub(crate) fn sequence(&self) -> u64 {
        self.server.proxy().store().sequence().get()
    }

    /// Groups of user contexts: known, asked for, and those that were not to be had.
    pub(crate) fn groups(&self) -> (u64, u64, u64) {
        let usage = self.server.proxy().context_usage();
        (usage.known, usage.asked, usage.failed)
    }

    /// Connections that speak another protocol.
    pub(crate) fn tunnels(&self) -> TunnelUsage {
        self.server.proxy().tunnel_usage()
    }

    /// Ends as the process does.
    pub(crate) async fn drain(self) {
        self.server.drain().await;
    }

    /// Where HTCP is taken.
    pub(crate) fn htcp_address(&self) -> SocketAddr {
        self.server.htcp_address().unwrap_or_else(|| panic!("no HTCP"))
    }

    /// Removes everything whose path and query begin so.
    pub(crate) fn purge_prefix(&self, path: &str) {
        let prefix = Invalidation::Prefix { host: None, path: path.to_owned() };
        self.server.proxy().store().invalidate(&prefix, Hardness::Hard);
    }

    /// Asks again and again until it holds.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, holds: impl Fn() -> F) {
        let again = async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        };
        patiently(|| "a condition that never held".to_owned(), again).await;
    }

    /// The origin's port refuses from now on.
    pub(crate) async fn stop_origin(&mut self) {
        self.origin.stop().await;
    }
}
