//! A short request body that is kept as it is sent, so that it can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::request::BoxError;

/// Where a body comes from.
pub(crate) type Source = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// A body and what has come of it so far, as long as that is no more than a limit.
pub(crate) struct Tape(Mutex<Recording>);

struct Recording {
    /// `None` after its end.
    source: Option<Source>,
    /// A copy, so that many small pieces do not pin as many large buffers.
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// How many bytes may be kept; `None` when there were more, or the source failed: then nothing is kept.
    limit: Option<usize>,
    /// The number of the only player that may go on.
    player: usize,
}

/// Plays a tape from its beginning, and on with what comes.
pub(crate) struct Player {
    tape: Arc<Tape>,
    number: usize,
    at: usize,
    is_over: bool,
}

impl Tape {
    /// Keeps up to `limit` bytes of a body.
    pub(crate) fn new(source: Source, limit: usize) -> Arc<Self> {
        let kept = Vec::new();
        Arc::new(Self(Mutex::new(Recording {
            source: Some(source),
            kept,
            trailers: None,
            limit: Some(limit),
            player: 0,
        })))
    }

    /// The body from its beginning. A player from before gets an error: its exchange was given up. `None` where the beginning is
    /// not kept.
    pub(crate) fn play(self: &Arc<Self>) -> Option<Player> {
        let mut recording = self.lock();
        recording.limit?;
        recording.player += 1;
        Some(Player { tape: self.clone(), number: recording.player, at: 0, is_over: false })
    }

    /// Where a source panics while it is polled, nothing of the recording was touched yet.
    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let item = ready!(source.as_mut().poll_frame(cx));
        match &item {
            Some(Ok(frame)) => self.keep(frame),
            Some(Err(_)) => self.keep_nothing(),
            None => {}
        }
        // Nothing follows trailers.
        if !matches!(&item, Some(Ok(frame)) if frame.is_data()) {
            self.source = None;
        }
        Poll::Ready(item)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(limit) = self.limit else { return };
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let data = frame.data_ref().map_or(&[][..], |data| data);
        match self.kept.len() + data.len() <= limit {
            true => self.kept.extend_from_slice(data),
            false => self.keep_nothing(),
        }
    }

    fn keep_nothing(&mut self) {
        (self.limit, self.kept, self.trailers) = (None, Vec::new(), None);
    }
}

impl Body for Player {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut recording = this.tape.lock();
        if recording.player != this.number {
            return Poll::Ready(Some(Err("the request is sent elsewhere".into())));
        }
        if let Some(kept) = recording.kept.get(this.at..).filter(|kept| !kept.is_empty()) {
            this.at = recording.kept.len();
            return Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(kept)))));
        }
        if recording.source.is_none()
            && !std::mem::replace(&mut this.is_over, true)
            && let Some(trailers) = recording.trailers.clone()
        {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let item = ready!(recording.poll_source(cx));
        this.at = recording.kept.len();
        this.is_over |= matches!(&item, Some(Ok(frame)) if frame.is_trailers());
        Poll::Ready(item)
    }

    fn is_end_stream(&self) -> bool {
        let recording = self.tape.lock();
        let all_played = recording.kept.len() <= self.at && (self.is_over || recording.trailers.is_none());
        all_played && recording.source.as_ref().is_none_or(|source| source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let recording = self.tape.lock();
        let kept = recording.kept.len().saturating_sub(self.at) as u64;
        let rest = recording.source.as_ref().map_or(SizeHint::with_exact(0), |source| source.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::task::Waker;

    type Item = Result<Frame<Bytes>, BoxError>;

    /// A body of these pieces, which come one at each other poll.
    struct Halting(std::vec::IntoIter<Item>, bool);

    impl Body for Halting {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
            self.1 = !self.1;
            match self.1 {
                true => Poll::Pending,
                false => Poll::Ready(self.0.next()),
            }
        }
    }

    fn tape(items: Vec<Item>, limit: usize) -> Arc<Tape> {
        Tape::new(Box::pin(Halting(items.into_iter(), false)), limit)
    }

    fn data(text: &[u8]) -> Item {
        Ok(Frame::data(Bytes::copy_from_slice(text)))
    }

    fn trailers() -> Item {
        Ok(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("a"))])))
    }

    /// What a player gives in up to `polls` polls: its data, whether trailers came, whether it ended, whether it failed.
    fn played(player: &mut Player, polls: usize) -> (Vec<u8>, bool, bool, bool) {
        let (mut text, mut trailers, mut cx) = (Vec::new(), false, Context::from_waker(Waker::noop()));
        for _ in 0..polls {
            match Pin::new(&mut *player).poll_frame(&mut cx) {
                Poll::Pending => {}
                Poll::Ready(None) => return (text, trailers, true, false),
                Poll::Ready(Some(Err(_))) => return (text, trailers, false, true),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => text.extend_from_slice(&data),
                    Err(frame) => trailers = frame.is_trailers(),
                },
            }
        }
        (text, trailers, false, false)
    }

    #[test]
    fn what_failed_or_is_too_long_cannot_be_had_again() {
        let failing = || vec![data(b"ab"), Err("gone".into())];
        for (items, limit, again) in [
            (vec![data(b"ab"), data(b"c")], 3, true),
            (vec![data(b"ab"), data(b"c")], 2, false),
            (vec![], 0, true),
            (failing(), 9, false),
        ] {
            let tape = tape(items, limit);
            played(&mut tape.play().unwrap(), 99);
            assert_eq!(tape.play().is_some(), again, "{limit}");
        }
    }

    #[test]
    fn only_the_last_player_goes_on() {
        let tape = tape(vec![data(b"ab"), data(b"c"), data(b"d")], 9);
        let mut first = tape.play().unwrap();
        assert_eq!(played(&mut first, 2).0, b"ab");
        let mut second = tape.play().unwrap();
        assert_eq!(played(&mut first, 9), (vec![], false, false, true));
        assert_eq!(played(&mut second, 99), (b"abcd".to_vec(), false, true, false));
    }

    #[tokio::test]
    async fn lengths_are_known_as_far_as_the_source_knows_them() {
        let full = http_body_util::Full::new(Bytes::from_static(b"abc")).map_err(|never: Infallible| match never {});
        let known = Tape::new(Box::pin(full), 9);
        let mut player = known.play().unwrap();
        assert_eq!((player.size_hint().exact(), player.is_end_stream()), (Some(3), false));
        player.frame().await.unwrap().unwrap();
        assert_eq!((player.size_hint().exact(), player.is_end_stream()), (Some(0), true));
        assert_eq!(known.play().unwrap().size_hint().exact(), Some(3));
        assert_eq!(tape(vec![data(b"a")], 9).play().unwrap().size_hint().exact(), None);
    }

    proptest! {
        /// However far the tries before came, the last one sends the whole body.
        #[test]
        fn the_last_try_sends_it_all(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            ends_in_trailers: bool,
            tries in proptest::collection::vec(0_usize..24, 0..5),
        ) {
            let mut items: Vec<Item> = pieces.iter().map(|piece| data(piece)).collect();
            items.extend(ends_in_trailers.then(trailers));
            let tape = tape(items, pieces.concat().len());
            for polls in tries {
                let (text, ..) = played(&mut tape.play().unwrap(), polls);
                prop_assert!(pieces.concat().starts_with(&text));
            }
            prop_assert_eq!(played(&mut tape.play().unwrap(), 99), (pieces.concat(), ends_in_trailers, true, false));
        }
    }
}
