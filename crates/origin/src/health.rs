//! Active checks: a task for each server asks it whether it is well.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use memchr::memmem::Finder;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{sleep_until, timeout};

use crate::body::OriginBody;
use crate::error::{Kind, OriginError};
use crate::link::deadline;
use crate::request::RequestBody;
use crate::server::Server;
use crate::servers::{Member, Servers};
use crate::settings::{OriginSettings, Timeouts};

/// How much of a body is read, in bytes.
const READ: usize = 64 << 10;
/// The shortest pause from one check to the next.
const SHORTEST: Duration = Duration::from_millis(10);
/// The first checks are spread over a tenth of the interval, at most over this, so that a thousand servers are not asked at once.
const SPREAD: Duration = Duration::from_secs(1);
/// Who asks.
const AGENT: &str = concat!("copal-health/", env!("CARGO_PKG_VERSION"));

/// The checks of an origin's servers; they end with it.
pub(crate) struct Checks {
    checker: Option<Arc<Checker>>,
    tasks: OnceLock<Vec<AbortHandle>>,
}

impl Checks {
    /// # Errors
    /// [`Kind::Settings`] for a path or a host that cannot be asked for.
    pub(crate) fn new(settings: &OriginSettings) -> Result<Self, OriginError> {
        Ok(Self { checker: Checker::new(settings)?.map(Arc::new), tasks: OnceLock::new() })
    }

    /// Begins, where checks are wanted and there is a runtime for them, if they have not begun.
    pub(crate) fn start(&self, servers: &Servers) {
        if let Some(checker) = &self.checker
            && self.tasks.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let watch = |member: &Arc<Member>| runtime.spawn(checker.clone().watch(member.clone())).abort_handle();
            self.tasks.get_or_init(|| servers.members().iter().map(watch).collect());
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.tasks.take().into_iter().flatten().for_each(|task| task.abort());
    }
}

/// How a server is asked.
struct Checker {
    settings: OriginSettings,
    target: Option<Uri>,
    host: Option<HeaderValue>,
    statuses: Vec<(u16, u16)>,
    text: Option<Finder<'static>>,
    interval: Duration,
    timeouts: Timeouts,
}

impl Checker {
    fn new(settings: &OriginSettings) -> Result<Option<Self>, OriginError> {
        let Some(check) = &settings.health else { return Ok(None) };
        let target = check.path.as_ref().map(|path| match path.starts_with('/') {
            true => path.parse().map_err(|error| OriginError::because(Kind::Settings, error)),
            false => Err(OriginError::because(Kind::Settings, format!("{path}: a check's path begins with a slash"))),
        });
        let host = check.host.as_deref().map(HeaderValue::from_str).transpose();
        let limit = check.timeout;
        Ok(Some(Self {
            target: target.transpose()?,
            host: host.map_err(|error| OriginError::because(Kind::Settings, error))?,
            statuses: check.statuses.clone(),
            text: check.body.as_ref().map(|text| Finder::new(text).into_owned()),
            interval: check.interval,
            timeouts: Timeouts {
                connect: limit,
                tls: limit,
                first_byte: limit,
                between_bytes: limit,
                total: Some(limit),
            },
            settings: settings.clone(),
        }))
    }

    /// Asks one server for ever.
    async fn watch(self: Arc<Self>, member: Arc<Member>) {
        let mut jitter = Jitter::new(RandomState::new().hash_one(member.server().authority()));
        sleep_until(deadline(jitter.up_to(SPREAD.min(self.interval / 10)))).await;
        loop {
            let next = deadline(jitter.around(self.interval).max(SHORTEST));
            let found = self.ask(member.server()).await;
            let (is_good, Ok(what) | Err(what)) = (found.is_ok(), &found);
            member.checked(is_good, what);
            sleep_until(next).await;
        }
    }

    /// One check: what was found, good or bad.
    async fn ask(&self, server: &Arc<Server>) -> Result<String, String> {
        let limit = self.timeouts.connect;
        match timeout(limit, self.exchange(server)).await {
            Ok(found) => found,
            Err(_) => Err(Kind::TotalTimeout.as_str().to_owned()),
        }
    }

    async fn exchange(&self, server: &Arc<Server>) -> Result<String, String> {
        let in_a_word = |error: OriginError| error.as_str().to_owned();
        let connection = server.connect_once(&self.settings, self.timeouts).await.map_err(in_a_word)?;
        let Some(request) = self.request(server) else { return Ok("connected".to_owned()) };
        let exchanged = connection.exchange(request, None, self.timeouts.first_byte.into(), server).await;
        let (head, reading, _) = exchanged.map_err(|failed| in_a_word(failed.error))?;
        let body = OriginBody::new(reading, self.timeouts.between_bytes, None);
        self.judge_status(head.status)?;
        self.judge_body(body).await?;
        Ok(format!("status {}", head.status.as_u16()))
    }

    fn request(&self, server: &Server) -> Option<Box<Request<RequestBody>>> {
        let mut request = Box::new(Request::new(RequestBody::Empty));
        *request.uri_mut() = self.target.clone()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.as_ref().unwrap_or(server.host()).clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        // A check is to find out whether connections are taken: it makes its own, and leaves none behind.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Some(request)
    }

    fn judge_status(&self, status: StatusCode) -> Result<(), String> {
        let status = status.as_u16();
        match self.statuses.iter().any(|&(first, last)| (first..=last).contains(&status)) {
            true => Ok(()),
            false => Err(format!("status {status}")),
        }
    }

    /// Reads the body, also where nothing is looked for in it: a server that breaks off its answers is not well.
    async fn judge_body(&self, mut body: OriginBody) -> Result<(), String> {
        let mut read = Vec::new();
        let mut left = READ;
        while left > 0
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|error| error.as_str().to_owned())?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            let data = &data[..data.len().min(left)];
            left -= data.len();
            if self.text.is_some() {
                read.extend_from_slice(data);
            }
        }
        match &self.text {
            Some(text) if text.find(&read).is_none() => Err("the body lacks what it has to contain".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Random times (SplitMix64, Steele, Lea, Flood, 2014), so that checks of several servers, and several proxies, do not march in step.
struct Jitter(u64);

impl Jitter {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A time less than `limit`.
    fn up_to(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        limit.mul_f64((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// A time within a tenth of `middle`.
    fn around(&mut self, middle: Duration) -> Duration {
        let tenth = middle / 10;
        (middle - tenth).saturating_add(self.up_to(2 * tenth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_differ_by_a_tenth_at_most(seed: u64, nanos in 0..1_u64 << 60) {
            let middle = Duration::from_nanos(nanos);
            let mut jitter = Jitter::new(seed);
            for _ in 0..20 {
                let pause = jitter.around(middle);
                prop_assert!(pause >= middle - middle / 10 && pause <= middle + middle / 10, "{pause:?}");
                prop_assert!(jitter.up_to(middle) <= middle);
            }
        }
    }

    #[test]
    fn pauses_differ_and_their_seed_decides() {
        let pauses = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..50).map(|_| jitter.around(Duration::from_secs(10))).collect::<Vec<_>>()
        };
        assert_eq!(pauses(1), pauses(1));
        let (first, other) = (pauses(1), pauses(2));
        assert!(std::iter::zip(&first, &other).all(|(one, two)| one != two));
        let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert!(least.as_secs_f64() < 9.3 && most.as_secs_f64() > 10.7, "{least:?} {most:?}");
    }
}
