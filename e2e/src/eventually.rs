//! Waiting for the world to be as promised, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// What a scenario waits for where the product promises no time of its own. Generous: the machine
/// may be busy, and a wait that succeeds costs only the time it took.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks until `probe` succeeds. Its last error is the last observation, and what the failure says.
pub async fn eventually<T, F>(what: &str, probe: F) -> anyhow::Result<T>
where
    F: AsyncFnMut() -> anyhow::Result<T>,
{
    eventually_within(PATIENCE, what, probe).await
}

/// The same with a deadline of its own, for what must happen within a promised time.
pub async fn eventually_within<T, F>(
    deadline: Duration,
    what: &str,
    mut probe: F,
) -> anyhow::Result<T>
where
    F: AsyncFnMut() -> anyhow::Result<T>,
{
    let start = Instant::now();
    loop {
        let error = match tokio::time::timeout(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("looking took longer than the deadline"),
        };
        if start.elapsed() >= deadline {
            return Err(error.context(format!("not within {deadline:?}: {what}; last seen")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_failure_says_what_was_waited_for_and_what_was_seen() {
        let never = eventually_within(
            Duration::from_millis(120),
            "three apples",
            async || -> anyhow::Result<()> { anyhow::bail!("two apples") },
        );
        let text = format!("{:#}", never.await.unwrap_err());
        assert_eq!(
            text,
            "not within 120ms: three apples; last seen: two apples"
        );
    }

    #[tokio::test]
    async fn success_ends_the_wait() {
        let mut looks = 0;
        let seen = eventually("the third look", async || {
            looks += 1;
            anyhow::ensure!(looks == 3, "look {looks}");
            Ok(looks)
        });
        assert_eq!(seen.await.unwrap(), 3);
    }
}
