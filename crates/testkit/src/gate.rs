//! Gates: places where an answer waits until the test lets it go on.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds whatever waits for it until [`open`](Gate::open). Clones are the same gate. A gate that was opened stays open.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets everything pass, now and later.
    pub fn open(&self) {
        self.state.send_replace(true);
    }

    /// Whether it was opened.
    pub fn is_open(&self) -> bool {
        *self.state.borrow()
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        let mut state = self.state.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = state.wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn holds_until_opened_and_stays_open() {
        let gate = Gate::new();
        let mut waiting = std::pin::pin!(gate.passed());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        gate.clone().open();
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(()));
        assert!(gate.is_open());
    }
}
