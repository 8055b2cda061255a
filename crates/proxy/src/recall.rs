//! A page by heart: what was decided about a template's fragments when its page was last asked for, so that it need not be decided
//! again ([decision 0018](../../../docs/decisions/0018-pages-by-heart.md)). It stands as a note at the template and goes with it.
//!
//! Only decisions are kept, and only those that are the same for everybody who asks in the same way: under which key, and by
//! which rule, each fragment is looked up. The looking up itself, freshness and invalidations are done for each request, by
//! the functions that do it on the long way; whatever does not come out as a plain hit sends the whole page there.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use copal_esi::{Include, Piece};
use copal_policy::Rule;
use copal_semantics::{FreshnessState, Target, Timestamp};
use copal_store::{CacheKey, Lookup, Place, Selector, StoredResponse};
use http::header::{ACCEPT_ENCODING, AGE, CACHE_STATUS, COOKIE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::answer::Answer;
use crate::assemble::{self, Told};
use crate::body::Body;
use crate::decide::{self, CachePlan};
use crate::deliver;
use crate::exchange::Exchange;
use crate::fragment::Page;
use crate::made::{self, Identity, Made};
use crate::page_head;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::request;

/// What is known of the page of a template for requests of one kind.
struct Known {
    kind: Arc<Kind>,
    /// None: nothing can be known beforehand, the page is put together the long way.
    parts: Option<Arc<[Part]>>,
    /// Bytes that its fragments may have together.
    max_bytes: u64,
    /// The head of the page, before what is told of the moment.
    head: Arc<HeaderMap>,
    /// The entity tag, and of what fragments.
    tag: Option<(Box<[u128]>, HeaderValue)>,
}

/// What requests have in common for which the same is known, beside that none of their fields decides on anything.
struct Kind {
    /// The settings. A weak reference keeps the address from being given to others, and none of the settings.
    runtime: Weak<Runtime>,
    rule: Arc<Rule>,
    /// Relative references start from it. The query is left out: no fragment here has the path of its page, so it is neither in a
    /// reference that begins at the page nor in the question whether a page includes itself.
    target: Target,
}

/// How a fragment is looked up.
struct Part {
    key: CacheKey,
    extras: Box<str>,
    rule: Arc<Rule>,
    place: Place,
}

/// What became of it.
enum Recalled {
    Page(Box<Answer>, Option<(Box<[u128]>, HeaderValue)>),
    /// This time it goes the long way.
    Not,
    /// What is known was of settings that are no longer in force.
    Outdated,
}

/// The page of a template that is a hit, where it is known by heart and all its fragments are hits; none: to be put together
/// the long way.
pub(crate) fn page(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    (exchange, plan): (&Exchange, &CachePlan),
    template: &Arc<StoredResponse>,
) -> Option<Answer> {
    if !is_like_all(runtime, exchange, plan) {
        return None;
    }
    let recalled = template.note.read(|known: &Known| match known.kind.fits(runtime, rule, exchange) {
        Some(true) => known.page(proxy, exchange, template),
        Some(false) => Recalled::Not,
        None => Recalled::Outdated,
    });
    match recalled {
        Some(Recalled::Page(answer, tag)) => {
            if let Some(tag) = tag {
                let with_tag = |known: &Known| known.with_tag(tag);
                if let Some(known) = template.note.read(with_tag) {
                    template.note.write(known);
                }
            }
            proxy.by_heart.0.fetch_add(1, Ordering::Relaxed);
            Some(*answer)
        }
        Some(Recalled::Not) => None,
        Some(Recalled::Outdated) | None => {
            template.note.write(Known::of(proxy, runtime, rule, exchange, template));
            None
        }
    }
}

/// The head of a template's page, as [`page_head::page_head`] makes it, where that is known; for [`assemble::whole`].
pub(crate) fn head(runtime: &Arc<Runtime>, rule: &Arc<Rule>, template: &StoredResponse) -> Option<HeaderMap> {
    let head = |known: &Known| {
        let kind = &known.kind;
        let same = std::ptr::eq(kind.runtime.as_ptr(), Arc::as_ptr(runtime)) && Arc::ptr_eq(&kind.rule, rule);
        same.then(|| (*known.head).clone())
    };
    template.note.read(head).flatten()
}

/// Whether nothing of a request but its target decides on its page's fragments.
fn is_like_all(runtime: &Runtime, exchange: &Exchange, plan: &CachePlan) -> bool {
    exchange.method == Method::GET
        && exchange.depth == 0
        && exchange.lineage.is_none()
        && exchange.wishes.is_none()
        && exchange.spot.is_none()
        && !exchange.abroad
        && !plan.authorized
        && plan.directed.is_none()
        && plan.sub_key.is_none()
        && plan.member.is_none()
        // Who is in which group is found out for each visitor.
        && runtime.config.contexts.is_empty()
        && decide::decides_nothing(&runtime.config, &exchange.headers)
}

impl Kind {
    /// Whether a request is of this kind; none where the settings are others now.
    fn fits(&self, runtime: &Arc<Runtime>, rule: &Arc<Rule>, exchange: &Exchange) -> Option<bool> {
        if !std::ptr::eq(self.runtime.as_ptr(), Arc::as_ptr(runtime)) {
            return None;
        }
        let (known, asked) = (&self.target, &exchange.target);
        Some(
            Arc::ptr_eq(&self.rule, rule)
                && known.scheme == asked.scheme
                && known.host == asked.host
                && known.path == asked.path,
        )
    }
}

impl Known {
    fn of(
        proxy: &Arc<Proxy>,
        runtime: &Arc<Runtime>,
        rule: &Arc<Rule>,
        exchange: &Exchange,
        template: &StoredResponse,
    ) -> Self {
        let head = with_places(page_head::page_head(&template.headers, &runtime.config, rule, true));
        let kind = Kind {
            runtime: Arc::downgrade(runtime),
            rule: Arc::clone(rule),
            target: Target { query: None, ..exchange.target.clone() },
        };
        let parts = parts(proxy, runtime, rule, exchange, template);
        // What it costs is in the weight of the template.
        let costs = |part: &Part| size_of::<Part>() + part.key.as_str().len() + part.extras.len() + 64;
        let parts = parts.filter(|parts| parts.iter().map(costs).sum::<usize>() <= template.note_room());
        let max_bytes = runtime.config.esi.max_bytes;
        Self { kind: Arc::new(kind), parts: parts.map(Into::into), max_bytes, head: Arc::new(head), tag: None }
    }

    fn with_tag(&self, tag: (Box<[u128]>, HeaderValue)) -> Self {
        Self {
            kind: Arc::clone(&self.kind),
            parts: self.parts.clone(),
            max_bytes: self.max_bytes,
            head: Arc::clone(&self.head),
            tag: Some(tag),
        }
    }

    fn page(&self, proxy: &Proxy, exchange: &Exchange, template: &Arc<StoredResponse>) -> Recalled {
        let (Some(parts), now) = (&self.parts, exchange.now) else { return Recalled::Not };
        let mut left = self.max_bytes;
        let mut found = Vec::with_capacity(parts.len());
        let mut keep = made::keep(template, &self.kind.rule, Reason::Hit, now);
        for part in &**parts {
            let Some(response) = part.look_up(proxy, now) else { return Recalled::Not };
            let Some(made) = Made::of(&response, &part.rule, Reason::Hit, now) else { return Recalled::Not };
            match left.checked_sub(response.body.length) {
                Some(rest) => left = rest,
                None => return Recalled::Not,
            }
            keep = keep.zip(made.keep).map(|(one, other)| one.min(other));
            found.push((response, made.identity));
        }
        proxy.observer.fragments(Reason::Hit, found.len() as u64);
        let same = |(identities, _): &&(Box<[u128]>, HeaderValue)| {
            identities.len() == found.len() && identities.iter().zip(&found).all(|(one, (_, other))| one == other)
        };
        let (tag, news) = match self.tag.as_ref().filter(same) {
            Some((_, tag)) => (Some(tag.clone()), None),
            None => {
                let tag = tag(template, &found);
                let identities = found.iter().map(|(_, identity)| *identity).collect();
                (tag.clone(), tag.map(|tag| (identities, tag)))
            }
        };
        let told = Told { headers: (*self.head).clone(), made: Some((tag, keep)) };
        let body = || body(template, &found);
        let answer = assemble::whole(exchange, &self.kind.rule, (template, Reason::Hit), told, body);
        Recalled::Page(Box::new(answer), news)
    }
}

/// The head of a template's pages with what is the same for all of them, and empty fields where each page says something of its own: a
/// field that is there is replaced in its place, and one that is added makes the copy of a map grow.
fn with_places(mut head: HeaderMap) -> HeaderMap {
    deliver::via(&mut head);
    for name in [AGE, CACHE_STATUS, ETAG] {
        head.entry(name).or_insert(HeaderValue::from_static(""));
    }
    head
}

/// How each fragment of a template is looked up; none where that is not the same for all requests of a kind.
fn parts(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: &Exchange,
    template: &StoredResponse,
) -> Option<Vec<Part>> {
    let includes: Option<Vec<&Include>> = template
        .body
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Include(include) if !include.has_variables() && include.options.is_none() => Some(Some(&**include)),
            Piece::Include(_) | Piece::Block(_) => Some(None),
        })
        .collect();
    let includes = includes.filter(|includes| includes.len() <= runtime.config.esi.max_includes)?;
    let page = Page::new(proxy, runtime, rule, exchange, &template.headers);
    if !page.is_shallow() {
        return None;
    }
    let part = |include: &Include| {
        let (asked, _) = page.request(include, (&exchange.target, exchange.abroad), &include.src).ok()?;
        if asked.abroad || asked.has_body || asked.target.path == exchange.target.path {
            return None;
        }
        let (rule, plan) = request::only_looked_up(runtime, &asked)?;
        Some(Part { key: proxy.store.key(plan.key), extras: plan.extras.into(), rule, place: Place::default() })
    };
    includes.into_iter().map(part).collect()
}

impl Part {
    /// The stored response, where it is whole, fresh and no template, as it would be found on the long way.
    fn look_up(&self, proxy: &Proxy, now: Timestamp) -> Option<Arc<StoredResponse>> {
        let by = Unasked { extras: &self.extras, asked: Cell::new(false) };
        let found = proxy.store.lookup_at(&self.key, &self.place, &by, now);
        let Lookup::Found { response, soft_invalidated } = found else { return None };
        let hit = !by.asked.get()
            && decide::reuse(&response, soft_invalidated, now) == FreshnessState::Fresh
            && !response.body.template
            && response.parts.is_none()
            && response.status.is_success()
            && !made::as_part(&response).coded;
        hit.then_some(response)
    }
}

/// Selects as every request of a kind does, and notes when it is asked for something that they may differ in.
struct Unasked<'a> {
    extras: &'a str,
    asked: Cell<bool>,
}

impl Selector for Unasked<'_> {
    fn extras(&self) -> &str {
        self.extras
    }

    /// A fragment is asked for without a coding, and here without cookies.
    fn field(&self, name: &HeaderName) -> String {
        if *name != ACCEPT_ENCODING && *name != COOKIE {
            self.asked.set(true);
        }
        String::new()
    }

    fn accepts(&self, _: &HeaderValue) -> bool {
        false
    }

    fn takes_part(&self, _: &StoredResponse) -> bool {
        self.asked.set(true);
        false
    }
}

fn tag(template: &StoredResponse, found: &[(Arc<StoredResponse>, u128)]) -> Option<HeaderValue> {
    let mut identity = Identity::default();
    identity.part(made::as_part(template).identity);
    found.iter().for_each(|(_, part)| identity.part(*part));
    Made { identity: identity.finish(), keep: None }.entity_tag()
}

fn body(template: &StoredResponse, found: &[(Arc<StoredResponse>, u128)]) -> Body {
    let mut runs = Vec::with_capacity(template.body.pieces.len());
    let mut fragments = found.iter();
    for piece in &template.body.pieces {
        match piece {
            Piece::Text(text) => runs.push(text),
            Piece::Include(_) | Piece::Block(_) => {
                let pieces = fragments.next().map(|(response, _)| &*response.body.pieces).unwrap_or_default();
                runs.extend(pieces.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => Some(text),
                    Piece::Include(_) | Piece::Block(_) => None,
                }));
            }
        }
    }
    Body::runs(&runs).with_fragments(u32::try_from(found.len()).unwrap_or(u32::MAX))
}
