//! One request on its way: where it goes, and when it is sent once more.
//!
//! A request of which nothing was sent may go anywhere. One that was sent may have been done, and is sent again only where twice is
//! as good as once (RFC 9110 §9.2.2), all of it is still there, and nothing of a response was given out. How often is limited
//! for each request, and by a budget for all of them together.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::{OriginBody, Reading};
use crate::budget::Repeat;
use crate::call::Call;
use crate::connection::{Connection, Head, Needs};
use crate::error::{Fault, Kind, OriginError};
use crate::framing::framed;
use crate::hold::{Ahead, Hold};
use crate::link::{Failed, OnInterim, deadline};
use crate::origin::{Origin, OriginResponse};
use crate::replay::Replay;
use crate::request::{Progress, RequestBody};
use crate::server::Server;
use crate::servers::{Lease, Session, Wanted};
use crate::settings::Timeouts;
use crate::silence::Silence;
use crate::upgrade::{self, Upgrading};

/// How long an idle connection is believed to be still open, by a request that cannot be sent twice. Servers close idle connections
/// after some seconds, and a request that meets the close on its way is lost (RFC 9112 §9.5).
const BELIEVED: Duration = Duration::from_secs(1);

/// How many servers a request may find dead beside those that it may be sent to: with many dead at once it does not walk through all.
const UNSENT: usize = 3;

type Outgoing = Box<Request<RequestBody>>;

/// A response as a connection gives it.
type Answer = (Head, Reading, Option<Upgrading>);

/// A request, and how far it has come.
pub(crate) struct Sending<'a> {
    origin: &'a Origin,
    on_interim: Option<OnInterim>,
    /// What a server is picked by.
    hash: Option<u64>,
    timeouts: Timeouts,
    session: Option<Session>,
    /// Where the session lived when the request came, for all that was known.
    home: Option<usize>,
    needs: Needs,
    /// The request, where it may be done twice and is kept.
    replay: Option<Replay>,
    /// It is certain to be had again.
    twice: bool,
    has_host: bool,
    /// How far the body is that is being sent.
    progress: Option<Arc<Progress>>,
    /// The server that has it, by its place.
    here: usize,
    /// Those that had it before.
    tried: Vec<usize>,
    /// How often it may still be sent again.
    tries_left: usize,
    /// How many servers more it may go to for nothing, as nothing of it was sent.
    unsent_left: usize,
    /// Only a fresh connection will do: a kept one turned out to be closed.
    fresh: bool,
    /// The end of all waiting.
    end: Option<Pin<Box<Sleep>>>,
}

/// A place elsewhere, leave to send the request there, and the request.
type Refuge<'a> = (Lease, Repeat<'a>, Outgoing);

/// A try that brought no response.
struct Failure<'a> {
    error: OriginError,
    /// The request, where nothing of it was sent.
    unsent: Option<Outgoing>,
    /// The place at the server, where that is not to blame: it had closed a connection that was kept.
    lease: Option<Lease>,
    /// The connection was closed before the first byte of a response.
    unheard: bool,
    /// Where the request goes on, as its server went out while it waited there.
    refuge: Option<Refuge<'a>>,
}

impl<'a> Sending<'a> {
    /// # Errors
    /// [`Kind::Request`] for what cannot be sent.
    pub(crate) fn new(
        origin: &'a Origin,
        request: Request<RequestBody>,
        call: Call,
    ) -> Result<(Self, Outgoing), OriginError> {
        let Call { on_interim, hash, client, timeouts } = call;
        let timeouts = timeouts.unwrap_or(origin.settings.timeouts);
        let mut request = framed(request)?;
        let replay = remember(&mut request, origin.settings.retry.replay);
        // One walk costs less than to look for each of them.
        let (mut has_host, mut upgrade, mut chunked) = (false, false, false);
        for name in request.headers().keys() {
            match *name {
                HOST => has_host = true,
                UPGRADE => upgrade = true,
                TRANSFER_ENCODING => chunked = true,
                _ => {}
            }
        }
        let session = origin.servers.session(request.headers());
        let sending = Self {
            origin,
            on_interim,
            hash,
            timeouts,
            session,
            home: session.and_then(|session| origin.servers.home(session)),
            needs: Needs { client, upgrade },
            // A body that goes in chunks may turn out to be too long to be kept.
            twice: replay.is_some() && !chunked,
            replay,
            has_host,
            progress: None,
            here: 0,
            tried: Vec::new(),
            tries_left: origin.settings.retry.tries,
            unsent_left: if origin.settings.retry.tries == 0 { 0 } else { UNSENT },
            fresh: false,
            end: timeouts.total.map(|total| Box::pin(sleep_until(deadline(total)))),
        };
        Ok((sending, request))
    }

    /// Sends the request until there is a response, or nothing more to be done.
    ///
    /// # Errors
    /// [`OriginError`] of the last server that was tried.
    pub(crate) async fn run(&mut self, mut request: Outgoing) -> Result<Box<OriginResponse>, OriginError> {
        let mut lease = self.place(false).await?.ok_or_else(|| OriginError::new(Kind::NoServer))?;
        // A response that is given out if there comes no better one.
        let mut spare = None;
        loop {
            (lease, request) = match self.attempt(lease, request).await {
                Ok(response) if self.is_unwanted(&response) => {
                    // What is still to be sent goes elsewhere then, and that breaks off this answer.
                    let stays = !self.is_sending();
                    match self.next(None, false).await {
                        Some(next) => {
                            spare = stays.then_some(response);
                            next
                        }
                        None => return Ok(self.done(response)),
                    }
                }
                Ok(response) => return Ok(self.done(response)),
                Err(failure) => match (self.after(failure).await, spare.take()) {
                    (Ok(next), kept) => {
                        spare = kept;
                        next
                    }
                    (Err(error), Some(response)) if error.kind() != Kind::TotalTimeout => {
                        return Ok(self.done(response));
                    }
                    (Err(error), _) => return Err(error),
                },
            };
        }
    }

    /// What may be done after a failure.
    async fn after(&mut self, failure: Failure<'a>) -> Result<(Lease, Outgoing), OriginError> {
        let Failure { error, unsent, lease, unheard, refuge } = failure;
        if let Some(refuge) = refuge {
            return Ok(self.moves(refuge));
        }
        if let Some(lease) = lease {
            // That a kept connection was closed says nothing about its server: it costs no try.
            self.fresh = true;
            return match unsent.or_else(|| self.again()) {
                Some(request) => Ok((lease, request)),
                None => Err(error),
            };
        }
        let kind = error.kind();
        if kind == Kind::TotalTimeout || unsent.is_none() && kind.fault() != Fault::Origin {
            return Err(error);
        }
        // A connection may break by accident; a server that refuses, is silent or talks nonsense would do so again.
        self.next(unsent, unheard).await.ok_or(error)
    }

    /// Another place for the request, and the request for it, where it may be sent once more: the one that came back unsent, or a copy.
    async fn next(&mut self, unsent: Option<Outgoing>, same_will_do: bool) -> Option<(Lease, Outgoing)> {
        let elsewhere = self.origin.servers.another(&self.tried, self.here);
        let is_sent = unsent.is_none();
        let left =
            if is_sent || !elsewhere || self.unsent_left == 0 { &mut self.tries_left } else { &mut self.unsent_left };
        if *left == 0 || is_sent && self.replay.is_none() || !elsewhere && !same_will_do {
            return None;
        }
        // What was not sent is no load on anybody: it is not repeated, it only goes elsewhere.
        let repeat = match is_sent {
            true => Some(self.origin.repeats.repeat()?),
            false => None,
        };
        *left -= 1;
        self.tried = self.tried_with_this();
        self.fresh |= !elsewhere;
        let lease = self.place(!elsewhere).await.ok()??;
        let request = unsent.or_else(|| self.again())?;
        match repeat {
            Some(repeat) => repeat.sent(),
            None => self.origin.repeats.moved(),
        }
        Some((lease, request))
    }

    /// A place at another server right now, where the one that has the request went out and owes an answer to all of it.
    fn refuge(&self) -> Option<Refuge<'a>> {
        let origin = self.origin;
        if self.replay.is_none() || self.tries_left == 0 || self.is_sending() || !origin.servers.is_lost(self.here) {
            return None;
        }
        let repeat = origin.repeats.try_repeat()?;
        let tried = self.tried_with_this();
        // Having waited once it is not risked on another server that is out.
        let wanted = Wanted { hash: self.hash, session: self.session, twice: false, safe: true, tried: &tried };
        let lease = origin.servers.try_pick(&wanted)?;
        Some((lease, repeat, self.again()?))
    }

    /// Goes on there.
    fn moves(&mut self, (lease, repeat, request): Refuge<'a>) -> (Lease, Outgoing) {
        self.tries_left -= 1;
        self.tried = self.tried_with_this();
        self.here = lease.index();
        self.origin.servers.sends(&lease, self.session, &self.tried);
        repeat.sent();
        (lease, request)
    }

    /// Those that had it, with this one: each once, as they are counted.
    fn tried_with_this(&self) -> Vec<usize> {
        let this = Some(self.here).filter(|here| !self.tried.contains(here));
        self.tried.iter().copied().chain(this).collect()
    }

    fn again(&self) -> Option<Outgoing> {
        self.replay.as_ref()?.request()
    }

    /// Whether another server may be sent what this one was.
    fn has_another(&self) -> bool {
        self.tries_left > 0 && self.origin.servers.another(&self.tried, self.here)
    }

    /// Whether some of the body is still to come in. One that is in memory has come in, whatever of it is still to be written.
    fn is_sending(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| !progress.is_over())
    }

    /// Whether another server is to be asked, although this one has answered.
    fn is_unwanted(&self, response: &OriginResponse) -> bool {
        self.origin.settings.retry.statuses.contains(&response.status)
            && self.replay.is_some()
            && self.has_another()
            && !self.is_at_home()
    }

    /// Whether the server that has the request is the one that knows its session: what that says no other can say better, to
    /// them it would be somebody who is not logged in.
    fn is_at_home(&self) -> bool {
        self.home == Some(self.here) && self.origin.servers.keeps_sessions(self.here)
    }

    /// A place at a server that was not tried, or at any.
    async fn place(&mut self, any: bool) -> Result<Option<Lease>, OriginError> {
        let tried = match any {
            true => &[],
            false => &self.tried[..],
        };
        let wanted = Wanted {
            hash: self.hash,
            session: self.session,
            twice: self.twice && self.tries_left > 0,
            safe: false,
            tried,
        };
        let picked = by(&mut self.end, pin!(self.origin.servers.pick(&wanted))).await;
        let lease = picked.unwrap_or_else(|| Err(OriginError::new(Kind::TotalTimeout)))?;
        self.here = lease.as_ref().map_or(self.here, Lease::index);
        Ok(lease)
    }

    /// One try.
    async fn attempt(&mut self, lease: Lease, request: Outgoing) -> Result<Box<OriginResponse>, Failure<'a>> {
        let server = lease.server().clone();
        let believed = if self.twice { Duration::MAX } else { BELIEVED };
        let kept = match self.fresh {
            true => None,
            false => server.kept(believed, self.needs).await,
        };
        let was_kept = kept.is_some();
        self.progress = request.body().progress();
        let mut end = self.end.take();
        let limits = self.limits(&end);
        let refuge = Mutex::new(None);
        // A trial is to find out whether its server is still out.
        let is_trial = lease.is_trial();
        let in_vain = || {
            let found = if is_trial { None } else { self.refuge() };
            let is_found = found.is_some();
            *refuge.lock().unwrap_or_else(PoisonError::into_inner) = found;
            is_found
        };
        let exchanged = by(&mut end, pin!(self.exchange(&server, kept, request, &limits, &in_vain))).await;
        self.end = end;
        let Failed { error, unsent, unheard } = match exchanged {
            Some(Ok(answer)) => {
                let response = self.answered(answer, lease);
                let ahead = match self.awaits(&response) {
                    Hold::Nothing => return Ok(response),
                    Hold::Whole => None,
                    Hold::Moment(ahead) => Some(ahead),
                };
                return self.hold(response, ahead).await;
            }
            Some(Err(failed)) => failed,
            None => return Err(self.overdue(lease)),
        };
        let refuge = refuge.into_inner().unwrap_or_else(PoisonError::into_inner);
        if refuge.is_some() {
            // Its server is out already: what became of this request says nothing more of it.
            tracing::debug!(
                origin = self.origin.name(),
                server = &**server.authority(),
                "request leaves a server that is out"
            );
            return Err(Failure { error, unsent, lease: None, unheard, refuge });
        }
        let (kind, error) = (error.kind(), error.at(server.authority()));
        tracing::debug!(origin = self.origin.name(), server = &**server.authority(), %kind, was_kept, "exchange failed");
        let lease = match was_kept && (unheard || unsent.is_some()) {
            true => Some(lease),
            false => {
                lease.failed(kind);
                None
            }
        };
        Err(Failure { error, unsent, lease, unheard, refuge })
    }

    /// Connects where there is no kept connection, sends the request and waits for the head of its response.
    async fn exchange(
        &self,
        server: &Arc<Server>,
        kept: Option<Connection>,
        mut request: Outgoing,
        limits: &Timeouts,
        in_vain: &(dyn Fn() -> bool + Sync),
    ) -> Result<Answer, Failed> {
        let connection = match kept {
            Some(connection) => connection,
            // Boxed: it is the rare way, and large; every request would carry its size.
            None => match Box::pin(server.connect(&self.origin.settings, *limits, self.needs)).await {
                Ok(connection) => connection,
                Err(error) => return Err(Failed::unsent(error, request)),
            },
        };
        if !self.has_host {
            request.headers_mut().insert(HOST, server.host().clone());
        }
        let silence = match self.replay {
            Some(_) => Silence::unless(limits.first_byte, in_vain),
            None => limits.first_byte.into(),
        };
        connection.exchange(request, self.on_interim.as_ref(), silence, server).await
    }

    /// The limits of one try: of the time that is left for all of them, a server that swallows connections gets only a share.
    fn limits(&self, end: &Option<Pin<Box<Sleep>>>) -> Timeouts {
        let Some(end) = end else { return self.timeouts };
        let others = self.origin.servers.members().len().saturating_sub(self.tried.len() + 1);
        let left = others.min(self.tries_left + self.unsent_left).max(self.tries_left);
        let shares = u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1);
        let share = end.deadline().saturating_duration_since(Instant::now()) / shares;
        Timeouts { connect: self.timeouts.connect.min(share), ..self.timeouts }
    }

    fn answered(&self, answer: Answer, mut lease: Lease) -> Box<OriginResponse> {
        let (head, reading, upgrade) = answer;
        lease.answered(head.status);
        self.origin.servers.learn(&lease, &head.headers, self.session, &self.tried);
        let server = lease.server().authority().clone();
        let (upgrade, lease) = match upgrade {
            Some(upgrade) => (Some(upgrade::leased(upgrade, lease)), None),
            None => (None, Some(lease)),
        };
        // Boxed: it is handed on several times, and is large.
        Box::new(OriginResponse {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: OriginBody::new(reading, self.timeouts.between_bytes, lease),
            upgrade,
            server,
        })
    }

    /// What of the body is awaited before its head is given out.
    fn awaits(&self, response: &OriginResponse) -> Hold {
        let limit = self.origin.settings.retry.hold;
        if limit == 0 || response.body.has_all() || self.replay.is_none() {
            return Hold::Nothing;
        }
        // Whoever still sends may wait for the head before it sends on.
        if self.is_sending() || self.is_unwanted(response) || !self.has_another() {
            return Hold::Nothing;
        }
        Hold::of(response.status, &response.headers, &http_body::Body::size_hint(&response.body), limit)
    }

    /// Waits for the body, at most as far as `ahead` says.
    async fn hold(
        &mut self,
        mut response: Box<OriginResponse>,
        ahead: Option<Ahead>,
    ) -> Result<Box<OriginResponse>, Failure<'a>> {
        let read = {
            // Boxed: most bodies come with their heads.
            let mut reading = Box::pin(response.body.read_ahead(ahead));
            by(&mut self.end, reading.as_mut()).await
        };
        let error = match read {
            Some(Ok(())) => return Ok(response),
            Some(Err(error)) => error,
            None => OriginError::new(Kind::TotalTimeout),
        };
        let kind = error.kind();
        tracing::debug!(origin = self.origin.name(), server = &*response.server, %kind, "held response broke off");
        Err(Failure { error: error.at(&response.server), unsent: None, lease: None, unheard: false, refuge: None })
    }

    /// The time for all of it is over.
    fn overdue(&self, lease: Lease) -> Failure<'a> {
        let error = OriginError::new(Kind::TotalTimeout).at(lease.server().authority());
        // A later try had only what the first left of the time, and a client that sends slowly takes the server's.
        if self.tried.is_empty() && !self.progress.as_ref().is_some_and(|progress| progress.is_waiting()) {
            lease.failed(Kind::TotalTimeout);
        }
        Failure { error, unsent: None, lease: None, unheard: false, refuge: None }
    }

    /// The response is given out; the time for all of it goes on with its body.
    fn done(&mut self, mut response: Box<OriginResponse>) -> Box<OriginResponse> {
        if let Some(end) = self.end.take() {
            response.body.ends_by(end);
        }
        response
    }
}

/// Keeps a request that may be done twice (RFC 9110 §9.2.2), with up to `limit` bytes of a body that is not in memory.
fn remember(request: &mut Request<RequestBody>, limit: usize) -> Option<Replay> {
    if !request.method().is_idempotent() {
        return None;
    }
    let limit = match request.body() {
        RequestBody::Stream(_) if announced(request.headers()).is_some_and(|length| length > limit) => 0,
        _ => limit,
    };
    let (body, kept) = std::mem::take(request.body_mut()).kept(limit);
    *request.body_mut() = body;
    Some(Replay::new(request, kept?))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Waits for `future`, at most until `end`.
async fn by<F: Future>(end: &mut Option<Pin<Box<Sleep>>>, mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match (future.as_mut().poll(cx), end.as_mut()) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Some(end)) => end.as_mut().poll(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}
