//! The limit of real time after which a test that awaits something fails.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long, in real time, an awaited event may take before the test fails. Long, because only failures wait for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits `future`; panics with `what` when it takes longer than [`PATIENCE`] of real time.
///
/// Not a tokio timeout: under a paused clock that one would ring as soon as every task waits for a socket.
pub async fn patiently<F: Future>(what: impl FnOnce() -> String, future: F) -> F::Output {
    tokio::select! {
        biased;
        output = future => output,
        () = alarm() => panic!("waited {} s in vain for {}", PATIENCE.as_secs(), what()),
    }
}

/// Rings after [`PATIENCE`]. Starts when first polled, so what is ready at once costs no thread.
async fn alarm() {
    let (disarm, disarmed) = mpsc::channel::<()>();
    let (ring, rung) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        if disarmed.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The test may have gone meanwhile: nobody to ring for.
            let _ = ring.send(());
        }
    });
    let rang = rung.await.is_ok();
    drop(disarm);
    if !rang {
        // The thread could not be heard; never claim a timeout that did not happen.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_does_not_ring_the_alarm() {
        let (send, receive) = oneshot::channel();
        std::thread::spawn(move || send.send(7));
        let got = patiently(|| "the other thread".to_owned(), receive).await;
        assert_eq!(got, Ok(7));
    }
}
