//! Signals, and the order of stops.
//!
//! One tree of cancellation tokens: the first signal cancels it, the parts end in the order in
//! which `wiring` awaits them. A second signal ends the process at once: every act is safe to
//! cut at any point, because the next start observes what is there.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal (128 + SIGINT), as shells count it.
const KILLED_BY_INTERRUPT: i32 = 130;

/// Cancels `token` on SIGINT or SIGTERM; ends the process on a second one.
pub fn listen(token: CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, "stopping; the containers keep running");
        token.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::warn!("second signal: ending at once");
        std::process::exit(KILLED_BY_INTERRUPT);
    });
    Ok(())
}
